from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tailrace.connector_kit.bigquery_settings import BigQuerySettings
from tailrace.connector_kit.bigquery_sql import Field, field_of, one_select, reading_sql
from tailrace.connector_kit.registry import secret_fields, warehouse_type
from tailrace.connector_kit.warehouse import Cursor, Reading
from tailrace.core.errors import SourceInvalid
from tailrace.core.rows import Column, ColumnKind, RowKey
from tailrace.testing.bigquery_stand_in import BigQueryStandIn
from tailrace.testing.cursor_contract import CursorContract
from tailrace.testing.key_sample_contract import KeySampleContract, require_one_row
from tailrace.testing.warehouse_contract import CredentialsContract, WarehouseContract, collect, keys, read, rows, told
from tailrace.warehouses.bigquery import BigQueryWarehouse
from tests.warehouses.bigquery_rig import BigQueryRig, opened, settings

_JSON = ColumnKind.JSON
_TEXT = ColumnKind.TEXT
_TIME = ColumnKind.TIMESTAMP


class TestBigQueryWarehouse(WarehouseContract, CredentialsContract, CursorContract, KeySampleContract):
    pass


@pytest_asyncio.fixture
async def rig(bigquery: BigQueryStandIn) -> AsyncIterator[BigQueryRig]:
    async with opened(settings(bigquery)) as warehouse:
        yield BigQueryRig(warehouse, bigquery)


def test_registry_finds_it_and_knows_its_secrets() -> None:
    assert warehouse_type("bigquery") is BigQueryWarehouse
    assert secret_fields(BigQuerySettings) == {"service_account"}


@pytest.mark.parametrize(
    ("expression", "kind", "value"),
    [
        ("CAST('12345678901234567890.12' AS NUMERIC)", ColumnKind.DECIMAL, "12345678901234567890.1200000000"),
        ("CAST(7 AS INT64)", ColumnKind.INTEGER, 7),
        ("CAST('1e300' AS FLOAT64)", ColumnKind.FLOAT, 1e300),
        ("CAST('-inf' AS FLOAT64)", ColumnKind.FLOAT, float("-inf")),
        ("FALSE", ColumnKind.BOOLEAN, False),
        ("TIMESTAMP '2026-03-01 12:00:00.123456+05:30'", _TIME, "2026-03-01T06:30:00.123456Z"),
        ("TIMESTAMP '2026-03-01 12:00:00+00'", _TIME, "2026-03-01T12:00:00Z"),
        ("DATETIME '2026-03-01 12:00:10'", _TIME, "2026-03-01T12:00:10"),
        ("DATETIME '2026-03-01 12:00:00.120'", _TIME, "2026-03-01T12:00:00.12"),
        ("DATE '2026-03-01'", _TIME, "2026-03-01"),
        ("CAST('04:05:06.7' AS TIME)", _TEXT, "04:05:06.7"),
        ("CAST('04:05:10' AS TIME)", _TEXT, "04:05:10"),
        ("CAST('é' AS BYTES)", _TEXT, "c3a9"),
        ("CAST(NULL AS STRING)", _TEXT, None),
        ("STRUCT(1 AS a, 'é' AS b)", _JSON, '{"a":1,"b":"é"}'),
        ("[1, 2]", _JSON, "[1,2]"),
        ("CAST(NULL AS ARRAY<INT64>)", _JSON, None),
    ],
)
async def test_value_of_any_type_is_exact(rig: BigQueryRig, expression: str, kind: ColumnKind, value: object) -> None:
    query = f"SELECT 'k' AS id, {expression} AS v"

    blocks = await read(rig, query, "id")

    assert rows(blocks) == [("k", value)]
    assert (await rig.warehouse.columns(query))[1] == Column("v", kind)


@pytest.mark.parametrize(
    ("type_name", "mode", "kind", "projection"),
    [
        ("JSON", "NULLABLE", _JSON, "IF(tailrace_rows.`c` IS NULL, NULL, TO_JSON_STRING(tailrace_rows.`c`))"),
        ("STRING", "REPEATED", _JSON, "IF(tailrace_rows.`c` IS NULL, NULL, TO_JSON_STRING(tailrace_rows.`c`))"),
        ("GEOGRAPHY", "NULLABLE", _TEXT, "ST_ASTEXT(tailrace_rows.`c`)"),
        ("INTERVAL", "NULLABLE", _TEXT, "CAST(tailrace_rows.`c` AS STRING)"),
        ("RANGE", "NULLABLE", _TEXT, "CAST(tailrace_rows.`c` AS STRING)"),
        ("INTEGER", "REQUIRED", ColumnKind.INTEGER, "tailrace_rows.`c`"),
        ("BIGNUMERIC", "NULLABLE", ColumnKind.DECIMAL, "CAST(tailrace_rows.`c` AS STRING)"),
    ],
)
def test_type_is_asked_for_as_exact_text(type_name: str, mode: str, kind: ColumnKind, projection: str) -> None:
    field = field_of("c", type_name, mode)

    statement = reading_sql(Reading("SELECT 1", ("c",)), [field])

    assert field.kind is kind
    assert statement.sql.startswith(f"SELECT {projection} AS tailrace_c0, ")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 'a' AS id;",
        "SELECT 'a' AS id ; -- the end",
        "SELECT 'a' AS id # the end; really",
        "-- first\nSELECT 'a' AS id /* ; -- */ -- the end",
        "SELECT 'a' AS id, ';?' AS b, 'it\\'s;@x' AS c, \"e;\" AS d, '''f;'?''' AS e",
        "WITH w AS (SELECT 'a' AS id) SELECT * FROM w;",
        "(SELECT 'a' AS id ORDER BY 1 LIMIT 1)",
        "select distinct 'a' as id union all select 'a' limit 1",
    ],
)
async def test_any_way_to_write_a_query_works(rig: BigQueryRig, query: str) -> None:
    await require_one_row(rig, query)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 AS id; DELETE FROM victims WHERE TRUE",
        "DELETE FROM victims WHERE TRUE",
        "INSERT INTO victims VALUES (9)",
        "SELECT 1 AS id) AS r; DELETE FROM victims WHERE TRUE; SELECT (1",
        "SELECT 1 AS id) AS r, (SELECT 2 AS b",
        "CREATE TABLE more AS SELECT 1 AS id",
        "WITH w AS (SELECT 1 AS id) INSERT INTO victims SELECT * FROM w",
        "DROP TABLE victims",
        "CALL wipe()",
        "BEGIN DELETE FROM victims WHERE TRUE; END",
        "EXECUTE IMMEDIATE 'DELETE FROM victims WHERE TRUE'",
        "SELECT ? AS id",
        "SELECT @id AS id",
        "-- nothing",
        "",
    ],
)
async def test_query_that_does_more_than_read_changes_nothing(rig: BigQueryRig, query: str) -> None:
    rig.project.engine.run("CREATE TABLE victims AS SELECT 1 AS id")

    with pytest.raises(SourceInvalid) as refused:
        await read(rig, query, "id")

    assert refused.value.code == "SOURCE_QUERY"
    assert rows(await read(rig, "SELECT * FROM victims", "id")) == [(1,)]


@pytest.mark.parametrize("kind", ["INSERT", "SCRIPT", "CREATE_TABLE_AS_SELECT", "EXPORT_DATA", ""])
async def test_what_the_server_takes_for_no_select_is_refused_whatever_it_looks_like(
    rig: BigQueryRig, kind: str
) -> None:
    rig.project.statement_kind = kind

    with pytest.raises(SourceInvalid, match="one SELECT") as refused:
        await read(rig, "SELECT 1 AS id", "id")

    assert refused.value.code == "SOURCE_QUERY"
    assert rig.project.jobs_made() == 0


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("DELETE FROM victims", "one SELECT that only reads"),
        ("(((", "one SELECT that only reads"),
        ("SELECT 1; SELECT 2", "another statement follows"),
        ("SELECT 1;;", "another statement follows"),
        ("SELECT ?", "write values into it"),
        ("SELECT @a", "write values into it"),
    ],
)
def test_query_that_does_more_than_read_is_not_even_sent(query: str, why: str) -> None:
    with pytest.raises(SourceInvalid, match=why):
        one_select(query)


def test_query_is_sent_without_the_semicolon_at_its_end() -> None:
    query = 'SELECT \';\' AS a, @@project_id, `b;`, r\'\\\';\', """c";""" '

    assert one_select(query + "; # done") == query


async def test_column_without_a_name_is_refused_before_anything_runs(rig: BigQueryRig) -> None:
    with pytest.raises(SourceInvalid, match="f1_") as refused:
        await rig.warehouse.columns("SELECT 'a' AS id, 1 + 1")

    assert refused.value.code == "SOURCE_QUERY"
    assert rig.project.jobs_made() == 0


async def test_columns_are_told_without_running_the_query(rig: BigQueryRig) -> None:
    columns = await rig.warehouse.columns(rig.endless_query)

    assert [column.name for column in columns] == ["id", "n"]
    assert rig.project.jobs_made() == 0


async def test_many_keys_are_one_argument(rig: BigQueryRig) -> None:
    query = rig.query([Column("id", _TEXT), Column("n", ColumnKind.INTEGER)], [["é", "1"], [None, "2"], ["", "3"]])
    wanted = [RowKey((part,)) for part in ("é", "", *map(str, range(20_000)))]

    blocks = await collect(rig, Reading(query, ("id",), only=wanted))

    assert keys(blocks) == [("",), ("é",)]
    assert len(rig.project.bodies[-1]["configuration"]["query"]["queryParameters"]) == 1


async def test_no_number_is_behind_all_others(rig: BigQueryRig) -> None:
    query = rig.query([Column("id", _TEXT), Column("c", ColumnKind.FLOAT)], [["a", "nan"], ["b", "2"], ["c", "1"]])

    whole = await collect(rig, Reading(query, ("id",), cursor=Cursor("c")))
    behind = await collect(rig, Reading(query, ("id",), after=RowKey(("c",)), cursor=Cursor("c", "1")))

    assert keys(whole) == [("c",), ("b",), ("a",)]
    assert keys(behind) == [("b",), ("a",)]


async def test_value_that_breaks_the_query_is_not_told(rig: BigQueryRig) -> None:
    rig.project.engine.run("CREATE TABLE secrets AS SELECT 'private-value' AS v")

    with pytest.raises(SourceInvalid, match="value of a row") as refused:
        await read(rig, "SELECT v AS id, CAST(v AS INT64) AS n FROM secrets", "id")

    assert refused.value.code == "SOURCE_QUERY"
    assert "private-value" not in told(refused.value)


async def test_columns_that_changed_since_they_were_looked_at_stop_the_read(rig: BigQueryRig) -> None:
    rig.project.engine.run("CREATE TABLE changing (id BIGINT, name VARCHAR)")
    await rig.warehouse.columns("SELECT * FROM changing")
    rig.project.engine.run("CREATE OR REPLACE TABLE changing (id BIGINT, name BIGINT)")

    with pytest.raises(SourceInvalid) as refused:
        await read(rig, "SELECT * FROM changing", "id")

    assert refused.value.code == "SCHEMA_CHANGED"


async def test_columns_that_change_before_the_job_begins_stop_the_read(rig: BigQueryRig) -> None:
    rig.project.engine.run("CREATE TABLE changing AS SELECT 1 AS id, TRUE AS is_paying")
    rig.project.before_jobs = "CREATE OR REPLACE TABLE changing AS SELECT 1 AS id, 'true, since May' AS is_paying"

    with pytest.raises(SourceInvalid) as refused:
        await read(rig, "SELECT * FROM changing", "id")

    assert refused.value.code == "SCHEMA_CHANGED"


def test_name_cannot_leave_its_quotes() -> None:
    statement = reading_sql(Reading("SELECT 1", ("a`\\b",)), [Field("a`\\b", "STRING")])

    assert "tailrace_rows.`a\\`\\\\b` AS tailrace_c0" in statement.sql
