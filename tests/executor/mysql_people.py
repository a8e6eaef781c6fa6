"""People of MySQL, in a database of the test's own with a user who may only read them."""

import asyncio
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pymysql

from tailrace.testing.mariadb_server import MariaDb
from tests.executor.changing import Row

_PUT = "REPLACE INTO people VALUES (%s, %s, %s)"


@dataclass(frozen=True, slots=True)
class MySqlRows:
    """Written by the administrator."""

    admin: "pymysql.Connection[Any]"

    async def put(self, rows: Mapping[int, Row]) -> None:
        await asyncio.to_thread(self._many, _PUT, [(key, *row) for key, row in rows.items()])
        await asyncio.to_thread(self._many, "ANALYZE TABLE people", [()])

    async def remove(self, ids: Sequence[int]) -> None:
        await asyncio.to_thread(self._many, "DELETE FROM people WHERE id = %s", [(key,) for key in ids])

    def _many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        with self.admin.cursor() as cursor:
            cursor.executemany(sql, rows)
        self.admin.commit()


@contextmanager
def database_of_people(mariadb: MariaDb) -> "Iterator[tuple[pymysql.Connection[Any], str]]":
    """The administrator's connection, and the name of the database and of who may read it."""
    name = f"test_{secrets.token_hex(6)}"
    with pymysql.connect(host="127.0.0.1", port=mariadb.port, user="root") as admin:
        cursor = admin.cursor()
        cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        cursor.execute(f"CREATE USER {name}@'%' IDENTIFIED BY 'reads-only'")
        cursor.execute(f"GRANT SELECT ON {name}.* TO {name}@'%'")
        admin.select_db(name)
        cursor.execute("CREATE TABLE people (id int PRIMARY KEY, email text, at int)")
        yield admin, name
        cursor.execute(f"DROP DATABASE {name}")
        cursor.execute(f"DROP USER {name}@'%'")
