"""Step 2 of a row: what happened to it since it was last delivered.

Rows and snapshot come in the same order of places, so that one pass of both tells added, changed, unchanged and
removed, holding a block and a page at a time.
"""

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from tailrace.core.rows import Change
from tailrace.core.snapshots import Entry
from tailrace.pipeline.map_fields import MappedRow


class RowChange(NamedTuple):
    """A row and what happened to it; `mapped` is None for one that is gone, `known` for one never seen.

    `change` is None for a row that has a problem: what it would have been does not matter.
    """

    change: Change | None
    mapped: MappedRow | None = None
    known: Entry | None = None


async def diff(
    blocks: AsyncIterator[list[MappedRow]], snapshot: AsyncIterator[list[Entry]]
) -> AsyncIterator[list[RowChange]]:
    """Compare rows with the snapshot; gives lists in key order, removed keys in their place among the rows."""
    page = _Page()
    async for rows in blocks:
        at = 0
        while at < len(rows):
            await page.turn(snapshot)
            changes, at = _compare(rows, at, page)
            yield changes
    while await page.turn(snapshot):
        yield [RowChange(Change.REMOVED, known=entry) for entry in page.rest()]


class _Page:
    """The page of the snapshot that is being compared."""

    def __init__(self) -> None:
        self.entries: Sequence[Entry] = ()
        self.at = 0
        self._is_last = False

    async def turn(self, snapshot: AsyncIterator[list[Entry]]) -> bool:
        """Have an entry to compare with; False when the snapshot has no more."""
        while self.at == len(self.entries) and not self._is_last:
            following = await anext(snapshot, None)
            self._is_last = following is None
            self.entries, self.at = following or (), 0
        return self.at < len(self.entries)

    def rest(self) -> Sequence[Entry]:
        """What is left of the page, which is done with."""
        left = self.entries[self.at :]
        self.at = len(self.entries)
        return left


def _compare(rows: Sequence[MappedRow], at: int, page: _Page) -> tuple[list[RowChange], int]:
    """Go on until the rows or the page are used up; an empty page stands for the end of the snapshot."""
    changes: list[RowChange] = []
    if not page.entries:
        return [_unseen(mapped) for mapped in rows[at:]], len(rows)
    while at < len(rows) and page.at < len(page.entries):
        mapped, entry = rows[at], page.entries[page.at]
        key = mapped.place
        if not key or key < entry.key:
            changes.append(_unseen(mapped))
            at += 1
        elif key == entry.key:
            changes.append(RowChange(_seen(mapped, entry), mapped, entry))
            at += 1
            page.at += 1
        else:
            changes.append(RowChange(Change.REMOVED, known=entry))
            page.at += 1
    return changes, at


def _unseen(mapped: MappedRow) -> RowChange:
    return RowChange(Change.ADDED if mapped.problem is None else None, mapped)


def _seen(mapped: MappedRow, entry: Entry) -> Change | None:
    if mapped.problem is not None:
        return None
    # What is marked as gone may have been deleted, by an attempt whose answer was lost.
    if entry.delivered is None or entry.is_gone:
        return Change.ADDED
    return Change.UNCHANGED if entry.delivered == mapped.row.row_hash else Change.CHANGED
