"""Steps 0 to 2 of a row where the warehouse hashes rows: what is known by its hash is unchanged, and is not read.

Everything else is read whole, in the same view, and goes the way of all rows: what is new or changed, or was never
hashed; and, whatever its hash, a row with a letter, one that was to be deleted, and rows that share a key. Where many
rows of a block are to be read, or a key is NULL, all that is left is read whole instead.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from itertools import chain, compress, count, islice, repeat
from operator import eq, not_
from typing import NamedTuple, cast

from tailrace.connector_kit.compiled import COPY_CELLS
from tailrace.connector_kit.row_hashes import HASHES_PER_BLOCK, HashedRows, KeyHashes
from tailrace.core.entry_columns import EntryColumns
from tailrace.core.row_columns import RowColumns
from tailrace.core.rows import UNKNOWN_SOURCE, RowHash, RowKey, SourceHash
from tailrace.core.snapshots import UNKNOWN_VERSION, Entry
from tailrace.pipeline.diff import diff, stretches
from tailrace.pipeline.known import Known
from tailrace.pipeline.map_fields import Mapper, map_fields
from tailrace.pipeline.plain import MappedRow, PlainRows, RowChange
from tailrace.pipeline.winnow import FETCHED_ANYWAY, Winnow

FETCHED_AT_MOST = 0.2
"""The part of the rows looked at together that are fetched by their keys; where more are to be, all are read."""

_SAMPLE = HASHES_PER_BLOCK // 100
_NOT_READ = b""
"""In place of the body of a row that is known to be unchanged; nobody looks at it."""


class Sieve:
    """Gives all that happened to the rows behind a key."""

    def __init__(self, source: HashedRows, mapper: Mapper, known: Known, after: RowKey | None) -> None:
        self._source = source
        self._mapper = mapper
        self._known = known
        self._after = after
        self._is_over = False
        self._learns = True

    async def changes(self, stack: AsyncExitStack, *, may_skip: bool) -> AsyncIterator[Sequence[RowChange]]:
        """Changes as `diff` gives them; `may_skip` where nothing is sent for rows that are unchanged.

        What is read is left with the stack.
        """
        is_worth_it = may_skip and await self._is_worth_it()
        lines = self._source.lines() if is_worth_it else None
        if lines is None or COPY_CELLS is None:
            changes = diff(self._rows(stack, is_worth_it=is_worth_it), self._known.pages())
        else:
            texts, opened = await stack.enter_async_context(lines), await stack.enter_async_context(AsyncExitStack())
            changes = Winnow(self._source, self._mapper, self._known, self._after, COPY_CELLS).changes(texts, opened)
        async for some in changes:
            yield some

    async def _rows(self, stack: AsyncExitStack, *, is_worth_it: bool) -> AsyncIterator[Sequence[MappedRow]]:
        if is_worth_it:
            async for rows in self._sifted():
                yield rows
        self._known.stop_watching()
        if not self._is_over:
            blocks = self._source.rows(after=self._after, with_hashes=self._learns)
            async for rows in map_fields(await stack.enter_async_context(blocks), self._mapper):
                yield rows

    async def _is_worth_it(self) -> bool:
        sample = await self._known.first()
        if not any(sample.sources or ()):
            return False
        self._learns = await self._source.finds_quickly(sample.keys[:_SAMPLE])
        return self._learns

    async def _sifted(self) -> AsyncIterator[Sequence[MappedRow]]:
        """Rows up to where it is better to read all that is left."""
        async for keys, hashes in _by_key(self._source.hashes()):
            if not keys:
                return
            looked_at = _Sifted.of(keys, hashes, await self._known.up_to(keys[-1]))
            if len(looked_at.missed) > max(FETCHED_ANYWAY, FETCHED_AT_MOST * len(keys)):
                return
            async for rows in self._completed(looked_at):
                yield rows
            if self._after != keys[-1]:
                return
        self._is_over = True

    async def _completed(self, some: "_Sifted") -> AsyncIterator[Sequence[MappedRow]]:
        """The rows, those that were missed fetched, as far as the query gives the same rows once more."""
        at = fetched = 0
        if some.missed:
            async for block in self._source.rows_of([some.keys[place] for place in some.missed]):
                places = some.missed[fetched : fetched + len(block.keys)]
                if list(block.keys) != [some.keys[place] for place in places]:
                    return
                for rows in some.filled(at, places, self._mapper.map_block(block)):
                    yield rows
                at, fetched = places[-1] + 1, fetched + len(places)
                self._after = some.keys[at - 1]
        if fetched < len(some.missed):
            return
        if at < len(some.keys):
            yield some.unread(at, len(some.keys))
        self._after = some.keys[-1]


class _Sifted(NamedTuple):
    """Rows that were looked at together; `told` is what was delivered of those that are not `missed`."""

    keys: Sequence[RowKey]
    hashes: Sequence[SourceHash]
    told: Sequence[RowHash]
    missed: Sequence[int]

    @classmethod
    def of(cls, keys: Sequence[RowKey], hashes: Sequence[SourceHash], pages: Sequence[EntryColumns]) -> "_Sifted":
        known, delivered, sources = _joined(pages)
        told, is_same = [UNKNOWN_VERSION] * len(keys), [False] * len(keys)
        for at, end, place, last in stretches(keys, known):
            if at < end and place < last:
                told[at:end] = delivered[place:last]
                is_same[at:end] = map(eq, hashes[at:end], sources[place:last])
        for at in compress(count(), map(eq, keys, islice(keys, 1, None))):
            is_same[at] = is_same[at + 1] = False
        return cls(keys, hashes, told, list(compress(count(), map(not_, is_same))))

    def unread(self, at: int, end: int) -> PlainRows:
        """Rows that are unchanged."""
        bodies = [_NOT_READ] * (end - at)
        return PlainRows(RowColumns(self.keys[at:end], bodies, self.told[at:end], self.hashes[at:end]))

    def filled(self, at: int, places: Sequence[int], mapped: Sequence[MappedRow]) -> Iterator[Sequence[MappedRow]]:
        """Rows from a place on, up to the last of those that were read."""
        if isinstance(mapped, PlainRows):
            yield self._merged(at, places, mapped.columns)
            return
        for place, row in zip(places, mapped, strict=True):
            if at < place:
                yield self.unread(at, place)
            yield [row]
            at = place + 1

    def _merged(self, at: int, places: Sequence[int], read: RowColumns) -> PlainRows:
        """All of them in columns."""
        end = places[-1] + 1
        bodies, told, hashes = [_NOT_READ] * (end - at), list(self.told[at:end]), list(self.hashes[at:end])
        for place, body, row_hash, source in zip(places, read.bodies, read.hashes, read.sources or (), strict=True):
            bodies[place - at], told[place - at], hashes[place - at] = body, row_hash, source
        return PlainRows(RowColumns(self.keys[at:end], bodies, told, hashes))


def _joined(
    pages: Sequence[EntryColumns],
) -> tuple[Sequence[RowKey], Sequence[RowHash], Sequence[SourceHash | None]]:
    """Keys, what was delivered of each, and the hash of the row that it was made of, where that says all."""
    told = list(chain.from_iterable(page.told for page in pages))
    sources: list[SourceHash | None] = []
    for page in pages:
        sources += repeat(None, len(page)) if page.sources is None else page.sources
    if UNKNOWN_SOURCE in sources:
        sources = [source or None for source in sources]
    if not all(page.is_plain for page in pages):
        for at, one in enumerate(told):
            if isinstance(one, Entry):
                says_all = one.delivered is not None and one.dead is None and not one.is_gone
                told[at], sources[at] = one.delivered or UNKNOWN_VERSION, sources[at] if says_all else None
    return list(chain.from_iterable(page.keys for page in pages)), cast("list[RowHash]", told), sources


async def _by_key(read: AsyncIterator[KeyHashes]) -> AsyncIterator[tuple[Sequence[RowKey], Sequence[SourceHash]]]:
    """Blocks that part no two rows of a key; an empty one where a row without a key follows, or no more is told."""
    keys: list[RowKey] = []
    hashes: list[SourceHash] = []
    async for block in read:
        found = [key for key in block.keys if key is not None]
        keys += found
        hashes += block.hashes[: len(found)]
        if not found or len(found) < len(block.keys):
            if keys:
                yield keys, hashes
            yield [], []
            return
        end = len(keys) - 1
        while end and keys[end - 1] == keys[end]:
            end -= 1
        if end:
            yield keys[:end], hashes[:end]
            keys, hashes = keys[end:], hashes[end:]
    if keys:
        yield keys, hashes
