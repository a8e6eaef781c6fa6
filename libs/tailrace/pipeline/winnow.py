"""Steps 0 to 2 of a row where hashes come as lines of text, which are compared with what is known in compiled code.

What `sieve` does with keys and hashes that are objects, for a text at a time: rows whose lines are not as they are
known are read by their keys; all rows of a text, if many are to be read or one of its lines is odd.
"""

from array import array
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from itertools import chain
from typing import NamedTuple

from tailrace.connector_kit.compiled import CopyCells, Found, Sifted
from tailrace.connector_kit.compiled import Known as Compared
from tailrace.connector_kit.copy_text import key_of_line
from tailrace.connector_kit.row_hashes import HashedRows
from tailrace.core.entry_columns import EntryColumns
from tailrace.core.row_columns import RowColumns
from tailrace.core.rows import UNKNOWN_SOURCE, Block, Change, RowHash, RowKey
from tailrace.core.snapshots import Entry
from tailrace.core.written_keys import array_of
from tailrace.observe.failpoints import failpoint
from tailrace.pipeline.diff import Page, added, compared, seen
from tailrace.pipeline.known import Known
from tailrace.pipeline.map_fields import Mapper
from tailrace.pipeline.plain import MappedRow, PlainChanges, PlainRows, RowChange
from tailrace.pipeline.stretches import Stretches, end_of_line

FETCHED_AT_MOST = 0.1
"""The part of the lines of a text whose rows are read by their keys; where more are to be, all are read."""

FETCHED_ANYWAY = 100
"""So many are read by their keys whatever part they are."""

READ_WHOLE_AT_MOST = 8
"""Behind so many texts in a row of which all rows were read, all that is left is read."""

_NO_ROWS = PlainRows(RowColumns([], [], []))


class Winnow:
    """Gives all that happened to the rows behind a key; keys are one column."""

    def __init__(
        self, source: HashedRows, mapper: Mapper, known: Known, after: RowKey | None, copy_cells: CopyCells
    ) -> None:
        self._source = source
        self._mapper = mapper
        self._known = known
        self._page = Page(known.pages())
        self._after = after
        self._copy_cells = copy_cells

    async def changes(self, texts: AsyncIterator[bytes], stack: AsyncExitStack) -> AsyncIterator[Sequence[RowChange]]:
        """Changes as `diff` gives them, without bodies of what did not change; what is read is left with the stack."""
        read_whole = 0
        async for text in texts:
            failpoint("exec.mid_read")
            # A key that has an escape is none of a whole number: it is NULL, and there are no others behind it.
            if not text or b"\\" in text or read_whole == READ_WHOLE_AT_MOST:
                self._known.stop_watching()
                async for some in self._whole(None, stack):
                    yield some
                break
            last = key_of_line(text, 0, len(text) - text.endswith(b"\n"))
            pieces = await self._compared(text, last)
            rows = None if pieces is None else await self._fetched(text, pieces)
            if pieces is None or rows is None:
                read_whole += 1
                async for some in self._whole(last, stack):
                    yield some
            else:
                read_whole = 0
                for some in await self._told(text, pieces, rows):
                    yield some
                self._mapper.pass_by(last)
            self._after = last
        self._known.stop_watching()
        async for some in self._page.left():
            yield some

    async def _compared(self, text: bytes, last: RowKey) -> "Sequence[_Piece] | None":
        """What the lines come to, page by page; None where one of them is odd."""
        pieces: list[_Piece] = []
        start = 0
        for page in await self._known.up_to(last):
            at = self._page.at if page is self._page.entries else 0
            piece = _Piece.of(page, at, text, start, self._copy_cells)
            pieces.append(piece)
            start = piece.sifted.start
            if start == len(text):
                return pieces
            if piece.is_odd:
                return None
        return [*pieces, _Piece.of_new(text, start)]

    async def _fetched(self, text: bytes, pieces: "Sequence[_Piece]") -> Sequence[MappedRow] | None:
        """The rows of lines that are not as they are known; None where all rows are better read."""
        wanted = [_key_at(text, each.start) for piece in pieces for each in piece.lines]
        if not wanted:
            return _NO_ROWS
        if len(wanted) > max(FETCHED_ANYWAY, FETCHED_AT_MOST * sum(piece.sifted.rows for piece in pieces)):
            return None
        blocks = [block async for block in self._source.rows_of(wanted)]
        keys = [key for block in blocks for key in block.keys]
        # Others where a key has several rows, of which a line may have been taken for that of the only one.
        if keys != wanted:
            return None
        rows = list(chain.from_iterable(block.rows for block in blocks))
        sources = list(chain.from_iterable(block.sources or () for block in blocks))
        return self._mapper.map_block(Block(rows, keys, sources))

    async def _told(
        self, text: bytes, pieces: "Sequence[_Piece]", rows: Sequence[MappedRow]
    ) -> Sequence[Sequence[RowChange]]:
        told: list[Sequence[RowChange]] = []
        at = 0
        for piece in pieces:
            end = at + len(piece.lines)
            told += piece.changes(text, rows[at:end])
            at = end
            if piece.page is not None:
                await self._page.turn()
                self._page.at = piece.sifted.place
        return told

    async def _whole(self, until: RowKey | None, stack: AsyncExitStack) -> AsyncIterator[Sequence[RowChange]]:
        """What happened to all rows up to a key, each of them read."""
        rows = self._source.rows(after=self._after, until=until, with_hashes=True)
        async for block in await stack.enter_async_context(rows):
            failpoint("exec.mid_read")
            async for some in compared(self._mapper.map_block(block), self._page, keeps_unchanged=False):
                yield some


class _Piece(NamedTuple):
    """The lines of a text that were compared with a page, from one that begins at `start` on.

    Without a page all of them are new. `lines` are those that are not as they are known.
    """

    page: EntryColumns | None
    start: int
    sifted: Sifted
    lines: Sequence[Found]
    is_odd: bool = False

    @classmethod
    def of(cls, page: EntryColumns, at: int, text: bytes, start: int, copy_cells: CopyCells) -> "_Piece":
        """Odd if neither the text nor the page was used up."""
        keys = page.array or array_of(page.keys)
        if not keys.startswith(b'["') or b"\\" in keys:
            return cls(page, start, Sifted(0, start, 0, at, []), [], is_odd=True)
        known_start = 1 + sum(len(key.encode()) + 3 for (key,) in page.keys[:at]) if at else 1
        sifted = copy_cells.sift_hashes(text, start, Compared(keys, _sources(page), known_start, at))
        lines = [found for found in sifted.found if found.key is None]
        return cls(page, start, sifted, lines, is_odd=sifted.start < len(text) and sifted.place < len(page))

    @classmethod
    def of_new(cls, text: bytes, start: int) -> "_Piece":
        """Lines behind all that is known."""
        lines: list[Found] = []
        first = start
        while start < len(text):
            lines.append(Found(len(lines), start, -1, None))
            start = end_of_line(text, start) + 1
        return cls(None, first, Sifted(len(lines), len(text), 0, 0, lines), lines)

    def changes(self, text: bytes, rows: Sequence[MappedRow]) -> Sequence[Sequence[RowChange]]:
        """What happened, where these are the rows of `lines`."""
        told = list(self._stretches(text, rows))
        # Letters are asked for by stretches: where several rows have some, it is one for all.
        return [list(chain.from_iterable(told))] if self._letters > 1 else told

    def _stretches(self, text: bytes, rows: Sequence[MappedRow]) -> Iterator[Sequence[RowChange]]:
        columns = rows.columns if isinstance(rows, PlainRows) else _NO_ROWS.columns
        stretches, nth = Stretches(text, columns, self.start), 0
        for line, start, place, key in self.sifted.found:
            delivered = self._delivered(place) if key is None and isinstance(rows, PlainRows) else None
            if delivered is None:
                yield from stretches.before(line, start)
            if key is not None:
                yield [RowChange(Change.REMOVED, known=self._entry(place, RowKey((key,))))]
                continue
            if delivered is None:
                yield self._alone(rows, nth, place)
                stretches.leave_out()
            elif delivered == columns.hashes[nth]:
                stretches.learn(line, nth)
            else:
                stretches.change(line, nth, delivered)
            nth += 1
        yield from stretches.before(self.sifted.rows, self.sifted.start)

    @property
    def _letters(self) -> int:
        if self.page is None or self.page.is_plain:
            return 0
        told = [self.page.told[each.place] for each in self.lines if each.place >= 0]
        return sum(isinstance(one, Entry) and one.dead is not None for one in told)

    def _alone(self, rows: Sequence[MappedRow], nth: int, place: int) -> Sequence[RowChange]:
        if place >= 0:
            return [seen(rows[nth], self._entry(place, rows[nth].place))]
        return (
            PlainChanges(Change.ADDED, rows.columns[nth : nth + 1])
            if isinstance(rows, PlainRows)
            else [added(rows[nth])]
        )

    def _delivered(self, place: int) -> RowHash | None:
        """What was delivered, where there is nothing else to say."""
        told = None if self.page is None or place < 0 else self.page.told_at(place)
        return None if isinstance(told, Entry) else told

    def _entry(self, place: int, key: RowKey) -> Entry:
        if self.page is None:
            raise ValueError("nothing is known there")
        told, sources = self.page.told_at(place), self.page.sources
        entry = told if isinstance(told, Entry) else Entry(key, told)
        return entry if sources is None else entry._replace(source=sources[place])


def _sources(page: EntryColumns) -> bytes:
    """The hashes that are known, 8 bytes each; 0 of what has to be looked at whatever its hash is."""
    sources = page.sources
    known = array("q", bytes(8 * len(page))) if sources is None else array("q", sources)
    for at, told in enumerate(() if page.is_plain else page.told):
        if isinstance(told, Entry) and (told.delivered is None or told.dead is not None or told.is_gone):
            known[at] = UNKNOWN_SOURCE
    return known.tobytes()


def _key_at(text: bytes, start: int) -> RowKey:
    return key_of_line(text, start, end_of_line(text, start))
