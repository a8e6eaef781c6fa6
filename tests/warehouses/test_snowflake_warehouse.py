import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tailrace.connector_kit.registry import secret_fields, warehouse_type
from tailrace.connector_kit.snowflake_settings import SnowflakeSettings
from tailrace.connector_kit.snowflake_sql import Field, one_select, reading_sql
from tailrace.connector_kit.warehouse import Reading
from tailrace.core.errors import SourceInvalid, SourceUnavailable
from tailrace.core.rows import Column, ColumnKind
from tailrace.testing.cursor_contract import CursorContract
from tailrace.testing.eventually import eventually
from tailrace.testing.key_sample_contract import KeySampleContract, require_one_row
from tailrace.testing.snowflake_server import Snowflake
from tailrace.testing.warehouse_contract import (
    CredentialsContract,
    WarehouseContract,
    read,
    rows,
    told,
)
from tailrace.warehouses.snowflake import SnowflakeWarehouse
from tests.warehouses.snowflake_rig import SnowflakeRig, run, settings

pytestmark = pytest.mark.xdist_group("snowflake")

_JSON = ColumnKind.JSON
_TEXT = ColumnKind.TEXT
_TIME = ColumnKind.TIMESTAMP


class TestSnowflakeWarehouse(WarehouseContract, CredentialsContract, CursorContract, KeySampleContract):
    pass


@pytest_asyncio.fixture
async def rig(snowflake: Snowflake) -> AsyncIterator[SnowflakeRig]:
    async with SnowflakeWarehouse.open(settings(snowflake)) as warehouse:
        yield SnowflakeRig(warehouse, snowflake)


def test_registry_finds_it_and_knows_its_secrets() -> None:
    assert warehouse_type("snowflake") is SnowflakeWarehouse
    assert secret_fields(SnowflakeSettings) == {"private_key", "private_key_passphrase", "token", "password"}


@pytest.mark.parametrize(
    ("expression", "kind", "value"),
    [
        ("1.50::NUMBER(10, 2)", ColumnKind.DECIMAL, "1.50"),
        ("7::NUMBER(3, 0)", ColumnKind.INTEGER, 7),
        ("1e300::FLOAT", ColumnKind.FLOAT, 1e300),
        ("'-inf'::FLOAT", ColumnKind.FLOAT, float("-inf")),
        ("FALSE", ColumnKind.BOOLEAN, False),
        ("'2026-03-01 12:00:00.123456 +05:30'::TIMESTAMP_TZ", _TIME, "2026-03-01T06:30:00.123456Z"),
        ("'2026-03-01T12:00:00Z'::TIMESTAMP_LTZ", _TIME, "2026-03-01T12:00:00Z"),
        ("'2026-03-01 12:00:10'::TIMESTAMP_NTZ", _TIME, "2026-03-01T12:00:10"),
        ("'2026-03-01 12:00:00.120'::TIMESTAMP_NTZ", _TIME, "2026-03-01T12:00:00.12"),
        ("'2026-03-01'::DATE", _TIME, "2026-03-01"),
        ("'04:05:06.7'::TIME", _TEXT, "04:05:06.7"),
        ("'04:05:10'::TIME", _TEXT, "04:05:10"),
        ("TO_BINARY('00DEAD', 'HEX')", _TEXT, "00dead"),
        ("NULL", _TEXT, None),
        ('PARSE_JSON(\'{"a": [1, null], "b": "é"}\')', _JSON, '{"a":[1,null],"b":"é"}'),
        ("PARSE_JSON('\"x\"')", _JSON, '"x"'),
        ("OBJECT_CONSTRUCT('k', 1)", _JSON, '{"k":1}'),
        ("PARSE_JSON('[1,2]')", _JSON, "[1,2]"),
    ],
)
async def test_value_of_any_type_is_exact(rig: SnowflakeRig, expression: str, kind: ColumnKind, value: object) -> None:
    query = f"""SELECT 'k' AS "id", {expression} AS v"""

    blocks = await read(rig, query, "id")

    assert rows(blocks) == [("k", value)]
    assert (await rig.warehouse.columns(query))[1] == Column("V", kind)


@pytest.mark.parametrize(
    ("type_name", "scale", "kind", "projection"),
    [
        ("MAP", 0, _JSON, 'TO_JSON(tailrace_rows."c")'),
        ("VECTOR", 0, _JSON, 'TO_JSON(tailrace_rows."c"::ARRAY)'),
        ("GEOGRAPHY", 0, _TEXT, 'ST_ASWKT(tailrace_rows."c")'),
        ("DECFLOAT", 0, ColumnKind.DECIMAL, 'TO_VARCHAR(tailrace_rows."c")'),
        ("INTERVAL_DAY_TIME", 0, _TEXT, 'TO_VARCHAR(tailrace_rows."c")'),
        ("FIXED", 4, ColumnKind.DECIMAL, 'TO_VARCHAR(tailrace_rows."c")'),
    ],
)
def test_type_that_the_emulator_lacks_is_asked_for_as_text(
    type_name: str, scale: int, kind: ColumnKind, projection: str
) -> None:
    field = Field("c", type_name, scale)

    sql, _ = reading_sql(Reading("SELECT 1", ("c",)), [field])

    assert field.kind is kind
    assert sql.startswith(f"SELECT {projection}, ")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 'a' AS \"id\";",
        "SELECT 'a' AS \"id\" ; -- the end",
        "SELECT 'a' AS \"id\" // the end; really",
        "-- first\nSELECT 'a' AS \"id\" /* ; -- */ -- the end",
        "SELECT 'a' AS \"id\", ';?' AS b, 'it\\'s;' AS c, 'it''s;' AS \"e;\"\"?\", $$;'?$$ AS d",
        "WITH w AS (SELECT 'a' AS \"id\") SELECT * FROM w;",
        "(SELECT 'a' AS \"id\" ORDER BY 1 LIMIT 1)",
        "select distinct 'a' as \"id\" union all select 'a' limit 1",
    ],
)
async def test_any_way_to_write_a_query_works(rig: SnowflakeRig, query: str) -> None:
    await require_one_row(rig, query)


async def test_names_without_quotes_are_in_capitals(rig: SnowflakeRig) -> None:
    with pytest.raises(SourceInvalid, match="no column id for the key; it has ID"):
        await read(rig, "SELECT 'a' AS id", "id")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 AS id; DELETE FROM victims",
        "DELETE FROM victims",
        "INSERT INTO victims VALUES (9)",
        "SELECT 1 AS id) AS r; DELETE FROM victims; SELECT (1",
        "SELECT 1 AS id) AS r, (SELECT 2",
        "SELECT 1 AS id ->> DELETE FROM victims",
        "CREATE TABLE more AS SELECT 1 AS id",
        "DROP TABLE victims",
        "CALL wipe()",
        "TRUNCATE victims",
        "EXECUTE IMMEDIATE 'DELETE FROM victims'",
        "SELECT SYSTEM$ABORT_SESSION(1) AS id",
        "ALTER SESSION SET QUERY_TAG = 'x'",
        "USE ROLE ACCOUNTADMIN",
        "SELECT ? AS id",
        "-- nothing",
        "",
    ],
)
async def test_query_that_does_more_than_read_changes_nothing(rig: SnowflakeRig, query: str) -> None:
    run(rig.account, "CREATE OR REPLACE TABLE victims (id INT)", "INSERT INTO victims VALUES (1)")

    with pytest.raises(SourceInvalid) as refused:
        await read(rig, query, "id")

    assert refused.value.code == "SOURCE_QUERY"
    assert rows(await read(rig, "SELECT * FROM victims", "ID")) == [(1,)]


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("DELETE FROM victims", "one SELECT that only reads"),
        ("(((", "one SELECT that only reads"),
        ("SELECT 1; SELECT 2", "another statement follows"),
        ("SELECT 1;;", "another statement follows"),
        ("SELECT 1 ->> SELECT * FROM $1", "another statement follows"),
        ("SELECT system$abort_session(1)", r"SYSTEM\$ABORT_SESSION"),
        ("SELECT ?", "write values into it"),
    ],
)
def test_query_that_does_more_than_read_is_not_even_sent(query: str, why: str) -> None:
    with pytest.raises(SourceInvalid, match=why):
        one_select(query)


def test_query_is_sent_without_the_semicolon_at_its_end() -> None:
    assert (
        one_select("SELECT ';' AS a, SYSTEM$TYPEOF(1), x -> x ; -- done")
        == "SELECT ';' AS a, SYSTEM$TYPEOF(1), x -> x "
    )


async def test_columns_are_told_without_running_the_query(rig: SnowflakeRig) -> None:
    async with asyncio.timeout(30):
        columns = await rig.warehouse.columns(rig.endless_query)

    assert [column.name for column in columns] == ["id", "N"]


async def test_tables_of_the_schema_are_read_by_their_names(rig: SnowflakeRig) -> None:
    run(rig.account, "CREATE OR REPLACE TABLE users AS SELECT column1 AS id FROM VALUES (1), (2)")

    assert rows(await read(rig, "SELECT * FROM shop.public.users", "ID")) == [(1,), (2,)]


async def test_value_that_breaks_the_query_is_not_told(rig: SnowflakeRig) -> None:
    query = """SELECT v AS "id", v::INT AS n FROM (SELECT 'private-value' AS v)"""

    with pytest.raises(SourceInvalid, match="value of a row") as refused:
        await read(rig, query, "id")

    assert "private-value" not in told(refused.value)


async def test_query_that_takes_too_long_is_stopped(snowflake: Snowflake) -> None:
    async with SnowflakeWarehouse.open(settings(snowflake, statement_timeout_s=1)) as warehouse:
        rig = SnowflakeRig(warehouse, snowflake)
        with pytest.raises(SourceUnavailable) as stopped:
            await read(rig, rig.endless_query, "id")

    assert stopped.value.code == "SOURCE_TIMEOUT"
    await eventually(snowflake.statements_running, 0)


async def test_columns_that_changed_since_they_were_looked_at_stop_the_read(rig: SnowflakeRig) -> None:
    run(rig.account, "CREATE OR REPLACE TABLE changing (id INT, name VARCHAR)")
    await rig.warehouse.columns("SELECT * FROM changing")
    run(rig.account, "CREATE OR REPLACE TABLE changing (id INT, name INT)")

    with pytest.raises(SourceInvalid) as refused:
        await read(rig, "SELECT * FROM changing", "ID")

    assert refused.value.code == "SCHEMA_CHANGED"
