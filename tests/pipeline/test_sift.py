"""Lines that are sifted fare as they do when all of them are mapped and compared."""

from collections.abc import AsyncIterator, Sequence
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.connector_kit.compiled import COPY_CELLS
from tailrace.connector_kit.copy_text import Layout, LineKeys, TextKeys, TextRows, unescaped
from tailrace.connector_kit.destination import Target, WritePlan
from tailrace.core.entry_columns import EntryColumns
from tailrace.core.pages import pages, unpack
from tailrace.core.rows import Block, Change, Column, ColumnKind, Row, RowHash, RowKey
from tailrace.core.runs import RunKind
from tailrace.core.settlements import DedupeKey, Position
from tailrace.core.snapshots import UNKNOWN_VERSION, Entry
from tailrace.core.syncs import FieldMapping, SyncDefinition, SyncMode
from tailrace.pipeline.batch import Recipe, batch
from tailrace.pipeline.diff import diff
from tailrace.pipeline.lineage import Lineage
from tailrace.pipeline.map_fields import DUPLICATE_KEY, Mapper, map_fields
from tailrace.pipeline.modes import operation_on_rows
from tailrace.pipeline.plain import PlainChanges, PlainUpdates, RowChange
from tailrace.pipeline.sift import sift
from tests.pipeline.test_plain import settled
from tests.pipeline.world import SYNC

pytestmark = pytest.mark.skipif(COPY_CELLS is None, reason="no C compiler was here when Tailrace was installed")

KINDS = {
    "numbers": (ColumnKind.INTEGER, ColumnKind.TEXT, ColumnKind.DECIMAL),
    "texts": (ColumnKind.TEXT, ColumnKind.TEXT, ColumnKind.DECIMAL),
    "floats": (ColumnKind.INTEGER, ColumnKind.TEXT, ColumnKind.FLOAT),
    "twice": (ColumnKind.INTEGER, ColumnKind.TEXT, ColumnKind.DECIMAL),
}
"""Columns of queries; of the last, the key has a cell of its own."""

NAMES = ("id", "name", "spent")
_DEFINITION = SyncDefinition(
    source_id="s",
    source_query="SELECT",
    destination_id="d",
    object_name="o",
    field_mappings=tuple(FieldMapping(source=name, destination=name, key=name == "id") for name in NAMES),
    sync_mode=SyncMode.UPSERT,
)
MODES = [SyncMode.UPSERT, SyncMode.INSERT, SyncMode.UPDATE, SyncMode.DELETE, SyncMode.MIRROR]

numbers = st.integers(-3, 60).map(str)
texts = numbers | st.sampled_from(
    ["a", "b", "\u00e9", "007", "x" * 1030, "y" * 400, 'say "no"', r"a\\b", r"tab\t", "k1", "k2"]
)
names = st.sampled_from(["ann", "ann", "ann", "bob", "eve" * 10, r"\N", 'say "no"', r"line\n", "\x07"])
amounts = st.sampled_from(["1.50", "1.50", "1.50", "2.5", r"\N", "NaN"])
Rows = list[tuple[str, str, str]]


def tables(keys: st.SearchStrategy[str]) -> st.SearchStrategy[Rows]:
    """Rows of which few share a key, or have none."""
    some = st.lists(st.tuples(keys, names, amounts), max_size=40, unique_by=lambda row: row[0])
    odd = st.lists(st.tuples(keys | st.just(r"\N"), names, amounts), max_size=2)
    return st.tuples(some, st.just([]) | odd).map(lambda found: sorted(chain(*found), key=_place))


worlds = st.sampled_from(sorted(KINDS)).flatmap(
    lambda kind: st.tuples(st.just(kind), *[tables(texts if kind == "texts" else numbers)] * 2)
)


@settings(deadline=None, max_examples=400)
@given(worlds, st.data(), st.integers(1, 30), st.integers(1, 30), st.sampled_from(MODES))
async def test_lines_are_sent_and_settled_as_mapped_rows_are(
    world: tuple[str, Rows, Rows], data: st.DataObject, block: int, page: int, mode: SyncMode
) -> None:
    kind, before, after = world
    entries = [
        data.draw(st.sampled_from(_known(change.row)))
        for change in _mapper(kind).map_block(_block(before, kind))
        if change.problem is None
    ]
    above = [entry for entry in entries if data.draw(st.integers(0, 9)) == 0]
    # A replayed start: what is before it was settled.
    start = Position(RowKey((data.draw(texts),))) if data.draw(st.booleans()) else Position()
    rows = [row for row in after if start.after is None or row[0] == r"\N" or _place(row)[1] > start.after[0].encode()]
    known = [entry for entry in entries if start.after is None or entry.key > start.after]
    recipe = _recipe(mode, data.draw(st.integers(1, 9)), data.draw(st.sampled_from([200, 10_000])))

    sifted = sift(_blocks(rows, kind, block), _mapper(kind, start), _pages(known, above, page))
    mapped = diff(map_fields(_blocks(rows, kind, block), _mapper(kind, start)), _pages(known, above, page))

    assert await _fate(sifted, recipe, start) == await _fate(mapped, recipe, start)


async def test_line_that_did_not_change_is_not_made_a_row() -> None:
    rows = [(f"k{number}", "ann", "1.50") for number in range(1000, 2000)]
    entries = _delivered(rows, "texts")
    rows[3:5] = [("k1003", "bob", "1.50"), ("k1004", "bob", "1.50")]
    del rows[900]
    rows.insert(911, ("k1911a", "new", "1.50"))

    found = sift(_blocks(rows, "texts", 1000), _mapper("texts"), _pages(entries, [], 1000))
    changes = [some async for some in found]

    assert [type(some) for some in changes] == [PlainUpdates, list, PlainUpdates, PlainChanges, PlainUpdates]
    assert [len(some) for some in changes] == [900, 1, 11, 1, 88]
    updates = changes[0]
    assert isinstance(updates, PlainUpdates)
    assert isinstance(updates.keys, LineKeys)
    assert (updates.places, updates.changed.keys) == ([3, 4], [("k1003",), ("k1004",)])
    assert [updates.keys[at] for at in (0, 899)] == [("k1000",), ("k1899",)]
    assert [change.known for change in changes[1]] == [entries[900]]


@pytest.mark.parametrize("block", [1, 2, 3, 4])
async def test_row_with_the_key_of_the_line_before_is_a_duplicate(block: int) -> None:
    rows = [(key, "ann", "1.50") for key in ("1", "2", "2", "3")]
    known = _delivered([rows[0], rows[1], rows[3]], "numbers")

    found = sift(_blocks(rows, "numbers", block), _mapper("numbers"), _pages(known, [], 10))
    changes = [change async for some in found for change in some]

    assert [change.change for change in changes] == [Change.UNCHANGED, Change.UNCHANGED, None, Change.UNCHANGED]
    assert [change.mapped.problem.code for change in changes if change.mapped and change.mapped.problem] == [
        DUPLICATE_KEY
    ]


async def test_column_of_numbers_that_nobody_maps_is_in_nobodys_way() -> None:
    kinds = (ColumnKind.INTEGER, ColumnKind.FLOAT, ColumnKind.TEXT, ColumnKind.DECIMAL)
    known = _delivered([("1", "ann", "1.50"), ("2", "ann", "1.50")], "numbers")

    async def blocks() -> AsyncIterator[Block]:
        text = TextRows(b"1\tann\t1.50\t1\n2\tbob\t1.50\t2", Layout(kinds), {1: [0.5, 0.5]})
        yield Block(text, TextKeys(text))

    columns = [Column(name, kind) for name, kind in zip(("id", "score", "name", "spent"), kinds, strict=True)]
    found = sift(blocks(), Mapper(_DEFINITION, columns, Position()), _pages(known, [], 10))

    assert [change.change async for some in found for change in some] == [Change.UNCHANGED, Change.CHANGED]


async def test_block_of_which_much_is_new_is_followed_by_blocks_that_are_written() -> None:
    rows = [(str(key), "ann", "1.50") for key in range(1000, 9000)]
    entries = _delivered(rows, "numbers")[::2]

    found = sift(_blocks(rows, "numbers", 100), _mapper("numbers"), _pages(entries, [], 1000))
    changes = [some async for some in found]

    rows_alone = sum(len(some) == 1 for some in changes[:100])
    assert rows_alone == 100
    assert [change.change for some in changes for change in some] == [Change.UNCHANGED, Change.ADDED] * 4000


def _delivered(rows: Rows, kind: str) -> list[Entry]:
    return [Entry(mapped.row.key, mapped.row.row_hash) for mapped in _mapper(kind).map_block(_block(rows, kind))]


async def _fate(changes: AsyncIterator[Sequence[RowChange]], recipe: Recipe, start: Position) -> list[object]:
    """What is sent, and what is written of it."""
    return [settled(parcel) async for parcel in batch(changes, recipe, start)]


def _recipe(mode: SyncMode, rows: int, size_bytes: int) -> Recipe:
    target = Target("people", operation_on_rows(mode), ("id",), ("id", "name", "spent"))
    return Recipe(
        Lineage(SYNC), mode, RunKind.INCREMENTAL, WritePlan(target, rows, size_bytes, is_idempotent=True), _still_dead
    )


def _known(row: Row) -> list[Entry]:
    """What an earlier run may have left of a row."""
    old = RowHash(b"old hash")
    return [
        *[Entry(row.key, row.row_hash)] * 12,
        Entry(row.key, old),
        Entry(row.key, row.row_hash, dead=old),
        Entry(row.key, UNKNOWN_VERSION),
        Entry(row.key, row.row_hash, is_gone=True),
    ]


async def _pages(entries: Sequence[Entry], above: Sequence[Entry], size: int) -> AsyncIterator[Sequence[Entry]]:
    """Entries as the store gives them."""
    for at in range(0, len(entries), size):
        [page] = pages(entries[at : at + size])
        upper = [entry for entry in above if page.first_key <= entry.key <= page.last_key]
        known = unpack(page.body, page.algorithm)
        yield known.overlaid(EntryColumns.of(upper)) if upper else known


async def _blocks(rows: Rows, kind: str, size: int) -> AsyncIterator[Block]:
    for at in range(0, len(rows), size):
        yield _block(rows[at : at + size], kind)


def _block(rows: Rows, kind: str) -> Block:
    """Rows as they come by COPY: the key at the end of a line."""
    is_twice = kind == "twice"
    lines = (f"{name}\t{spent}\t{key}" for key, name, spent in rows)
    text = "\n".join(f"{row[0]}\t{line}" if is_twice else line for row, line in zip(rows, lines, strict=True))
    found = TextRows(text.encode(), Layout(KINDS[kind], key=None if is_twice else 0))
    return Block(found, TextKeys(found))


def _place(row: tuple[str, str, str]) -> tuple[bool, bytes]:
    return row[0] == r"\N", unescaped(row[0].encode())


def _mapper(kind: str, start: Position | None = None) -> Mapper:
    columns = [Column(name, kind) for name, kind in zip(NAMES, KINDS[kind], strict=True)]
    return Mapper(_DEFINITION, columns, start or Position())


async def _still_dead(keys: Sequence[DedupeKey]) -> dict[DedupeKey, bool]:
    return {key: key[0] % 4 == 1 for key in keys if key[0] % 2}
