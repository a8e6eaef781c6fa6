"""Rows of DuckDB that come as lines of text are those that its driver gives value by value."""

import asyncio
from collections.abc import Sequence
from typing import Any

import duckdb
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tailrace.connector_kit.blocks import fetched_blocks, text_blocks
from tailrace.connector_kit.duckdb_reading import ROWS, line_statement, statement
from tailrace.connector_kit.duckdb_values import ReadColumn
from tailrace.connector_kit.warehouse import Reading
from tailrace.core.rows import Block, Column, ColumnKind
from tailrace.core.settlements import Position
from tailrace.core.syncs import FieldMapping, SyncDefinition, SyncMode
from tailrace.pipeline.map_fields import Mapper
from tailrace.pipeline.plain import MappedRow

odd_texts = st.text(st.sampled_from('abN"\\\b\f\n\r\t\v\x00\x01\x1f\x7fé\U0001f600%/ +0'), max_size=6)
moments = st.datetimes().map(str)
texts_of = {
    "VARCHAR": odd_texts,
    "BIGINT": st.integers(-(2**63), 2**63 - 1).map(str),
    "UBIGINT": st.integers(0, 2**64 - 1).map(str),
    "HUGEINT": st.integers(-(2**126), 2**126).map(str),
    "DECIMAL(20, 4)": st.decimals(-(10**15), 10**15, places=4).map(str),
    "FLOAT": st.floats(width=32).map(str),
    "DOUBLE": st.floats().map(str),
    "BOOLEAN": st.sampled_from(["true", "false"]),
    "DATE": moments.map(lambda moment: moment[:10]) | st.sampled_from(["infinity", "0044-03-15 (BC)", "12026-01-01"]),
    "TIMESTAMP": moments | st.sampled_from(["-infinity", "0044-03-15 (BC) 01:02:03"]),
    "TIMESTAMPTZ": moments | st.sampled_from(["infinity", "0044-03-15 (BC) 01:02:03.5", "2026-03-01 04:05:06+05:30"]),
    "TIMESTAMP_NS": st.just("2026-03-01 12:00:00.123456789"),
    "TIME": st.just("04:05:06.7"),
    "UUID": st.uuids().map(str),
    "INTERVAL": st.just("1 day 02:00:00"),
    "ENUM('a\tb', 'c')": st.sampled_from(["a\tb", "c"]),
    "JSON": st.sampled_from(['{"a": "x\\n"}', "[1.50,\nnull]", '"\\u00e9"', '"\\\\N"']),
    "DOUBLE[]": st.sampled_from(["[1.5, NULL]", "[nan]", "[1, -inf]"]),
    "VARCHAR[]": st.sampled_from(["[a, NULL]", "['x\ty', 'q\"']"]),
    "STRUCT(a INTEGER, b VARCHAR)": st.sampled_from(["{'a': 1, 'b': 'x\ny'}", "{'a': NULL, 'b': '\\N'}"]),
    "BLOB": st.sampled_from(["\\x00\\x5C\\x0A", "abc"]),
}
rows = st.tuples(st.integers(0, 3).map(str), *(st.none() | texts for texts in texts_of.values()))
KEYS = ("key", "VARCHAR", "DOUBLE")
NOT_A_NUMBER = {"VARCHAR": "a", "DOUBLE": "1.5", "DOUBLE[]": "[nan]"}


@settings(deadline=None, max_examples=25)
@given(st.lists(rows, min_size=1, max_size=5))
@example([("1", *map(NOT_A_NUMBER.get, texts_of))])
def test_rows_that_come_as_lines_are_those_that_come_as_values(found: list[tuple[str | None, ...]]) -> None:
    with duckdb.connect() as connection:
        columns = view(connection, found)
        lines = asyncio.run(read(connection, columns, as_lines=True))
        values = asyncio.run(read(connection, columns, as_lines=False))

    assert repr(list(lines.rows)) == repr(list(values.rows))
    assert repr(lines.rows[0]) == repr(values.rows[0])
    assert lines.keys == values.keys
    assert mapped(lines, columns, KEYS) == mapped(values, columns, KEYS)
    assert mapped(lines, columns, KEYS[:1]) == mapped(values, columns, KEYS[:1])


def view(connection: duckdb.DuckDBPyConnection, found: Sequence[tuple[str | None, ...]]) -> list[ReadColumn]:
    """A view of rows with the texts of values in columns of all types, by their type's name."""
    types = ["BIGINT", *texts_of]
    cells = ", ".join(
        f'unnest(?::VARCHAR[])::{type_} AS "{name}"' for type_, name in zip(types, ["key", *texts_of], strict=True)
    )
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"CREATE TABLE t AS SELECT {cells}", [list(column) for column in zip(*found, strict=True)])
    connection.execute(f"CREATE VIEW {ROWS} AS SELECT * FROM t")
    described = connection.execute(f"DESCRIBE {ROWS}").fetchall()
    return [ReadColumn(row[0], row[1]) for row in described]


async def read(connection: duckdb.DuckDBPyConnection, columns: Sequence[ReadColumn], *, as_lines: bool) -> Block:
    """All rows in one block."""
    make = line_statement if as_lines else statement
    cursor = connection.execute(*make(Reading("SELECT", KEYS), columns))
    kinds = [column.kind for column in columns]

    async def fetch(rows: int) -> Sequence[tuple[Any, ...]]:
        return cursor.fetchmany(rows)

    if as_lines:
        times = [at for at, kind in enumerate(kinds) if kind is ColumnKind.TIMESTAMP]
        [block] = [block async for block in text_blocks(fetch, 100, kinds, times)]
    else:
        [block] = [block async for block in fetched_blocks(fetch, 100, len(columns))]
    return block


def mapped(block: Block, columns: Sequence[ReadColumn], keys: Sequence[str]) -> list[MappedRow]:
    """What the destination would get; with a key of a whole number alone, all rows at once."""
    definition = SyncDefinition(
        source_id="s",
        source_query="SELECT",
        destination_id="d",
        object_name="o",
        field_mappings=tuple(
            FieldMapping(source=column.name, destination=column.name, key=column.name in keys) for column in columns
        ),
        sync_mode=SyncMode.UPSERT,
    )
    mapper = Mapper(definition, [Column(column.name, column.kind) for column in columns], Position())
    return list(mapper.map_block(block))
