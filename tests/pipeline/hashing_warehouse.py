"""A warehouse in memory that hashes its rows."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from hashlib import blake2b

from tailrace.connector_kit.row_hashes import HashedRows, Hashing, KeyHashes
from tailrace.connector_kit.warehouse import Reading
from tailrace.core.ahead import asked_ahead
from tailrace.core.rows import Block, RowKey, SourceHash
from tests.pipeline.memory_warehouse import COLUMNS, MemoryWarehouse


class HashingWarehouse(MemoryWarehouse):
    """Counts what is read from it: `fetched` by their keys, `read_whole` otherwise. Rows come some at a time."""

    rows_per_block = 5
    name_of_hash = "memory-1"
    is_quick = True
    gives_others = False
    """Whether the query gives other rows when it is asked for some."""

    rows_per_text = 0
    """How many lines of hash and key come together at most, but for those of one key; none where it is 0."""

    expired: frozenset[str] = frozenset()
    """Keys of rows that the query gives no more when all of a text is read."""

    texts_held = 100
    """Behind so many, or so many blocks of hashes, one is too large to be held."""

    def __init__(self, rows: list[tuple[str | None, str]]) -> None:
        super().__init__(rows)
        self.fetched = 0
        self.most_fetched = 0
        self.read_whole = 0

    async def row_hash(self, *, is_asked_for: bool = False) -> str | None:
        return self.name_of_hash

    @asynccontextmanager
    async def compare(self, reading: Reading, hashing: Hashing) -> AsyncIterator[HashedRows]:
        yield _View(self, replace(reading, rows_per_block=self.rows_per_block), hashing)

    def blocks(self, reading: Reading) -> AsyncIterator[Block]:
        """The rows of a reading."""
        return self._blocks(reading)


class _View:
    def __init__(self, warehouse: HashingWarehouse, reading: Reading, hashing: Hashing) -> None:
        self._warehouse = warehouse
        self._reading = reading
        self._hashing = hashing
        self._places = [[column.name for column in COLUMNS].index(name) for name in hashing.columns]

    async def hashes(self) -> AsyncIterator[KeyHashes]:
        given = 0
        async for block in self._warehouse.blocks(self._reading):
            is_held = given < self._warehouse.texts_held
            yield KeyHashes(block.keys, self._hashes(block)) if is_held else KeyHashes([], [])
            given += 1

    def lines(self) -> AbstractAsyncContextManager[AsyncIterator[bytes]] | None:
        return asked_ahead(self._texts()) if self._warehouse.rows_per_text else None

    async def _texts(self) -> AsyncIterator[bytes]:
        whole = [block async for block in self._warehouse.blocks(replace(self._reading, rows_per_block=10_000))]
        rows = [found for block in whole for found in zip(block.keys, self._hashes(block), strict=True)]
        lines = [(key, f"{row_hash}\t{key[0] if key else chr(92) + 'N'}\n".encode()) for key, row_hash in rows]
        given = 0
        while lines:
            end = self._warehouse.rows_per_text
            while end < len(lines) and lines[end][0] == lines[end - 1][0]:
                end += 1
            yield b"".join(line for _, line in lines[:end]) if given < self._warehouse.texts_held else b""
            lines, given = lines[end:], given + 1

    async def rows_of(self, keys: Sequence[RowKey]) -> AsyncIterator[Block]:
        wanted = keys[1:] if self._warehouse.gives_others else keys
        self._warehouse.most_fetched = max(self._warehouse.most_fetched, len(keys))
        async for block in self._warehouse.blocks(replace(self._reading, after=None, only=wanted)):
            self._warehouse.fetched += len(block.rows)
            yield replace(block, sources=self._hashes(block))

    @asynccontextmanager
    async def rows(
        self, *, after: RowKey | None, with_hashes: bool, until: RowKey | None = None
    ) -> AsyncIterator[AsyncIterator[Block]]:
        yield self._whole(after, until, with_hashes=with_hashes)

    async def finds_quickly(self, keys: Sequence[RowKey]) -> bool:
        return self._warehouse.is_quick

    async def _whole(self, after: RowKey | None, until: RowKey | None, *, with_hashes: bool) -> AsyncIterator[Block]:
        reading = replace(self._reading, after=after, until=until or self._reading.until)
        async for whole in self._warehouse.blocks(reading):
            block = self._without_expired(whole)
            self._warehouse.read_whole += len(block.rows)
            yield replace(block, sources=self._hashes(block) if with_hashes else None)

    def _without_expired(self, block: Block) -> Block:
        found = zip(block.rows, block.keys, strict=True)
        kept = [(row, key) for row, key in found if key is None or key[0] not in self._warehouse.expired]
        return Block([row for row, _ in kept], [key for _, key in kept])

    def _hashes(self, block: Block) -> list[SourceHash]:
        return [self._hash([row[at] for at in self._places]) for row in block.rows]

    def _hash(self, cells: Sequence[object]) -> SourceHash:
        salt = self._hashing.seed.to_bytes(8, signed=True)
        digest = blake2b(repr(cells).encode(), digest_size=8, salt=salt).digest()
        return SourceHash(int.from_bytes(digest, signed=True))
