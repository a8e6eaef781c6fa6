"""First runs from warehouses other than PostgreSQL: cut by what the warehouse tells of its keys, each row sent once."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pymysql
import pytest
import pytest_asyncio
from snowflake import connector

from tailrace.connector_kit.snowflake_settings import SnowflakeSettings
from tailrace.core.runs import RunStatus
from tailrace.runtime.service import Chassis
from tailrace.store.connections import ConnectionDraft
from tailrace.testing.bigquery_stand_in import BigQueryStandIn
from tailrace.testing.mariadb_server import MariaDb
from tailrace.testing.snowflake_server import Snowflake
from tailrace.warehouses.duckdb import LOCAL_FILES
from tests.executor.bigquery_source import connection_to
from tests.executor.sharing import shards_of, shared
from tests.executor.sink import Sink
from tests.executor.yard import Yard, definition_of, make_sync

PEOPLE = 800
ROWS: list[tuple[int | None, str]] = [
    *((n, f"p{n}@example.com") for n in range(1, PEOPLE + 1)),
    (None, "x"),
    (None, "y"),
]


class FirstRunContract:
    """Inherit it with a fixture `people`, a sync of the rows above with the columns `id` and `email`."""

    async def test_first_run_is_cut_and_every_row_comes_once(self, people: Yard, sink: Sink) -> None:
        run = await shared(people)

        assert (run.status, run.error_message) == (RunStatus.SUCCEEDED, None)
        assert sink.times_by_id == dict.fromkeys(range(1, PEOPLE + 1), 1)
        assert (run.books.read, run.books.delivered, run.books.reasons["rejected.NULL_KEY"]) == (PEOPLE + 2, PEOPLE, 2)
        assert len(await shards_of(people, run.id)) == 3


@pytest.mark.xdist_group("mariadb")
class TestMySql(FirstRunContract):
    @pytest.fixture
    def database(self, mariadb: MariaDb) -> Iterator[str]:
        """The name of a database with people, and of a user who may read them."""
        name = f"test_{secrets.token_hex(6)}"
        with pymysql.connect(host="127.0.0.1", port=mariadb.port, user="root", autocommit=True) as admin:
            cursor = admin.cursor()
            cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
            cursor.execute(f"CREATE USER {name}@'%' IDENTIFIED BY 'reads-only'")
            cursor.execute(f"GRANT SELECT ON {name}.* TO {name}@'%'")
            cursor.execute(f"CREATE TABLE {name}.people (id int, email text)")
            cursor.executemany(f"INSERT INTO {name}.people VALUES (%s, %s)", ROWS)
            yield name
            cursor.execute(f"DROP DATABASE {name}")
            cursor.execute(f"DROP USER {name}@'%'")

    @pytest_asyncio.fixture
    async def people(self, chassis: Chassis, mariadb: MariaDb, database: str, sink: Sink) -> Yard:
        server = {"host": "127.0.0.1", "port": mariadb.port, "user": database, "database": database, "tls": False}
        source = ConnectionDraft("server", server | {"password": "***"}, {"/password": "reads-only"})
        return await sync_of_people(chassis, "mysql", source, sink)


@pytest.mark.xdist_group("snowflake")
class TestSnowflake(FirstRunContract):
    @pytest_asyncio.fixture
    async def people(self, chassis: Chassis, snowflake: Snowflake, sink: Sink) -> Yard:
        place = {"account": snowflake.account, "user": snowflake.user, "database": "CUT", "schema_name": "PUBLIC"}
        owner = SnowflakeSettings.model_validate(place | {"private_key": snowflake.private_key})
        values = ", ".join(f"({'NULL' if n is None else n}, '{email}')" for n, email in ROWS)
        with connector.connect(**owner.connect_options()) as connection:
            columns = 'column1::INT AS "id", column2 AS "email"'
            connection.cursor().execute(f"CREATE OR REPLACE TABLE people AS SELECT {columns} FROM VALUES {values}")
        shown = place | {"private_key": "***", "warehouse": "W", "role": "READER"}
        source = ConnectionDraft("account", shown, {"/private_key": snowflake.private_key})
        return await sync_of_people(chassis, "snowflake", source, sink)


class TestBigQuery(FirstRunContract):
    @pytest_asyncio.fixture
    async def people(self, chassis: Chassis, bigquery: BigQueryStandIn, sink: Sink) -> Yard:
        values = ", ".join(f"({'NULL' if n is None else n}, '{email}')" for n, email in ROWS)
        bigquery.engine.run("CREATE TABLE people (id BIGINT, email VARCHAR)")
        bigquery.engine.run(f"INSERT INTO people VALUES {values}")
        return await sync_of_people(chassis, "bigquery", connection_to(bigquery), sink)


class TestDuckDb(FirstRunContract):
    @pytest_asyncio.fixture
    async def people(self, chassis: Chassis, sink: Sink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Yard:
        monkeypatch.setenv(LOCAL_FILES, str(tmp_path))
        with duckdb.connect(tmp_path / "crm.duckdb") as connection:
            connection.execute("CREATE TABLE people (id INT, email TEXT)")
            connection.executemany("INSERT INTO people VALUES (?, ?)", ROWS)
        return await sync_of_people(chassis, "duckdb", ConnectionDraft("file", {"database": "crm.duckdb"}, {}), sink)


async def sync_of_people(chassis: Chassis, connector_name: str, source: ConnectionDraft, sink: Sink) -> Yard:
    batches = {"url": sink.url, "rows_per_batch": 10, "requires_results": True}
    definition = definition_of("SELECT * FROM people", ("id", "email"))
    target = ConnectionDraft("sink", batches, {})
    sync = await make_sync(chassis, source, target, definition, (connector_name, "http"))
    return Yard(chassis, None, sync)  # type: ignore[arg-type]  # people come from elsewhere
