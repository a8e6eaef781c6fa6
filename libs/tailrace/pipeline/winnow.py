"""Steps 0 to 2 of a row where hashes come as lines of text, which are compared with what is known in compiled code.

What `sieve` does with keys and hashes that are objects, for a text at a time: rows whose lines are not as they are
known are read by their keys; all rows of a text, if many are to be read or one of its lines is odd.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from itertools import chain

from tailrace.connector_kit.compiled import CopyCells
from tailrace.connector_kit.copy_text import key_of_line
from tailrace.connector_kit.row_hashes import HashedRows
from tailrace.core.rows import Block, RowKey
from tailrace.observe.failpoints import failpoint
from tailrace.pipeline.diff import Page, compared
from tailrace.pipeline.known import Known
from tailrace.pipeline.line_pieces import Piece
from tailrace.pipeline.map_fields import Mapper
from tailrace.pipeline.plain import MappedRow, RowChange

FETCHED_AT_MOST = 0.1
"""The part of the lines of a text whose rows are read by their keys; where more are to be, all are read."""

FETCHED_ANYWAY = 100
"""So many are read by their keys whatever part they are."""

READ_WHOLE_AT_MOST = 8
"""Behind so many texts in a row of which all rows were read, all that is left is read."""

_FETCHED_AT_ONCE = 500
"""About so many rows are held between the warehouse and their batches, however large they are."""


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

    async def changes(self, texts: AsyncIterator[bytes], opened: AsyncExitStack) -> AsyncIterator[Sequence[RowChange]]:
        """Changes as `diff` gives them, without bodies of what did not change; readings are left in `opened`."""
        read_whole = 0
        async for text in texts:
            failpoint("exec.mid_read")
            # A key that has an escape is none of a whole number: it is NULL, and there are no others behind it.
            if not text or b"\\" in text or read_whole == READ_WHOLE_AT_MOST:
                self._known.stop_watching()
                async for some in self._whole(None, opened):
                    yield some
                break
            last = _key_before(text, len(text))
            async for some in self._by_keys(text, last):
                yield some
            is_left = self._after != last
            read_whole = read_whole + 1 if is_left else 0
            if is_left:
                async for some in self._whole(last, opened):
                    yield some
        self._known.stop_watching()
        async for some in self._page.left():
            yield some

    async def _by_keys(self, text: bytes, last: RowKey) -> AsyncIterator[Sequence[RowChange]]:
        """What happened, where few rows have to be read, as far as the query gives the same rows once more."""
        pieces = await self._compared(text, last)
        if pieces is None or _are_many(pieces):
            return
        for some in _in_groups(pieces):
            rows = await self._fetched(text, some)
            if rows is None:
                return
            at = 0
            for piece in some:
                end = at + len(piece.lines)
                for changes in piece.changes(text, rows[at:end]):
                    yield changes
                at = end
                await self._stand_behind(piece)
            if some[-1].sifted.start:
                self._after = _key_before(text, some[-1].sifted.start)
                self._mapper.pass_by(self._after)

    async def _compared(self, text: bytes, last: RowKey) -> Sequence[Piece] | None:
        """What the lines come to, page by page; None where one of them is odd."""
        pieces: list[Piece] = []
        start = 0
        for page in await self._known.up_to(last):
            at = self._page.at if page is self._page.entries else 0
            piece = Piece.of(page, at, text, start, self._copy_cells)
            if piece is None:
                return None
            pieces.append(piece)
            start = piece.sifted.start
            if start == len(text):
                return pieces
        return [*pieces, Piece.of_new(text, start)]

    async def _fetched(self, text: bytes, pieces: Sequence[Piece]) -> Sequence[MappedRow] | None:
        """The rows of lines that are not as they are known; None where the query does not give them now."""
        wanted = list(chain.from_iterable(piece.keys(text) for piece in pieces))
        if not wanted:
            return []
        blocks = [block async for block in self._source.rows_of(wanted)]
        keys = [key for block in blocks for key in block.keys]
        # Others where a key has several rows, of which a line may have been taken for that of the only one.
        if keys != wanted:
            return None
        rows = list(chain.from_iterable(block.rows for block in blocks))
        sources = list(chain.from_iterable(block.sources or () for block in blocks))
        return self._mapper.map_block(Block(rows, keys, sources))

    async def _stand_behind(self, piece: Piece) -> None:
        if piece.page:
            await self._page.turn()
            self._page.at = piece.sifted.place

    async def _whole(self, until: RowKey | None, opened: AsyncExitStack) -> AsyncIterator[Sequence[RowChange]]:
        """What happened to all rows up to a key, each of them read."""
        rows = self._source.rows(after=self._after, until=until, with_hashes=True)
        async for block in await opened.enter_async_context(rows):
            failpoint("exec.mid_read")
            async for some in compared(self._mapper.map_block(block), self._page, keeps_unchanged=False):
                yield some
        await opened.aclose()
        if until is not None:
            # Those that had lines and have no rows now are gone too.
            async for some in self._page.left(until):
                yield some
            self._after = until


def _are_many(pieces: Sequence[Piece]) -> bool:
    found, lines = sum(len(piece.lines) for piece in pieces), sum(piece.sifted.rows for piece in pieces)
    return found > max(FETCHED_ANYWAY, FETCHED_AT_MOST * lines)


def _in_groups(pieces: Sequence[Piece]) -> Iterator[Sequence[Piece]]:
    """Neighbours of which about so many rows are to be read."""
    group: list[Piece] = []
    for piece in pieces:
        group.append(piece)
        if sum(len(each.lines) for each in group) >= _FETCHED_AT_ONCE:
            yield group
            group = []
    if group:
        yield group


def _key_before(text: bytes, end: int) -> RowKey:
    """The key of the line that ends there."""
    return key_of_line(text, 0, end - text.endswith(b"\n", 0, end))
