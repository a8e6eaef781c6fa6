"""Rows in columns fare as they would one by one: same bodies, changes, batches, letters, entries."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain
from typing import TypeVar

import orjson
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tailrace.connector_kit.destination import Target, WritePlan
from tailrace.core.entry_columns import EntryColumns
from tailrace.core.row_columns import RowColumns
from tailrace.core.rows import (
    DELIVERED,
    IN_DOUBT,
    Block,
    Change,
    Column,
    ColumnKind,
    Row,
    RowHash,
    RowKey,
    rejected,
    skipped,
)
from tailrace.core.runs import RunKind
from tailrace.core.settlements import DedupeKey, Position, Settlement
from tailrace.core.snapshots import UNKNOWN_VERSION, Entry, hash_row, of_first_algorithm
from tailrace.core.syncs import FieldMapping, SyncDefinition, SyncMode
from tailrace.pipeline.batch import Parcel, Recipe, batch
from tailrace.pipeline.diff import Page, compared, diff
from tailrace.pipeline.lineage import Lineage
from tailrace.pipeline.map_fields import Mapper
from tailrace.pipeline.modes import operation_on_rows, sent_changes
from tailrace.pipeline.plain import MappedRow, PlainRows, PlainUpdates, RowChange
from tailrace.pipeline.tally import Tally
from tests.pipeline.world import SYNC

Item = TypeVar("Item")
KINDS = (ColumnKind.TEXT, ColumnKind.FLOAT)
COLUMNS = tuple(Column(f"c{at}", kind) for at, kind in enumerate(KINDS))
NULL_ROW = ("", 0.0)
TOLD = {
    b'"bob"': rejected("BAD", "no"),
    b'"dan"': rejected("bad e-mail", "\u00e9", field="email"),
    b'"fay"': rejected(IN_DOUBT, "may be there"),
    b'"guy"': skipped("ABSENT"),
}
"""What becomes of the rows of some people."""

MODES = [SyncMode.UPSERT, SyncMode.INSERT, SyncMode.UPDATE, SyncMode.DELETE, SyncMode.MIRROR]

tables = st.lists(
    st.tuples(st.sampled_from(["a", "b", "é", "7", "007", "x" * 300, "y" * 300]), st.sampled_from([1.5, float("nan")])),
    max_size=6,
)
names = st.sampled_from(["", "ann", "bob", "bob", "bob", "dan", "dan", "eve" * 10, "fay", "guy"])
people = st.dictionaries(st.sampled_from([f"k{number:02}" for number in range(40)]), names)


@dataclass(frozen=True)
class Ways:
    """How rows are cut on their way: in blocks, pages and batches of this many."""

    block: int
    page: int
    rows_per_batch: int
    bytes_per_batch: int


ways = st.builds(Ways, st.integers(1, 12), st.integers(1, 9), st.integers(1, 7), st.integers(66, 78) | st.just(10_000))


@settings(deadline=None)
@given(st.lists(tables, max_size=3))
def test_block_is_mapped_as_its_rows_are(found: list[list[tuple[str, float]]]) -> None:
    rows = sorted(chain.from_iterable(found))
    at_once, one_by_one = _mapper(), _mapper()

    mapped = list(at_once.map_block(_block(rows)))

    # A row without a key has the whole block looked at row by row.
    with_null = Block([*rows, NULL_ROW], [*(RowKey((key,)) for key, _ in rows), None])
    assert mapped == list(one_by_one.map_block(with_null))[:-1]


def test_block_without_oddities_stays_in_columns() -> None:
    mapper = _mapper()

    mapped = mapper.map_block(_block([("a", 1.5), ("b", 2.5)]))

    assert isinstance(mapped, PlainRows)
    assert mapped.columns.bodies == [b'{"id":"a","n":1.5}', b'{"id":"b","n":2.5}']
    assert not isinstance(mapper.map_block(_block([("b", 3.5), ("c", 4.5)])), PlainRows)


@settings(deadline=None)
@given(people, people, st.data(), ways, st.sampled_from(MODES), st.sampled_from([RunKind.INCREMENTAL, RunKind.FULL]))
async def test_stretches_are_sent_and_settled_as_their_rows_are(  # noqa: PLR0917  # drawn, not called
    before: dict[str, str], after: dict[str, str], data: st.DataObject, way: Ways, mode: SyncMode, kind: RunKind
) -> None:
    entries = [data.draw(st.sampled_from(_known(key, before[key]))) for key in sorted(before)]
    plain = PlainRows(_columns(after))

    in_columns = await _fate(plain, EntryColumns.of(entries), way, mode, kind)
    one_by_one = await _fate(list(plain), entries, way, mode, kind)

    assert in_columns == one_by_one


async def test_rows_that_need_nothing_are_cut_alike() -> None:
    plain = PlainRows(_columns({f"k{number:05}": "ann" for number in range(10_500)}))
    entries = [Entry(mapped.row.key, mapped.row.row_hash) for mapped in plain]
    way = Ways(1000, 900, 500, 10_000)

    in_columns = await _fate(plain, EntryColumns.of(entries), way)

    assert in_columns == await _fate(list(plain), entries, way)
    assert [settlement.books.skipped for *_, settlement in in_columns] == [5000, 5000, 500]


@settings(deadline=None, max_examples=30, phases=[Phase.reuse, Phase.generate])
@given(st.sets(st.integers(0, 11_999), max_size=900), st.integers(1, 700), st.integers(100, 20_000), st.data())
async def test_few_that_changed_among_many_are_sent_and_cut_as_they_would_be_one_by_one(
    changed: set[int], rows_per_batch: int, bytes_per_batch: int, data: st.DataObject
) -> None:
    plain = PlainRows(_columns({f"k{number:05}": "ann" for number in range(12_000)}))
    old = RowHash(b"old hash")
    entries = [Entry(mapped.row.key, old if at in changed else mapped.row.row_hash) for at, mapped in enumerate(plain)]
    way = Ways(data.draw(st.integers(500, 13_000)), 1000, rows_per_batch, bytes_per_batch)

    in_columns = await _fate(plain, EntryColumns.of(entries), way)

    assert in_columns == await _fate(list(plain), entries, way)
    assert sum(len(rows) for _, _, rows, _ in in_columns) == len(changed)


async def test_few_that_changed_stay_among_the_others_in_columns() -> None:
    plain = PlainRows(_columns({f"k{number}": "ann" for number in range(5)}))
    hashes = [RowHash(b"old hash") if at in {1, 2, 4} else mapped.row.row_hash for at, mapped in enumerate(plain)]
    known = EntryColumns.of([Entry(mapped.place, told) for mapped, told in zip(plain, hashes, strict=True)])

    [updates] = [some async for some in _compared(plain, _cut(known, 5), 5)]

    assert isinstance(updates, PlainUpdates)
    assert [change.change for change in updates] == [
        Change.UNCHANGED,
        Change.CHANGED,
        Change.CHANGED,
        Change.UNCHANGED,
        Change.CHANGED,
    ]
    assert [change.mapped for change in updates if change.change is Change.CHANGED] == [plain[at] for at in (1, 2, 4)]
    assert [change.known for change in updates[1:3]] == list(known[1:3])
    assert list(updates.changes(1, 3)) == [updates[2], updates[4]]


async def _compared(
    rows: Sequence[MappedRow], pages: AsyncIterator[Sequence[Entry]], size: int
) -> AsyncIterator[Sequence[RowChange]]:
    """What a run gives that sends nothing for rows that are unchanged."""
    page = Page(pages)
    async for block in _cut(rows, size):
        async for changes in compared(block, page, keeps_unchanged=False):
            yield changes
    async for changes in page.left():
        yield changes


async def _fate(
    rows: Sequence[MappedRow],
    entries: Sequence[Entry],
    way: Ways,
    mode: SyncMode = SyncMode.UPSERT,
    kind: RunKind = RunKind.INCREMENTAL,
) -> list[tuple[object, list[object], list[Row], Settlement]]:
    """What is sent, and what is written of it, where each row fares by the name that it holds."""
    target = Target("people", operation_on_rows(mode), ("id",), ("id", "name"))
    plan = WritePlan(target, way.rows_per_batch, way.bytes_per_batch, is_idempotent=True)
    recipe = Recipe(Lineage(SYNC), mode, kind, plan, _still_dead)
    pages = _cut(entries, way.page)
    if Change.UNCHANGED in sent_changes(mode, kind):
        changes = diff(_cut(rows, way.block), pages)
    else:
        changes = _compared(rows, pages, way.block)
    return [settled(parcel) async for parcel in batch(changes, recipe, Position())]


def settled(parcel: Parcel) -> tuple[object, list[object], list[Row], Settlement]:
    """What is sent of a parcel, and what is written of it where each row fares by the name that it holds."""
    rows = [] if parcel.batch is None else list(parcel.batch.rows)
    outcomes = [next((told for name, told in TOLD.items() if name in row.body), DELIVERED) for row in rows]
    name = parcel.batch and (parcel.batch.operation, parcel.batch.idempotency_key)
    changes: list[object] = list(chain.from_iterable(parcel.changes))
    tally = parcel.decided or Tally(parcel.terms)
    tally.add_outcomes(parcel.changes, outcomes)
    settlement = tally.settlement(parcel.position)
    return name, changes, rows, _in_lists(settlement)


def _in_lists(settlement: Settlement) -> Settlement:
    letters = sorted(settlement.letters, key=lambda letter: letter.dedupe_key)
    entries, cleared = list(settlement.entries), sorted(settlement.cleared)
    return Settlement(settlement.position, settlement.books, letters, entries, cleared, settlement.watermark)


def _known(key: str, name: str) -> list[Entry]:
    """What an earlier run may have left of a row."""
    place, now = RowKey((key,)), hash_row(_body(key, name))
    old = of_first_algorithm(_blake(_body(key, name)))
    return [
        *[Entry(place, now)] * 6,
        Entry(place, RowHash(b"old hash")),
        Entry(place, old),
        Entry(place, now, dead=RowHash(b"old hash")),
        Entry(place, None, dead=now),
        Entry(place, UNKNOWN_VERSION, dead=old),
        Entry(place, now, is_gone=True),
        Entry(place, now, written=b'{"id":7}'),
    ]


async def _still_dead(keys: Sequence[DedupeKey]) -> dict[DedupeKey, bool]:
    return {key: key[0] % 4 == 1 for key in keys if key[0] % 2}


async def _cut(items: Sequence[Item], size: int) -> AsyncIterator[Sequence[Item]]:
    for at in range(0, len(items), size):
        yield items[at : at + size]


def _columns(people: dict[str, str]) -> RowColumns:
    keys = [RowKey((key,)) for key in sorted(people)]
    bodies = [_body(key, people[key]) for (key,) in keys]
    return RowColumns(keys, bodies, list(map(hash_row, bodies)))


def _body(key: str, name: str) -> bytes:
    return orjson.dumps({"id": key, "name": name})


def _blake(body: bytes) -> bytes:
    return blake2b(body, digest_size=8).digest()


def _block(rows: Sequence[tuple[str, float]]) -> Block:
    return Block(rows, [RowKey((key,)) for key, _ in rows])


def _mapper() -> Mapper:
    mappings = (
        FieldMapping(source="c0", destination="id", key=True),
        FieldMapping(source="c1", destination="n"),
    )
    definition = SyncDefinition(
        source_id="s",
        source_query="SELECT",
        destination_id="d",
        object_name="o",
        field_mappings=mappings,
        sync_mode=SyncMode.UPSERT,
    )
    return Mapper(definition, COLUMNS, Position())
