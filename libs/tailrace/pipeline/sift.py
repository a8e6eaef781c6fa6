"""Steps 1 and 2 of a row at one go, for lines of text that are compared with what is known in compiled code.

Only what is not as it is known becomes a row. All else goes the way of all rows: odd lines and what follows them in
their block, pages with entries that have more to say, and blocks of which much is new.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

from tailrace.connector_kit.compiled import Found, Known, Sifted
from tailrace.connector_kit.copy_text import TextKeys, TextRows, key_of_line
from tailrace.core.entry_columns import EntryColumns
from tailrace.core.row_columns import NO_ROWS, RowColumns
from tailrace.core.rows import Block, Change, RowHash, RowKey
from tailrace.core.snapshots import HASH_BYTES, Entry
from tailrace.core.written_keys import is_bare
from tailrace.observe.failpoints import failpoint
from tailrace.pipeline.diff import Page, compared
from tailrace.pipeline.map_fields import Mapper
from tailrace.pipeline.plain import PlainChanges, RowChange
from tailrace.pipeline.stretches import Stretches, end_of_line

_MOST_FOUND = 0.25
"""The part of the lines of a block that may be found: more than that are better written all at once."""

_BLOCKS_WRITTEN = 16
"""After a block of which more was found, so many are written."""

_NO_ENTRIES = EntryColumns.of([])
_FIRST = 1
"""Where the first key begins in an array."""


async def sift(
    blocks: AsyncIterator[Block], mapper: Mapper, snapshot: AsyncIterator[Sequence[Entry]]
) -> AsyncIterator[Sequence[RowChange]]:
    """Compare rows with the snapshot, as `diff` does with mapped ones; what did not change comes without a body."""
    page, seen, to_write = Page(snapshot), _Seen(), 0
    async for block in blocks:
        failpoint("exec.mid_read")
        lines = None if to_write else _Lines.of(block, mapper)
        to_write = max(0, to_write - 1)
        while lines is not None and lines.are_left and await page.turn() and seen.stands_at(page):
            changes = lines.compare(seen)
            if changes is None:
                break
            page.at = seen.place
            for some in changes:
                yield some
        if lines is not None and lines.is_much_found:
            to_write = _BLOCKS_WRITTEN
        left = block if lines is None else lines.left
        if left is not None:
            rows = mapper.map_block(left)
            failpoint("exec.after_map")
            async for some in compared(rows, page, keeps_unchanged=False):
                yield some
    async for some in page.left():
        yield some


@dataclass(slots=True)
class _Seen:
    """The page that is compared, as compiled code takes it, as far as `place`."""

    entries: EntryColumns = _NO_ENTRIES
    array: bytes = b""
    hashes: bytes = b""
    start: int = _FIRST
    place: int = 0

    @property
    def known(self) -> Known:
        """What is to be compared yet."""
        return Known(self.array, self.hashes, self.start, self.place)

    def stands_at(self, page: Page) -> bool:
        """Go where the page is; False where that cannot be done."""
        if self.entries is not page.entries:
            self._begin(page.entries)
        return self.place == page.at

    def _begin(self, entries: EntryColumns) -> None:
        self.entries, self.start, self.place = entries, _FIRST, -1
        array = entries.array if entries.is_plain else None
        if array is not None and is_bare(array):
            self.array, self.hashes, self.place = array, entries.hashes, 0

    def hash_at(self, place: int) -> RowHash:
        """What was delivered."""
        return RowHash(self.hashes[place * HASH_BYTES : (place + 1) * HASH_BYTES])


@dataclass(slots=True)
class _Lines:
    """The lines of a block, as far as they were compared."""

    block: Block
    rows: TextRows
    mapper: Mapper
    start: int = 0
    compared: int = 0
    found: int = 0

    @classmethod
    def of(cls, block: Block, mapper: Mapper) -> "_Lines | None":
        """None where there is more to them."""
        rows = block.rows
        if not isinstance(rows, TextRows) or rows.numbers or not mapper.may_sift(block):
            return None
        return cls(block, rows, mapper)

    @property
    def are_left(self) -> bool:
        """Whether there are lines to compare yet."""
        return self.start < len(self.rows.text)

    @property
    def is_much_found(self) -> bool:
        """Whether it would have been better to write all of them."""
        return self.found > _MOST_FOUND * self.compared

    @property
    def left(self) -> Block | None:
        """The lines that are left."""
        if not self.are_left:
            return None
        if not self.start:
            return self.block
        rows = TextRows(self.rows.text[self.start :], self.rows.layout, copy_cells=self.rows.copy_cells)
        return Block(rows, TextKeys(rows))

    def compare(self, seen: _Seen) -> Sequence[Sequence[RowChange]] | None:
        """Go on until the lines or the page are used up, or a line is odd; None where it is the next."""
        if self.mapper.is_duplicate(self._key_at(self.start)):
            return None
        sifted = self.mapper.sift(self.rows, self.start, seen.known)
        if sifted is None or (not sifted.rows and sifted.place == seen.place):
            return None
        changed = self._changed(sifted.found)
        if changed is None:
            self.compared, self.found = 0, 1
            return None
        changes = list(_Told(self.rows.text, seen, changed, self.start).changes(sifted))
        self.compared += sifted.rows
        self.found += len(sifted.found)
        self.start, seen.start, seen.place = sifted.start, sifted.known_start, sifted.place
        if sifted.rows:
            end = self.start - self.are_left
            self.mapper.pass_by(key_of_line(self.rows.text, 0, end))
        return changes

    def _key_at(self, start: int) -> RowKey:
        return key_of_line(self.rows.text, start, end_of_line(self.rows.text, start))

    def _changed(self, found: Sequence[Found]) -> RowColumns | None:
        """The rows that are new or changed; None where there is something to say about one of them."""
        text = self.rows.text
        lines = [text[each.start : end_of_line(text, each.start)] for each in found if each.key is None]
        if not lines:
            return NO_ROWS
        rows = TextRows(b"\n".join(lines), self.rows.layout, copy_cells=self.rows.copy_cells)
        mapped = self.mapper.map_lines(rows)
        return None if mapped is None else mapped.columns


@dataclass(slots=True)
class _Told:
    """What happened to lines, of which those that were found are rows."""

    text: bytes
    seen: _Seen
    found: RowColumns
    start: int

    def changes(self, sifted: Sifted) -> Iterator[Sequence[RowChange]]:
        """All that happened, in order."""
        stretches, nth = Stretches(self.text, self.found, self.start), 0
        for line, start, place, key in sifted.found:
            if key is None and place >= 0:
                stretches.change(line, nth, self.seen.hash_at(place))
            else:
                yield from stretches.before(line, start)
            if key is not None:
                yield [RowChange(Change.REMOVED, known=self.seen.entries.entry_at(place, RowKey((key,))))]
            elif place < 0:
                yield PlainChanges(Change.ADDED, self.found[nth : nth + 1])
                stretches.leave_out()
            nth += key is None
        yield from stretches.before(sifted.rows, sifted.start)
