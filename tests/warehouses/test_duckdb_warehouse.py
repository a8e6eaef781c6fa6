import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import duckdb
import orjson
import pytest
import pytest_asyncio

from tailrace.connector_kit.registry import secret_fields, validate_settings, warehouse_type
from tailrace.connector_kit.warehouse import Reading, Warehouse
from tailrace.core.errors import Invalid, SourceInvalid, SourceUnavailable
from tailrace.core.rows import Column, ColumnKind
from tailrace.core.settlements import Position
from tailrace.pipeline.map_fields import Mapper
from tailrace.testing.cursor_contract import CursorContract
from tailrace.testing.key_sample_contract import KeySampleContract
from tailrace.testing.warehouse_contract import WarehouseContract, WarehouseRig, collect, keys, read, rows, told
from tailrace.warehouses.duckdb import LOCAL_FILES, DuckDbSettings, DuckDbWarehouse
from tests.executor.yard import definition_of

_JSON = ColumnKind.JSON
_TEXT = ColumnKind.TEXT
_TIME = ColumnKind.TIMESTAMP
_TYPES = {
    ColumnKind.TEXT: "VARCHAR",
    ColumnKind.INTEGER: "BIGINT",
    ColumnKind.FLOAT: "DOUBLE",
    ColumnKind.DECIMAL: "DECIMAL(38, 10)",
    ColumnKind.BOOLEAN: "BOOLEAN",
    ColumnKind.TIMESTAMP: "TIMESTAMPTZ",
}


class DuckDbRig(WarehouseRig):
    bad_query = "SELECT 1 FROM nonsense"
    endless_query = (
        "SELECT 'a' AS id, count(*) AS n FROM range(10000000) AS a (x), range(1000000) AS b (y) WHERE x % 7 < y % 5"
    )
    secret = "no-such-file"

    def __init__(self, warehouse: DuckDbWarehouse, files: Path) -> None:
        self.warehouse: DuckDbWarehouse = warehouse
        self.files = files

    def query(self, columns: Sequence[Column], rows: Sequence[Sequence[str | None]]) -> str:
        inner = [f"c{n}" for n in range(len(columns))]
        names = ", ".join(
            f'{c} AS "{column.name.replace(chr(34), chr(34) * 2)}"' for c, column in zip(inner, columns, strict=True)
        )
        lines = (", ".join(map(_literal, row, columns)) for row in rows)
        return f"SELECT {names} FROM (VALUES {', '.join(f'({line})' for line in lines)}) AS v ({', '.join(inner)})"

    async def queries_running(self) -> int:
        return int(self.warehouse.is_busy)

    def unreachable(self) -> AbstractAsyncContextManager[Warehouse]:
        return DuckDbWarehouse.open(settings(database="elsewhere.duckdb"))


class TestDuckDbWarehouse(WarehouseContract, CursorContract, KeySampleContract):
    pass


def test_there_are_no_credentials_since_the_directory_decides_who_may_read() -> None:
    assert secret_fields(DuckDbSettings) == frozenset()


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of local files, with a neighbour that is none of them."""
    folder = tmp_path / "files"
    (folder / "events").mkdir(parents=True)
    (tmp_path / "neighbour.csv").write_text("id\nprivate\n")
    monkeypatch.setenv(LOCAL_FILES, str(folder))
    with duckdb.connect(folder / "shop.duckdb") as connection:
        connection.execute("CREATE TABLE users AS SELECT n AS id, 'name ' || n AS name FROM range(30) AS r (n)")
        connection.execute(f"COPY (SELECT * FROM users WHERE id < 10) TO '{folder}/events/a.parquet'")
        connection.execute(f"COPY (SELECT * FROM users WHERE id >= 10) TO '{folder}/events/b.parquet'")
        connection.execute(f"COPY (SELECT * FROM users) TO '{folder}/users.csv' (HEADER)")
    return folder


@pytest_asyncio.fixture
async def rig(files: Path) -> AsyncIterator[DuckDbRig]:
    async with DuckDbWarehouse.open(settings(database="shop.duckdb", files={"events": "events/*.parquet"})) as opened:
        yield DuckDbRig(opened, files)


def settings(**raw: object) -> DuckDbSettings:
    return validate_settings(DuckDbSettings, raw)


def _literal(value: str | None, column: Column) -> str:
    return "NULL" if value is None else "'" + value.replace("'", "''") + f"'::{_TYPES[column.kind]}"


def test_registry_finds_it() -> None:
    assert warehouse_type("duckdb") is DuckDbWarehouse


@pytest.mark.parametrize(
    ("expression", "kind", "value"),
    [
        ("1.50::DECIMAL(10, 2)", ColumnKind.DECIMAL, "1.50"),
        (
            "170141183460469231731687303715884105727::HUGEINT",
            ColumnKind.DECIMAL,
            "170141183460469231731687303715884105727",
        ),
        ("0.1::FLOAT", ColumnKind.FLOAT, 0.1),
        ("1e300::DOUBLE", ColumnKind.FLOAT, 1e300),
        ("'-infinity'::DOUBLE", ColumnKind.FLOAT, float("-inf")),
        ("18446744073709551615::UBIGINT", ColumnKind.INTEGER, 18446744073709551615),
        ("7::TINYINT", ColumnKind.INTEGER, 7),
        ("'2026-03-01 12:00:00.123456+05:30'::TIMESTAMPTZ", _TIME, "2026-03-01T06:30:00.123456Z"),
        ("'2026-03-01 12:00'::TIMESTAMP", _TIME, "2026-03-01T12:00:00"),
        ("'2026-03-01 12:00:00.123456789'::TIMESTAMP_NS", _TIME, "2026-03-01T12:00:00.123456789"),
        ("'infinity'::TIMESTAMPTZ", _TIME, "infinity"),
        ("DATE '2026-03-01'", _TIME, "2026-03-01"),
        ("TIME '04:05:06.7'", _TEXT, "04:05:06.7"),
        ("INTERVAL 1 DAY", _TEXT, "1 day"),
        ("'6f1ad5fc-1b2c-4c4d-8e8f-0123456789ab'::UUID", _TEXT, "6f1ad5fc-1b2c-4c4d-8e8f-0123456789ab"),
        (r"'\x00\xDE\xAD'::BLOB", _TEXT, r"\x00dead"),
        ("'ok'::ENUM ('sad', 'ok')", _TEXT, "ok"),
        ("NULL", _TEXT, None),
        ("'{\"a\": 1.00}'::JSON", _JSON, '{"a": 1.00}'),
        ("[1, NULL, 3]", _JSON, "[1,null,3]"),
        ("['a\"b', 'é']", _JSON, '["a\\"b","é"]'),
        ("{'f': 1, 'g': 'x'}", _JSON, '{"f":1,"g":"x"}'),
        ("MAP {'k': 1}", _JSON, '{"k":1}'),
    ],
)
async def test_value_of_any_type_is_exact(rig: DuckDbRig, expression: str, kind: ColumnKind, value: object) -> None:
    query = f"SELECT 'k' AS id, {expression} AS v"

    blocks = await read(rig, query, "id")

    assert rows(blocks) == [("k", value)]
    assert (await rig.warehouse.columns(query))[1].kind is kind


@pytest.mark.parametrize(
    "value",
    ["['nan'::DOUBLE]", "{'f': '-inf'::FLOAT, 'g': 'x'}", "'[1,]'::JSON", "'[nan]'::JSON", "{'j': 'inf'::JSON}"],
)
async def test_json_that_others_cannot_read_keeps_its_row_from_being_sent(rig: DuckDbRig, value: str) -> None:
    query = f"SELECT 'a' AS id, {value} AS v UNION ALL SELECT 'b', NULL"
    mapper = Mapper(definition_of(query, ("id", "v")), await rig.warehouse.columns(query), Position())

    [block] = await read(rig, query, "id")
    unfit, fit = mapper.map_block(block)

    assert (unfit.problem and unfit.problem.code, fit.problem) == ("NOT_REPRESENTABLE", None)
    assert orjson.loads(unfit.row.body)["v"] == block.rows[0][1]


async def test_tables_of_the_file_and_views_of_files_are_read_together(rig: DuckDbRig) -> None:
    blocks = await read(rig, "SELECT id, events.name FROM users JOIN events USING (id)", "id")

    assert sorted(rows(blocks)) == [(n, f"name {n}") for n in range(30)]


@pytest.mark.parametrize("name", ["users.csv", "events/a.parquet"])
async def test_files_are_read_without_a_database(files: Path, name: str) -> None:
    async with DuckDbWarehouse.open(settings(files={"some": name})) as warehouse:
        blocks = await read(DuckDbRig(warehouse, files), 'SELECT id FROM "some" WHERE id < 2', "id")

    assert rows(blocks) == [(0,), (1,)]


async def test_keys_of_a_column_that_ignores_case_are_told_apart(files: Path) -> None:
    with duckdb.connect(files / "folded.duckdb") as connection:
        connection.execute("CREATE TABLE t (id VARCHAR COLLATE NOCASE, name VARCHAR COLLATE NOACCENT DEFAULT 'é')")
        connection.execute("INSERT INTO t (id) VALUES ('b'), ('A'), ('a'), ('B')")
    async with DuckDbWarehouse.open(settings(database="folded.duckdb")) as warehouse:
        blocks = await read(DuckDbRig(warehouse, files), "SELECT * FROM t", "id")

    assert keys(blocks) == [("A",), ("B",), ("a",), ("b",)]
    assert rows(blocks) == [("A", "é"), ("B", "é"), ("a", "é"), ("b", "é")]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 'a' AS id;",
        "SELECT 'a' AS id -- the end",
        "-- first\nSELECT 'a' AS id /* ; */; -- the end",
        "SELECT 'a' AS id, ';' AS b, $$;$$ AS d;",
        "WITH w AS (SELECT 'a' AS id) SELECT * FROM w;",
        "(SELECT 'a' AS id ORDER BY 1 LIMIT 1);",
        "FROM (SELECT 'a' AS id)",
    ],
)
async def test_any_way_to_write_a_query_works(rig: DuckDbRig, query: str) -> None:
    assert keys(await read(rig, query, "id")) == [("a",)]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 AS id; DROP TABLE users",
        "SELECT ? AS id",
        "DELETE FROM users RETURNING id",
        "INSERT INTO users VALUES (1, 'x') RETURNING id",
        "CREATE TABLE more AS SELECT 1 AS id",
        "COPY users TO 'stolen.csv'",
        "ATTACH 'other.duckdb'",
        "PRAGMA version",
        "EXPLAIN SELECT 1 AS id",
        "SET enable_external_access = true",
        "CALL pragma_version()",
        "INSTALL httpfs",
        "SELECT * FROM read_csv('{neighbour}')",
        "SELECT * FROM '{neighbour}'",
        "SELECT content AS id FROM read_text('/etc/hostname')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM read_csv('https://127.0.0.1:1/x.csv')",
    ],
)
async def test_query_that_does_more_than_read_what_is_offered_is_refused(rig: DuckDbRig, query: str) -> None:
    neighbour = rig.files.parent / "neighbour.csv"

    with pytest.raises(SourceInvalid) as refused:
        await read(rig, query.replace("{neighbour}", str(neighbour)), "id")

    assert refused.value.code == "SOURCE_QUERY"
    assert "private" not in told(refused.value)
    assert len(rows(await read(rig, "SELECT id FROM users", "id"))) == 30


@pytest.mark.parametrize("path", ["../neighbour.csv", "events/../../neighbour.csv", "link.csv"])
async def test_path_that_leads_out_of_the_directory_is_refused(files: Path, path: str) -> None:
    (files / "link.csv").symlink_to(files.parent / "neighbour.csv")

    with pytest.raises(SourceInvalid, match="leads out"):
        await use(settings(files={"some": path}))


async def test_without_a_directory_of_local_files_nothing_is_read(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LOCAL_FILES)

    with pytest.raises(SourceInvalid, match=LOCAL_FILES):
        await use(settings(database="shop.duckdb"))


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        ({}, "give a database, files, or both"),
        ({"database": "/etc/passwd"}, "database"),
        ({"files": {"some": "a.xlsx"}}, "files.some must end in one of .parquet"),
        ({"files": {'x" AS': "a.csv"}}, "files"),
    ],
)
def test_settings_that_cannot_work_say_why(raw: dict[str, object], what: str) -> None:
    with pytest.raises(Invalid, match=what):
        settings(**raw)


async def test_file_that_is_no_database_is_unavailable(files: Path) -> None:
    (files / "text.duckdb").write_text("no database, but long enough to be looked at " * 500)

    with pytest.raises(SourceUnavailable, match="cannot answer"):
        await use(settings(database="text.duckdb"))


async def test_value_that_breaks_the_query_is_not_told(rig: DuckDbRig) -> None:
    query = "SELECT v AS id, v::INTEGER AS n FROM (VALUES ('private-value')) AS x (v)"

    with pytest.raises(SourceInvalid, match="ConversionException") as refused:
        await read(rig, query, "id")

    assert "private-value" not in told(refused.value)


async def test_query_that_takes_too_long_is_stopped(files: Path) -> None:
    async with DuckDbWarehouse.open(settings(database="shop.duckdb", statement_timeout_s=0.2)) as warehouse:
        rig = DuckDbRig(warehouse, files)
        with pytest.raises(SourceUnavailable) as stopped:
            await read(rig, rig.endless_query, "id")

        assert stopped.value.code == "SOURCE_TIMEOUT"
        assert not warehouse.is_busy


async def test_large_rows_come_in_small_blocks(rig: DuckDbRig) -> None:
    query = "SELECT n AS id, repeat('x', 1000000) AS text FROM range(30) AS r (n)"

    blocks = await read(rig, query, "id")

    assert [len(block.rows) for block in blocks] == [20, 4, 4, 2]
    assert {len(str(text)) for _, text in rows(blocks)} == {1000000}


async def test_sort_larger_than_the_memory_goes_over_the_disk(files: Path) -> None:
    query = "SELECT n AS id, repeat(n::VARCHAR, 40) AS text FROM range(1000000) AS r (n)"
    narrow = settings(database="shop.duckdb", memory_limit_mib=64, threads=1)

    async with DuckDbWarehouse.open(narrow) as warehouse, warehouse.read(Reading(query, ("id",))) as blocks:
        first = await anext(blocks)

    assert first.keys[:3] == [("0",), ("1",), ("10",)]


async def test_columns_that_changed_since_they_were_looked_at_stop_the_read(files: Path) -> None:
    query = 'SELECT * FROM "some"'
    async with DuckDbWarehouse.open(settings(files={"some": "users.csv"})) as warehouse:
        await warehouse.columns(query)
        (files / "users.csv").write_text("id,name,more\n1,a,b\n")
        with pytest.raises(SourceInvalid) as refused:
            await collect(DuckDbRig(warehouse, files), Reading(query, ("id",)))

    assert refused.value.code in {"SCHEMA_CHANGED", "SOURCE_QUERY"}


async def test_several_runs_read_one_file_at_once(files: Path) -> None:
    async def count() -> int:
        async with DuckDbWarehouse.open(settings(database="shop.duckdb")) as warehouse:
            return len(rows(await read(DuckDbRig(warehouse, files), "SELECT id FROM users", "id")))

    assert await asyncio.gather(*[count() for _ in range(4)]) == [30] * 4


async def use(chosen: DuckDbSettings) -> None:
    async with DuckDbWarehouse.open(chosen) as warehouse:
        await warehouse.check()
