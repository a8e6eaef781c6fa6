import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tailrace.connector_kit.registry import warehouse_type
from tailrace.connector_kit.warehouse import Reading
from tailrace.core.errors import SourceInvalid, SourceUnavailable
from tailrace.core.rows import Column, ColumnKind
from tailrace.testing.cursor_contract import CursorContract
from tailrace.testing.eventually import eventually
from tailrace.testing.key_sample_contract import KeySampleContract, require_one_row
from tailrace.testing.mariadb_server import MariaDb
from tailrace.testing.row_hash_contract import RowHashContract
from tailrace.testing.warehouse_contract import (
    CredentialsContract,
    WarehouseContract,
    keys,
    read,
    rows,
    told,
)
from tailrace.warehouses.mysql import MySqlWarehouse
from tests.warehouses.mysql_rig import MySqlRig, open_rig

pytestmark = pytest.mark.xdist_group("mariadb")

_TEXT = ColumnKind.TEXT
_TIME = ColumnKind.TIMESTAMP


class TestMySqlWarehouse(WarehouseContract, CredentialsContract, CursorContract, KeySampleContract, RowHashContract):
    pass


@pytest_asyncio.fixture
async def rig(mariadb: MariaDb) -> AsyncIterator[MySqlRig]:
    async with open_rig(mariadb) as opened:
        yield opened


def test_registry_finds_it() -> None:
    assert warehouse_type("mysql") is MySqlWarehouse


@pytest.mark.parametrize(
    ("column", "value", "kind", "read_as"),
    [
        ("decimal(65, 2)", "1.50", ColumnKind.DECIMAL, "1.50"),
        ("float", "0.1", ColumnKind.FLOAT, 0.1),
        ("double", "1e300", ColumnKind.FLOAT, 1e300),
        ("bigint unsigned", "18446744073709551615", ColumnKind.INTEGER, 18446744073709551615),
        ("tinyint(1)", "1", ColumnKind.BOOLEAN, True),
        ("tinyint", "7", ColumnKind.INTEGER, 7),
        ("year", "2026", ColumnKind.INTEGER, 2026),
        ("timestamp(6) NULL", "2026-03-01 06:30:00.123456", _TIME, "2026-03-01T06:30:00.123456Z"),
        ("datetime", "2026-03-01 12:00:00", _TIME, "2026-03-01T12:00:00"),
        ("date", "2026-03-01", _TIME, "2026-03-01"),
        ("time(1)", "-104:05:06.7", _TEXT, "-104:05:06.7"),
        ("varchar(20) CHARACTER SET latin1", "Zürich", _TEXT, "Zürich"),
        ("varbinary(8)", b"\x00\xde\xad", _TEXT, "00dead"),
        ("blob", b"\xff'", _TEXT, "ff27"),
        ("enum('sad', 'ok')", "ok", _TEXT, "ok"),
        ("set('a', 'b')", "a,b", _TEXT, "a,b"),
        ("bit(9)", b"\x01\x01", _TEXT, "101"),
        ("json", '{"a": 1.00, "b": "é"}', _TEXT, '{"a": 1.00, "b": "é"}'),
        ("text", None, _TEXT, None),
    ],
)
async def test_value_of_any_type_is_exact(
    rig: MySqlRig, column: str, value: object, kind: ColumnKind, read_as: object
) -> None:
    with rig.admin.cursor() as cursor:
        cursor.execute("SET time_zone = '+00:00'")
        cursor.execute(f"CREATE TABLE t (id text, v {column})")
        cursor.execute("INSERT INTO t VALUES ('k', %s)", (value,))

    blocks = await read(rig, "SELECT * FROM t", "id")

    assert rows(blocks) == [("k", read_as)]
    assert (await rig.warehouse.columns("SELECT * FROM t"))[1].kind is kind


async def test_boolean_can_be_read_as_the_number_that_it_is(rig: MySqlRig) -> None:
    with rig.admin.cursor() as cursor:
        cursor.execute("CREATE TABLE t (id int, v boolean)")
        cursor.execute("INSERT INTO t VALUES (1, 2)")
    chosen = rig.settings.model_copy(update={"tinyint1_is_boolean": False})

    async with MySqlWarehouse.open(chosen) as warehouse:
        blocks = await read(MySqlRig(warehouse, rig.admin, chosen), "SELECT * FROM t", "id")

    assert rows(blocks) == [(1, 2)]


async def test_keys_that_a_collation_takes_for_one_are_told_apart(rig: MySqlRig) -> None:
    query = rig.query([Column("id", _TEXT)], [["b"], ["A"], ["a"], ["á"], ["a "], ["B"]])

    blocks = await read(rig, query, "id")

    assert keys(blocks) == [("A",), ("B",), ("a",), ("a ",), ("b",), ("á",)]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 'a' AS id;",
        "SELECT 'a' AS id ; -- the end",
        "SELECT 'a' AS id # the end; really",
        "-- first\nSELECT 'a' AS id /* ; -- */ -- the end",
        "SELECT 'a' AS id, ';' AS b, 'it\\'s;' AS c, \"x;\\\"\" AS d, 'it''s;' AS `e;``%s`;",
        "SELECT 'a' AS id, '100 %' AS percent, '%s' AS p",
        "WITH w AS (SELECT 'a' AS id) SELECT * FROM w;",
        "(SELECT 'a' AS id ORDER BY 1 LIMIT 1)",
        "SELECT DISTINCT 'a' AS id UNION ALL SELECT 'a' LIMIT 1",
    ],
)
async def test_any_way_to_write_a_query_works(rig: MySqlRig, query: str) -> None:
    await require_one_row(rig, query)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 AS id; DELETE FROM victims",
        "DELETE FROM victims RETURNING id",
        "INSERT INTO victims VALUES (9) RETURNING id",
        "SELECT 1 AS id) AS r; DELETE FROM victims; SELECT (1",
        "SELECT 1 AS id INTO OUTFILE '/tmp/stolen'",
        "CREATE TABLE more AS SELECT 1 AS id",
        "DROP TABLE victims",
        "CALL wipe()",
        "SELECT wipes() AS id",
        "SET SESSION TRANSACTION READ WRITE",
        "SELECT ? AS id",
    ],
)
async def test_query_that_does_more_than_read_changes_nothing(rig: MySqlRig, query: str) -> None:
    with rig.admin.cursor() as cursor:
        cursor.execute("CREATE TABLE victims AS SELECT 1 AS id")
        cursor.execute("CREATE PROCEDURE wipe() DELETE FROM victims")
        cursor.execute("CREATE FUNCTION wipes() RETURNS int BEGIN DELETE FROM victims; RETURN 1; END")

    with pytest.raises(SourceInvalid) as refused:
        await read(rig, query, "id")

    assert refused.value.code == "SOURCE_QUERY"
    with rig.admin.cursor() as cursor:
        cursor.execute("SELECT id FROM victims")
        assert cursor.fetchall() == ((1,),)


async def test_columns_are_told_without_running_the_query(rig: MySqlRig) -> None:
    async with asyncio.timeout(10):
        columns = await rig.warehouse.columns(rig.endless_query)

    assert [column.name for column in columns] == ["id", "s"]


async def test_value_that_breaks_the_query_is_not_told(rig: MySqlRig) -> None:
    query = "SELECT 'a' AS id, (SELECT c FROM (SELECT 'private-value' AS c UNION SELECT 'other') AS t) AS n"

    with pytest.raises(SourceInvalid, match="value of a row") as refused:
        await read(rig, query, "id")

    assert "private-value" not in told(refused.value)


@pytest.mark.parametrize("table", ["made_0", "(SELECT 1 AS c0) AS constant"])
async def test_count_that_nobody_waits_for_is_stopped(rig: MySqlRig, table: str) -> None:
    rig.query([Column("id", ColumnKind.INTEGER)], [["1"], ["2"]])
    # To sleep would end with the connection. A constant is worked at when the columns are described.
    query = f"SELECT c0 FROM {table} WHERE benchmark(1000000000000, c0) = 1 /* no sleep */"

    async with asyncio.TaskGroup() as tasks:
        counting = tasks.create_task(rig.warehouse.rows_about(query))
        await eventually(rig.queries_running, 1)
        counting.cancel()

    await eventually(rig.queries_running, 0)


async def test_query_that_takes_too_long_is_stopped(rig: MySqlRig) -> None:
    chosen = rig.settings.model_copy(update={"statement_timeout_s": 0.2})

    async with MySqlWarehouse.open(chosen) as warehouse:
        with pytest.raises(SourceUnavailable) as stopped:
            await read(MySqlRig(warehouse, rig.admin, chosen), "SELECT 'a' AS id, benchmark(10000000000, 1) AS n", "id")

    assert stopped.value.code == "SOURCE_TIMEOUT"


async def test_one_read_sees_one_state(rig: MySqlRig) -> None:
    query = rig.query([Column("id", ColumnKind.INTEGER)], [[str(n)] for n in range(5000)])
    async with rig.warehouse.read(Reading(query, ("id",), rows_per_block=10)) as blocks:
        first = await anext(blocks)
        with rig.admin.cursor() as cursor:
            cursor.execute("DELETE FROM made_0")
        rest = [block async for block in blocks]

    assert len(first.rows) + len(rows(rest)) == 5000


async def test_columns_that_changed_since_they_were_looked_at_stop_the_read(rig: MySqlRig) -> None:
    with rig.admin.cursor() as cursor:
        cursor.execute("CREATE TABLE users (id int, name text)")
        await rig.warehouse.columns("SELECT * FROM users")
        await asyncio.to_thread(cursor.execute, "ALTER TABLE users MODIFY name bigint")

    with pytest.raises(SourceInvalid) as refused:
        await read(rig, "SELECT * FROM users", "id")

    assert refused.value.code == "SCHEMA_CHANGED"


async def test_user_who_could_read_files_of_the_server_is_refused(rig: MySqlRig) -> None:
    with rig.admin.cursor() as cursor:
        cursor.execute(f"GRANT FILE ON *.* TO {rig.settings.user}@'%'")

    with pytest.raises(SourceInvalid, match="FILE"):
        await rig.warehouse.check()

    async with MySqlWarehouse.open(rig.settings.model_copy(update={"allow_superuser": True})) as trusted:
        await trusted.check()


async def test_server_without_a_trusted_certificate_is_not_spoken_with(rig: MySqlRig) -> None:
    with pytest.raises(SourceUnavailable):
        async with MySqlWarehouse.open(rig.settings.model_copy(update={"tls": True})):
            pass
