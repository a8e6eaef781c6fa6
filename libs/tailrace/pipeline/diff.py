"""Step 2 of a row: what happened to it since it was last delivered.

Rows and snapshot come in the same order of places, so that one pass of both tells added, changed, unchanged and
removed, holding a block and a page at a time. Where rows are plain, stretches of them are compared at once.
"""

from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from itertools import compress, count, groupby, repeat
from operator import eq, ne
from typing import cast

from tailrace.core.entry_columns import EntryColumns, Told
from tailrace.core.row_columns import RowColumns
from tailrace.core.rows import Change, RowHash, RowKey
from tailrace.core.snapshots import Entry, is_version
from tailrace.pipeline.plain import MappedRow, PlainChanges, PlainRows, PlainUpdates, RowChange


async def diff(
    blocks: AsyncIterator[Sequence[MappedRow]], snapshot: AsyncIterator[Sequence[Entry]]
) -> AsyncIterator[Sequence[RowChange]]:
    """Compare rows with the snapshot; gives sequences in key order, removed keys in their place among the rows."""
    page = Page(snapshot)
    async for rows in blocks:
        async for changes in compared(rows, page, keeps_unchanged=True):
            yield changes
    async for changes in page.left():
        yield changes


async def compared(
    rows: Sequence[MappedRow], page: "Page", *, keeps_unchanged: bool
) -> AsyncIterator[Sequence[RowChange]]:
    """What happened to rows, and to those that were known before and among them.

    Without `keeps_unchanged`, rows that did not change may come without a body.
    """
    at = 0
    while at < len(rows):
        await page.turn()
        if not page.entries:
            yield _unseen(rows[at:])
            return
        rows = rows.listed() if isinstance(rows, PlainRows) else rows
        found, at = _compare(rows, at, page, keeps_unchanged=keeps_unchanged)
        for changes in found:
            yield changes


def stretches(
    keys: Sequence[RowKey], known: Sequence[RowKey], at: int = 0, place: int = 0
) -> Iterator[tuple[int, int, int, int]]:
    """Where stretches of two lists in key order begin and end, from a place in each to the end of one of them.

    Neighbours that both have come as one stretch, as long in one list as in the other; those that one of them has alone
    as a stretch that is empty in the other.
    """
    while at < len(keys) and place < len(known):
        first, first_place = at, place
        if keys[at] < known[place]:
            at = bisect_left(keys, known[place], at)
        elif keys[at] > known[place]:
            place = bisect_left(known, keys[at], place)
        else:
            both = min(len(keys) - at, len(known) - place)
            pairs = map(ne, keys[at : at + both], known[place : place + both])
            alike = next(compress(count(), pairs), both)
            at, place = at + alike, place + alike
        yield first, at, first_place, place


class Page:
    """The page of the snapshot that is being compared, as far as `at`; an empty one stands for the end of it."""

    def __init__(self, snapshot: AsyncIterator[Sequence[Entry]]) -> None:
        self._snapshot = snapshot
        self.entries = EntryColumns.of([])
        self.at = 0
        self._is_last = False

    async def turn(self) -> bool:
        """Have an entry to compare with; False when the snapshot has no more."""
        while self.at == len(self.entries) and not self._is_last:
            following = await anext(self._snapshot, None)
            self._is_last = following is None
            self.entries, self.at = EntryColumns.of(following or ()), 0
        return self.at < len(self.entries)

    async def left(self, until: RowKey | None = None) -> AsyncIterator[Sequence[RowChange]]:
        """All that no row was found for, behind the last of them, up to a key if one is given."""
        while await self.turn():
            end = len(self.entries) if until is None else bisect_right(self.entries.keys, until, self.at)
            if self.at < end:
                yield _removed(self.entries[self.at : end])
            self.at = end
            if end < len(self.entries):
                return


def _compare(
    rows: Sequence[MappedRow], at: int, page: Page, *, keeps_unchanged: bool
) -> tuple[Sequence[Sequence[RowChange]], int]:
    """Go on until the rows or the page are used up."""
    if isinstance(rows, PlainRows):
        return _compare_plain(rows.columns, at, page, keeps_unchanged=keeps_unchanged)
    changes: list[RowChange] = []
    while at < len(rows) and page.at < len(page.entries):
        mapped, key = rows[at], page.entries.keys[page.at]
        if not mapped.place or mapped.place < key:
            changes.append(added(mapped))
            at += 1
        elif mapped.place == key:
            changes.append(seen(mapped, page.entries[page.at]))
            at += 1
            page.at += 1
        else:
            changes.append(RowChange(Change.REMOVED, known=page.entries[page.at]))
            page.at += 1
    return [changes], at


def _compare_plain(
    rows: RowColumns, at: int, page: Page, *, keeps_unchanged: bool
) -> tuple[Sequence[Sequence[RowChange]], int]:
    """The same, a stretch of neighbours that fared alike at a time."""
    found: list[Sequence[RowChange]] = []
    entries, end = page.entries, at
    for first, end, place, last in stretches(rows.keys, entries.keys, at, page.at):
        if place == last:
            found.append(PlainChanges(Change.ADDED, rows[first:end]))
        elif first == end:
            found.append(_removed(entries[place:last]))
        else:
            found += _matched(rows[first:end], entries[place:last], keeps_unchanged=keeps_unchanged)
        page.at = last
    return found, end


def _matched(columns: RowColumns, known: EntryColumns, *, keeps_unchanged: bool) -> Iterator[Sequence[RowChange]]:
    """What became of rows whose keys are all known."""
    if known.is_plain and not keeps_unchanged:
        yield _updates(columns, known)
        return
    at = 0
    told = zip(map(eq, columns.hashes, known.told), _learnt(columns, known), strict=False)
    for (is_same, is_learnt), group in groupby(told):
        end = at + len(list(group))
        if is_same:
            same = columns[at:end]
            if is_learnt:
                same.sources = None
            yield PlainChanges(Change.UNCHANGED, same, _delivered(known.told[at:end]))
        elif known.is_plain:
            yield PlainChanges(Change.CHANGED, columns[at:end], _delivered(known.told[at:end]))
        else:
            rows = PlainRows(columns[at:end])
            yield [seen(mapped, entry) for mapped, entry in zip(rows, known[at:end], strict=True)]
        at = end


def _updates(columns: RowColumns, known: EntryColumns) -> Sequence[RowChange]:
    """The same where nothing but hashes is known of any."""
    delivered = _delivered(known.told)
    places = [] if columns.hashes == delivered else list(compress(count(), map(ne, columns.hashes, delivered)))
    if len(places) == len(columns):
        return PlainChanges(Change.CHANGED, columns, delivered)
    told = zip(map(eq, columns.hashes, delivered), _learnt(columns, known), strict=False)
    learnt_at: list[int] = []
    if columns.sources is not None:
        learnt_at = [at for at, (is_same, is_learnt) in enumerate(told) if is_same and not is_learnt]
    if len(learnt_at) == len(columns):
        return PlainChanges(Change.UNCHANGED, columns, delivered)
    changed, learnt = columns.only(places), columns.only(learnt_at)
    return PlainUpdates(columns.keys, places, changed, [delivered[at] for at in places], learnt_at, learnt)


def _learnt(columns: RowColumns, known: EntryColumns) -> Iterable[bool]:
    """Of each row, whether there is nothing to learn of what it is in the warehouse."""
    if columns.sources is None:
        return repeat(object=True)
    return repeat(object=False) if known.sources is None else map(eq, columns.sources, known.sources)


def _delivered(told: Sequence[Told]) -> Sequence[RowHash]:
    """What is told of plain entries: nothing but hashes."""
    return cast("Sequence[RowHash]", told)


def _unseen(rows: Sequence[MappedRow]) -> Sequence[RowChange]:
    if isinstance(rows, PlainRows):
        return PlainChanges(Change.ADDED, rows.columns)
    return [added(mapped) for mapped in rows]


def _removed(entries: EntryColumns) -> Sequence[RowChange]:
    return [RowChange(Change.REMOVED, known=entry) for entry in entries]


def added(mapped: MappedRow) -> RowChange:
    """What happened to a row that nothing is known of."""
    return RowChange(Change.ADDED if mapped.problem is None else None, mapped)


def seen(mapped: MappedRow, entry: Entry) -> RowChange:
    """What happened to a row that is known."""
    return RowChange(_change(mapped, entry), mapped, entry)


def _change(mapped: MappedRow, entry: Entry) -> Change | None:
    if mapped.problem is not None:
        return None
    # What is marked as gone may have been deleted, by an attempt whose answer was lost.
    if entry.delivered is None or entry.is_gone:
        return Change.ADDED
    return Change.UNCHANGED if is_version(entry.delivered, mapped.row) else Change.CHANGED
