"""Rows that PostgreSQL wrote as text become the bytes that the exact encoder writes of their values."""

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tailrace.connector_kit.compiled import COPY_CELLS, CopyCells
from tailrace.connector_kit.copy_text import Layout, TextRows
from tailrace.core.rows import Block, Column, ColumnKind
from tailrace.core.settlements import Position
from tailrace.core.syncs import FieldMapping, SyncDefinition, SyncMode
from tailrace.pipeline.map_fields import Mapper
from tailrace.pipeline.plain import PlainRows

KINDS = list(ColumnKind)[:-1]
ESCAPES = str.maketrans({"\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"})

texts = st.text(st.sampled_from('ab"\\\b\f\n\r\t\v\x01\x1f\x7fé\U0001f600N%/ '), max_size=5)
cells = {
    ColumnKind.TEXT: texts,
    ColumnKind.INTEGER: st.integers(-(2**63), 2**63 - 1).map(str),
    ColumnKind.FLOAT: st.floats().map(lambda value: {"nan": "NaN", "inf": "Infinity"}.get(repr(value), repr(value))),
    ColumnKind.DECIMAL: st.sampled_from(["0", "1.50", "-12345678901234567890.10", "NaN", "Infinity", "-Infinity"]),
    ColumnKind.BOOLEAN: st.sampled_from(["true", "false", "t", "f"]),
    ColumnKind.TIMESTAMP: st.sampled_from(
        ["2026-01-01 10:00:00.5+00", "2026-01-01 10:00:00", "2026-01-01", "infinity", "0044-03-15 00:00:00+00 BC"]
    ),
    ColumnKind.JSON: st.sampled_from(
        ['{"a": "x\\n"}', "[1.50,\nnull]", '"\\u00e9"', '"\\\\N"', '"\\ud800"', "[1e999]", "[" * 1500 + "]" * 1500]
    ),
}
WAYS = pytest.mark.parametrize("copy_cells", [COPY_CELLS, None], ids=["compiled", "in Python"])

rows = st.tuples(*(st.none() | cells[kind] for kind in KINDS))
plain_rows = st.tuples(*(st.just(cell) for cell in ("a%", "7", "1.5", "1.50", "true", "2026-01-01 10:00:00+00", "[1]")))


@WAYS
@settings(deadline=None)
@given(
    st.lists(rows | plain_rows, min_size=1, max_size=4), st.permutations(range(len(KINDS))), st.sampled_from([0, None])
)
@example([("é", "7", None, "1.50", "true", None, "[1]"), ("b", "8", "1.5", "0", None, "infinity", None)], range(7), 0)
def test_block_of_text_is_mapped_as_its_values_are(
    copy_cells: CopyCells | None, found: list[tuple[str | None, ...]], order: list[int], key: int | None
) -> None:
    lines = [_line([*([str(at)] if key is None else []), *row, str(at)]) for at, row in enumerate(found)]

    block = _block(lines, copy_cells, key=key)
    mapped = list(_mapper(order).map_block(block))

    values = [block.rows[at] for at in range(len(lines))]
    assert mapped == list(_mapper(order).map_block(Block(values, block.keys)))
    assert [row.key for row in (one.row for one in mapped)] == [(str(number),) for number in range(len(lines))]


@WAYS
def test_text_without_oddities_is_never_looked_at_row_by_row(copy_cells: CopyCells | None) -> None:
    lines = [
        _line([str(at), "x", "7", "1.5", "1.50", "true", "2026-01-01 10:00:00+00", None, str(at)]) for at in (1, 2)
    ]

    mapped = _mapper(range(7)).map_block(_block(lines, copy_cells))

    assert isinstance(mapped, PlainRows)
    assert mapped.columns.bodies[1] == (
        b'{"id":2,"%":"%s","text":"x","integer":7,"float":1.5,"decimal":1.50,"boolean":true,'
        b'"timestamp":"2026-01-01T10:00:00Z","json":null}'
    )


@WAYS
@pytest.mark.parametrize("odd", [chr(code) for code in range(1, 33)] + ['"', "\\", "\x7f", "é", "\U0001f600"])
def test_character_is_written_alike_wherever_it_stands(copy_cells: CopyCells | None, odd: str) -> None:
    found = ["x" * at + odd + "y" * (20 - at) for at in range(21)]
    lines = [
        _line([str(number), text, *["7", "1.5", "1.50", "true", None, None], str(number)])
        for number, text in enumerate(found)
    ]

    mapped = _mapper([0]).map_block(_block(lines, copy_cells))

    assert [orjson.loads(one.row.body)["text"] for one in mapped] == found


def test_values_of_text_are_those_that_were_written() -> None:
    line = _line(["1", 'a"\\\t\vé', "7", "1e+20", "1.50", "false", "0044-03-15 00:00:00+00 BC", None, "1"])

    assert _block([line]).rows[0] == (1, 'a"\\\t\vé', 7, 1e20, "1.50", False, "0044-03-15T00:00:00Z BC", None)


@WAYS
def test_column_that_is_the_key_has_its_cell_behind_the_others(copy_cells: CopyCells | None) -> None:
    kinds = (ColumnKind.FLOAT, ColumnKind.TIMESTAMP, ColumnKind.TEXT)
    layout = Layout(kinds, times=[1], extra=1, key=1)
    rows = TextRows(b"x\t77\t2026-01-01 10:00:00+00", layout, {0: [0.5]}, copy_cells=copy_cells)

    assert list(rows) == [(0.5, "2026-01-01T10:00:00Z", "x")]
    assert [rows.column(at) for at in (1, 2)] == [["2026-01-01T10:00:00Z"], ["x"]]
    assert list(rows.keys()) == [("2026-01-01 10:00:00+00",)]
    assert rows.cells[3] == [b"77"]


def _line(row: list[str | None]) -> bytes:
    """As PostgreSQL writes it, without the end of the line."""
    return b"\t".join(rb"\N" if cell is None else cell.translate(ESCAPES).encode() for cell in row)


def _block(lines: list[bytes], copy_cells: CopyCells | None = None, *, key: int | None = None) -> Block:
    layout = Layout([ColumnKind.INTEGER, *KINDS], [1 + KINDS.index(ColumnKind.TIMESTAMP)], key=key)
    rows = TextRows(b"\n".join(lines), layout, copy_cells=copy_cells)
    return Block(rows, rows.keys())


def _mapper(order: range | list[int]) -> Mapper:
    fields = [FieldMapping(source=KINDS[at], destination=KINDS[at]) for at in order]
    definition = SyncDefinition(
        source_id="s",
        source_query="SELECT",
        destination_id="d",
        object_name="o",
        field_mappings=(
            FieldMapping(source="id", destination="id", key=True),
            FieldMapping(value="%s", destination="%"),
            *fields,
        ),
        sync_mode=SyncMode.UPSERT,
    )
    columns = [Column("id", ColumnKind.INTEGER), *(Column(kind, kind) for kind in KINDS)]
    return Mapper(definition, columns, Position())
