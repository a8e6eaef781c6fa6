"""Rows that MySQL and MariaDB hash: what a connection sees of a reading, in one view."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from hashlib import blake2b
from math import prod
from tempfile import TemporaryFile
from typing import TypeAlias

import orjson

from tailrace.connector_kit.blocks import placed
from tailrace.connector_kit.kept_texts import KeptTexts
from tailrace.connector_kit.mysql_sql import FieldLike, hash_of, hashes_sql, is_whole_number, lines_sql, reading_sql
from tailrace.connector_kit.mysql_stream import Stream
from tailrace.connector_kit.row_hashes import HASHES_PER_BLOCK, Hashing, KeyHashes, is_quicker
from tailrace.connector_kit.warehouse import Reading
from tailrace.core.rows import Block, Column, RowKey

ROW_HASH = "mysql-1"
CAN_HASH = "SELECT md5('') = 'd41d8cd98f00b204e9800998ecf8427e'"
"""Not where the server keeps to FIPS 140: it gives NULL."""

_LINES_AT_ONCE = 1000
_TEXTS_AT_ONCE = 60
_SALT_BYTES = 16

Run: TypeAlias = Callable[[str, Sequence[object]], AbstractAsyncContextManager[Stream]]
"""What carries a statement out, one at a time."""


@dataclass(frozen=True, slots=True)
class MySqlHashedRows:
    """One transaction's rows. A connection gives one thing at a time, so all hashes are kept before any row is read."""

    run: Run
    reading: Reading
    fields: Sequence[FieldLike]
    columns: Sequence[Column]
    hashing: Hashing
    has_windows: bool

    async def hashes(self) -> AsyncIterator[KeyHashes]:
        """Keys and hashes of all rows behind the start of the reading."""
        with TemporaryFile() as file:
            kept = KeptTexts(file)
            async with self.run(*hashes_sql(self.reading, self.fields, self._hash)) as stream:
                async for records in stream.records(HASHES_PER_BLOCK):
                    if not kept.keep(orjson.dumps(records)):
                        break
            for text in kept.texts():
                yield _key_hashes(text)

    def lines(self) -> AbstractAsyncContextManager[AsyncIterator[bytes]] | None:
        """The same in texts, for keys of one column of whole numbers, where the server knows window functions."""
        if not self.has_windows or len(self.reading.key_columns) > 1:
            return None
        [key] = [field for field in self.fields if field.name == self.reading.key_columns[0]]
        return self._lines() if is_whole_number(key) else None

    async def rows_of(self, keys: Sequence[RowKey]) -> AsyncIterator[Block]:
        """All rows of some keys, whole and with their hashes."""
        wanted = Reading(self.reading.query, self.reading.key_columns, only=keys)
        async with self.run(*reading_sql(wanted, self.fields, self._hash, were_seen=True)) as stream:
            async for block in stream.blocks(self.columns, wanted.rows_per_block, has_hashes=True):
                yield block

    @asynccontextmanager
    async def rows(
        self, *, after: RowKey | None, with_hashes: bool, until: RowKey | None = None
    ) -> AsyncIterator[AsyncIterator[Block]]:
        """All rows behind a key, whole."""
        some = replace(self.reading, after=after, until=until or self.reading.until)
        more = [self._hash] if with_hashes else []
        async with self.run(*reading_sql(some, self.fields, *more)) as stream:
            yield stream.blocks(self.columns, some.rows_per_block, has_hashes=with_hashes)

    async def finds_quickly(self, keys: Sequence[RowKey]) -> bool:
        """Whether the server expects to look at few rows to find what changed."""
        wanted = Reading(self.reading.query, self.reading.key_columns, only=keys)
        some = await self._rows_looked_at(*reading_sql(wanted, self.fields, self._hash, were_seen=True))
        whole = await self._rows_looked_at(*reading_sql(self.reading, self.fields))
        return is_quicker(whole, finding=some, reading=whole)

    @property
    def _hash(self) -> str:
        seed, columns = self.hashing.seed, self.hashing.columns
        salt = blake2b(repr((seed, *columns)).encode(errors="surrogatepass"), digest_size=_SALT_BYTES)
        return hash_of(self.fields, columns, salt.digest())

    @asynccontextmanager
    async def _lines(self) -> AsyncIterator[AsyncIterator[bytes]]:
        with TemporaryFile() as file:
            kept = KeptTexts(file)
            async with self.run(*lines_sql(self.reading, self.fields, self._hash, _LINES_AT_ONCE)) as stream:
                async for text in between_keys(stream.records(_TEXTS_AT_ONCE)):
                    if not kept.keep(text):
                        break
            yield _one_by_one(kept)

    async def _rows_looked_at(self, sql: str, arguments: Sequence[object]) -> int:
        """As the server expects it: tables of one SELECT are joined."""
        async with self.run(f"EXPLAIN {sql}", arguments) as stream:
            tables = await stream.named("id", "rows")
        counts: dict[object, list[int]] = {}
        for select, rows in tables:
            counts.setdefault(select, []).append(int(rows or 1))
        return sum(map(prod, counts.values()))


def _key_hashes(text: bytes) -> KeyHashes:
    records = orjson.loads(text) if text else []
    return KeyHashes(placed([RowKey(tuple(record[1:])) for record in records]), [record[0] for record in records])


async def between_keys(read: AsyncIterator[Sequence[tuple[int, str]]]) -> AsyncIterator[bytes]:
    """Texts of lines, with the bytes that each has to have, as others that part no two lines of a key.

    One that is shorter has been cut by the server: there an empty one is the last.
    """
    left = b""
    async for records in read:
        texts = [text.encode() for _, text in records]
        if any(len(text) != length for text, (length, _) in zip(texts, records, strict=True)):
            yield b""
            return
        text = b"\n".join([left[:-1], *texts] if left else texts) + b"\n"
        start = _start_of_last_key(text)
        if start:
            yield text[:start]
        left = text[start:]
    if left:
        yield left


def _start_of_last_key(text: bytes) -> int:
    """Where the first line of the last key begins."""
    start = text.rfind(b"\n", 0, -1) + 1
    key = text[text.index(b"\t", start) :]
    while start:
        before = text.rfind(b"\n", 0, start - 1) + 1
        if text[text.index(b"\t", before) : start] != key:
            return start
        start = before
    return 0


async def _one_by_one(kept: KeptTexts) -> AsyncIterator[bytes]:
    for text in kept.texts():
        yield text
