import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tailrace.connector_kit.databricks_settings import DatabricksSettings
from tailrace.connector_kit.databricks_sql import Field, one_select, reading_sql
from tailrace.connector_kit.registry import secret_fields, warehouse_type
from tailrace.connector_kit.warehouse import Reading
from tailrace.core.errors import SourceInvalid
from tailrace.core.rows import Column, ColumnKind
from tailrace.testing.cursor_contract import CursorContract
from tailrace.testing.databricks_server import databricks_server
from tailrace.testing.key_sample_contract import KeySampleContract, require_one_row
from tailrace.testing.warehouse_contract import (
    CredentialsContract,
    WarehouseContract,
    read,
    rows,
    told,
)
from tailrace.warehouses.databricks import DatabricksWarehouse
from tests.warehouses.databricks_rig import DatabricksRig, opened

_JSON = ColumnKind.JSON
_TEXT = ColumnKind.TEXT
_TIME = ColumnKind.TIMESTAMP


class TestDatabricksWarehouse(WarehouseContract, CredentialsContract, CursorContract, KeySampleContract):
    pass


@pytest_asyncio.fixture
async def rig() -> AsyncIterator[DatabricksRig]:
    async with databricks_server() as workspace, opened(workspace) as warehouse:
        yield DatabricksRig(warehouse, workspace)


def test_registry_finds_it_and_knows_its_secrets() -> None:
    assert warehouse_type("databricks") is DatabricksWarehouse
    assert secret_fields(DatabricksSettings) == {"access_token", "client_secret"}


@pytest.mark.parametrize(
    ("expression", "kind", "value"),
    [
        ("CAST(1.50 AS DECIMAL(10, 2))", ColumnKind.DECIMAL, "1.50"),
        ("CAST(7 AS TINYINT)", ColumnKind.INTEGER, 7),
        ("CAST(9223372036854775807 AS BIGINT)", ColumnKind.INTEGER, 9223372036854775807),
        ("CAST('1e300' AS DOUBLE)", ColumnKind.FLOAT, 1e300),
        ("CAST('-Infinity' AS DOUBLE)", ColumnKind.FLOAT, float("-inf")),
        ("FALSE", ColumnKind.BOOLEAN, False),
        ("CAST('2026-11-01T05:30:00.123456Z' AS TIMESTAMP)", _TIME, "2026-11-01T05:30:00.123456Z"),
        ("CAST('2026-11-01T06:30:00Z' AS TIMESTAMP)", _TIME, "2026-11-01T06:30:00Z"),
        ("CAST('2026-03-01 12:00:00.120' AS TIMESTAMP_NTZ)", _TIME, "2026-03-01T12:00:00.12"),
        ("CAST('2026-03-01' AS DATE)", _TIME, "2026-03-01"),
        ("X'00DEAD'", _TEXT, "00dead"),
        ('parse_json(\'{"a":[1,null],"b":"é"}\')', _JSON, '{"a":[1,null],"b":"é"}'),
        ("array(1, 2)", _JSON, "[1,2]"),
        ("map('k', 1)", _JSON, '{"k":1}'),
        ("named_struct('a', 1)", _JSON, '{"a":1}'),
    ],
)
async def test_value_of_any_type_is_exact(rig: DatabricksRig, expression: str, kind: ColumnKind, value: object) -> None:
    query = f"SELECT 'k' AS id, {expression} AS v"

    blocks = await read(rig, query, "id")

    assert rows(blocks) == [("k", value)]
    assert (await rig.warehouse.columns(query))[1] == Column("v", kind)


@pytest.mark.parametrize(
    ("type_text", "kind", "projection"),
    [
        ("interval day to second", _TEXT, "CAST(tailrace_rows.`c` AS STRING)"),
        ("void", _TEXT, "CAST(tailrace_rows.`c` AS STRING)"),
        ("string collate UNICODE_CI", _TEXT, "CAST(tailrace_rows.`c` AS STRING)"),
        ("geography(4326)", _TEXT, "st_astext(tailrace_rows.`c`)"),
        ("variant", _JSON, "to_json(tailrace_rows.`c`)"),
    ],
)
def test_type_that_the_stand_in_lacks_is_asked_for_as_text(type_text: str, kind: ColumnKind, projection: str) -> None:
    field = Field("c", type_text)

    sql, _ = reading_sql(Reading("SELECT 1", ("c",)), [field])

    assert field.kind is kind
    assert sql.startswith(f"SELECT {projection} AS c0, ")


def test_texts_of_columns_with_two_collations_do_not_meet_in_an_array() -> None:
    fields = [Field("a", "string collate UTF8_LCASE"), Field("b", "string")]

    sql, _ = reading_sql(Reading("SELECT 1", ("a",)), fields)

    in_bytes = [f"hex(encode(CAST(tailrace_rows.`{name}` AS STRING), 'UTF-8'))" for name in "ab"]
    assert f"to_json(array({', '.join(in_bytes)}))" in sql


@pytest.mark.parametrize(("option", "end"), [("timestampFormat", "XXX"), ("timestampNTZFormat", "")])
def test_times_inside_of_others_are_asked_for_to_the_microsecond(option: str, end: str) -> None:
    sql, _ = reading_sql(Reading("SELECT 1", ("c",)), [Field("c", "struct<t:timestamp,n:timestamp_ntz>")])

    assert f"'{option}', 'yyyy-MM-dd\\'T\\'HH:mm:ss.SSSSSS{end}'" in sql


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 'a' AS id;",
        "SELECT 'a' AS id ; -- the end",
        "-- first\nSELECT 'a' AS id /* ; -- */ -- the end",
        "SELECT 'a' AS id, ';?:x' AS b, 'it\\'s;' AS c, \"it's;\" AS d, r'\\' AS e, 1 AS `f;```",
        "WITH w AS (SELECT 'a' AS id) SELECT * FROM w;",
        "(SELECT 'a' AS id ORDER BY 1 LIMIT 1)",
        "select distinct 'a' as id union all select 'a' limit 1",
    ],
)
async def test_any_way_to_write_a_query_works(rig: DatabricksRig, query: str) -> None:
    await require_one_row(rig, query)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 AS id; DELETE FROM victims",
        "DELETE FROM victims",
        "INSERT INTO victims VALUES (9)",
        "WITH w AS (SELECT 1 AS id) INSERT INTO victims SELECT * FROM w",
        "SELECT 1 AS id) AS r; DELETE FROM victims; SELECT (1",
        "SELECT 1 AS id) AS r, (SELECT 2",
        "BEGIN DELETE FROM victims; SELECT 1 AS id; END",
        "CREATE TABLE more AS SELECT 1 AS id",
        "DROP TABLE victims",
        "CALL wipe()",
        "TRUNCATE TABLE victims",
        "EXECUTE IMMEDIATE 'DELETE FROM victims'",
        "SET ansi_mode = false",
        "SELECT ? AS id",
        "SELECT :after_0 AS id",
        "SELECT http_request(conn => 'c', method => 'POST', path => '/') AS id",
        "-- nothing",
        "",
    ],
)
async def test_query_that_does_more_than_read_changes_nothing(rig: DatabricksRig, query: str) -> None:
    rig.workspace.run("CREATE TABLE victims (id INT)", "INSERT INTO victims VALUES (1)")

    with pytest.raises(SourceInvalid) as refused:
        await read(rig, query, "id")

    assert refused.value.code == "SOURCE_QUERY"
    assert rows(await read(rig, "SELECT * FROM victims", "id")) == [(1,)]


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("DELETE FROM victims", "one SELECT that only reads"),
        ("BEGIN SELECT 1; END", "one SELECT that only reads"),
        ("SELECT 1; SELECT 2", "another statement follows"),
        ("SELECT 1 /* ' /* */ */ ; DROP TABLE victims -- '", "has another in it"),
        ("SELECT 1 /* no end", "does not end"),
        ("SELECT `HTTP_REQUEST`(1)", "http_request"),
        ("SELECT 1 AS id -- \\\n; DROP\n; DROP TABLE victims", "another statement follows"),
    ],
)
def test_query_that_does_more_than_read_is_not_even_sent(query: str, why: str) -> None:
    with pytest.raises(SourceInvalid, match=why):
        one_select(query)


async def test_columns_whose_names_differ_in_case_alone_are_twins(rig: DatabricksRig) -> None:
    with pytest.raises(SourceInvalid, match="several columns named id") as refused:
        await rig.warehouse.columns("SELECT 'a' AS id, 'b' AS ID")

    assert refused.value.code == "DUPLICATE_COLUMN"


async def test_columns_are_told_without_running_the_query(rig: DatabricksRig) -> None:
    async with asyncio.timeout(30):
        columns = await rig.warehouse.columns(rig.endless_query)

    assert [column.name for column in columns] == ["id", "n"]


async def test_value_that_breaks_the_query_is_not_told(rig: DatabricksRig) -> None:
    query = "SELECT v AS id, CAST(v AS INT) AS n FROM VALUES ('private-value') AS t(v)"

    with pytest.raises(SourceInvalid, match="value of a row") as refused:
        await read(rig, query, "id")

    assert "private-value" not in told(refused.value)


async def test_columns_that_changed_since_they_were_looked_at_stop_the_read(rig: DatabricksRig) -> None:
    rig.workspace.run("CREATE TABLE changing (id INT, name VARCHAR)")
    await rig.warehouse.columns("SELECT * FROM changing")
    rig.workspace.run("ALTER TABLE changing ALTER name TYPE INT")

    with pytest.raises(SourceInvalid) as refused:
        await read(rig, "SELECT * FROM changing", "id")

    assert refused.value.code == "SCHEMA_CHANGED"
