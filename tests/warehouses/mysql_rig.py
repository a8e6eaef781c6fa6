"""A MySQL for the contracts of warehouses: a database of its own on a real MariaDB."""

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from typing import Any

import pymysql

from tailrace.connector_kit.mysql_settings import MySqlSettings
from tailrace.connector_kit.registry import validate_settings
from tailrace.connector_kit.warehouse import Warehouse
from tailrace.core.rows import Column, ColumnKind
from tailrace.testing.mariadb_server import MariaDb
from tailrace.testing.warehouse_contract import LockedRig
from tailrace.warehouses.mysql import MySqlWarehouse

_SECRET = "s3cr3t-canary-5520"
_TYPES = {
    ColumnKind.TEXT: "text CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
    ColumnKind.INTEGER: "bigint",
    ColumnKind.FLOAT: "double",
    ColumnKind.DECIMAL: "decimal(40, 10)",
    ColumnKind.BOOLEAN: "boolean",
    ColumnKind.TIMESTAMP: "timestamp NULL",
    ColumnKind.JSON: "json",
}


class MySqlRig(LockedRig):
    bad_query = "SELECT 1 FROM nonsense"
    endless_query = "SELECT 'a' AS id, sleep(60) AS s FROM (SELECT 1 UNION SELECT 2) AS r"
    secret = _SECRET

    def __init__(self, warehouse: MySqlWarehouse, admin: "pymysql.Connection[Any]", chosen: MySqlSettings) -> None:
        self.warehouse: MySqlWarehouse = warehouse
        self.admin = admin
        self.settings = chosen
        self._number = count()

    def query(self, columns: Sequence[Column], rows: Sequence[Sequence[str | None]]) -> str:
        """Over a table made for it: an expression has no type of its own in MySQL."""
        table = f"made_{next(self._number)}"
        types = ", ".join(f"c{at} {_type(column.kind, rows)}" for at, column in enumerate(columns))
        with self.admin.cursor() as cursor:
            # InnoDB wants a row's beginning on one page, which hundreds of texts do not fit.
            engine = "MyISAM" if len(columns) > 100 else "InnoDB"
            cursor.execute(f"CREATE TABLE {table} ({types}) ENGINE = {engine}")
            places = ", ".join("%s" for _ in columns)
            cursor.executemany(f"INSERT INTO {table} VALUES ({places})", [_written(row, columns) for row in rows])
        names = ", ".join(f"c{at} AS `{column.name.replace('`', '``')}`" for at, column in enumerate(columns))
        return f"SELECT {names} FROM {table}"

    async def queries_running(self) -> int:
        with self.admin.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM information_schema.processlist WHERE command = 'Query' AND info LIKE '%sleep%'"
                " AND id <> connection_id()"
            )
            found = cursor.fetchone()
        return int(found[0]) if found else 0

    def unreachable(self) -> AbstractAsyncContextManager[Warehouse]:
        return MySqlWarehouse.open(settings(1, "nobody", password=_SECRET))

    def unauthorized(self) -> AbstractAsyncContextManager[Warehouse]:
        return MySqlWarehouse.open(settings(self.settings.port, self.settings.database, password=_SECRET))


@asynccontextmanager
async def open_rig(mariadb: MariaDb) -> AsyncIterator[MySqlRig]:
    """A database for the scope, with a user who may only read it."""
    name = f"test_{secrets.token_hex(6)}"
    with pymysql.connect(host="127.0.0.1", port=mariadb.port, user="root", autocommit=True) as admin:
        cursor = admin.cursor()
        cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        cursor.execute(f"CREATE USER IF NOT EXISTS {name}@'%' IDENTIFIED BY 'reads-only'")
        cursor.execute(f"GRANT SELECT, EXECUTE ON {name}.* TO {name}@'%'")
        admin.select_db(name)
        chosen = settings(mariadb.port, name)
        async with MySqlWarehouse.open(chosen) as warehouse:
            yield MySqlRig(warehouse, admin, chosen)
        cursor.execute(f"DROP DATABASE {name}")
        cursor.execute(f"DROP USER {name}@'%'")


def settings(port: int, name: str, **options: object) -> MySqlSettings:
    raw = {"host": "127.0.0.1", "port": port, "user": name, "database": name, "password": "reads-only", "tls": False}
    raw["hashes_rows"] = True
    return validate_settings(MySqlSettings, raw | options)


def _type(kind: ColumnKind, rows: Sequence[Sequence[str | None]]) -> str:
    """A TIMESTAMP begins in 1970 and shows as many digits of a second as its column has."""
    times = [value for row in rows for value in row if value and value[10:11] == "T"]
    needs_more = any(value < "1970" or "." in value for value in times)
    return "datetime(6)" if kind is ColumnKind.TIMESTAMP and needs_more else _TYPES[kind]


def _written(row: Sequence[str | None], columns: Sequence[Column]) -> list[object]:
    return [_literal(value, column.kind) for value, column in zip(row, columns, strict=True)]


def _literal(value: str | None, kind: ColumnKind) -> object:
    if value is not None and kind is ColumnKind.BOOLEAN:
        return value == "true"
    if value is not None and kind is ColumnKind.TIMESTAMP:
        return value.replace("T", " ").removesuffix("Z")
    return value
