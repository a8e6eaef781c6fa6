"""The statements by which PostgreSQL hashes rows, and finds those that changed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from typing import Any, Protocol

from tailrace.connector_kit import postgres_parts
from tailrace.connector_kit.blocks import placed
from tailrace.connector_kit.number_ranges import Numbers
from tailrace.connector_kit.postgres_parts import WHOLE_NUMBERS, Parts, Planned, numbers_of
from tailrace.connector_kit.postgres_reading import ReadColumn, copied_statement, statement
from tailrace.connector_kit.postgres_values import Attribute, copied_column
from tailrace.connector_kit.row_hashes import HASHES_PER_BLOCK, Hashing, KeyHashes, is_quicker
from tailrace.connector_kit.warehouse import Reading
from tailrace.core.ahead import asked_ahead
from tailrace.core.rows import Block, RowKey, SourceHash

ROW_HASH = "postgres-2"
"""The exclusive or of `hashtextextended` of the texts of all columns, each with a seed of its own.

Of a whole number alone it is that number and the seed: where numbers differ, so do their hashes.
"""

CAN_HASH = "SELECT to_regprocedure('pg_catalog.hashtextextended(text,bigint)') IS NOT NULL"
EXPLAIN = "EXPLAIN (FORMAT JSON) "

_ROWS_PER_BLOCK = 1000
_SEED_BYTES = 8
_LINES_PER_PART = 60_000
"""About 2 MB of hashes and keys."""


class Session(postgres_parts.Session, Protocol):
    """A connection in a transaction."""

    def records(self, sql: str, arguments: Sequence[object], rows_at_once: int) -> AsyncIterator[Sequence[Any]]:
        """What a statement gives; several may be read from side by side."""
        ...

    def copied(
        self, parts: Parts, attributes: Sequence[Attribute], *, has_hashes: bool
    ) -> AbstractAsyncContextManager[AsyncIterator[Block]]:
        """What parts give, as the only ones, read by COPY."""
        ...

    def texts(self, parts: Parts) -> AsyncIterator[bytes]:
        """What each part gives, copied when it is asked for, and while nothing else is."""
        ...


class HashedStatements:
    """The SQL and its arguments for a reading in the order of its keys; rows come as columns, hash, key."""

    def __init__(self, reading: Reading, columns: Sequence[ReadColumn], hashing: Hashing, encoding: str) -> None:
        self._reading = reading
        self._hash = ReadColumn("", _expression(columns, hashing), "")
        self._columns = columns
        self._encoding = encoding
        self._numbers: Numbers | None = None

    async def look(self, session: Session) -> None:
        """Find out whether rows are better read in parts."""
        whole = partial(copied_statement, columns=self._columns, encoding=self._encoding)
        self._numbers = await numbers_of(session, self._reading, self._columns, whole)

    def hashes(self) -> tuple[str, Sequence[object]]:
        """Rows come as hash, key."""
        return statement(self._reading, [self._hash], self._encoding)

    def rows_of(self, keys: Sequence[RowKey]) -> tuple[str, Sequence[object]]:
        """All rows of keys that were seen in the same view."""
        wanted = Reading(self._reading.query, self._reading.key_columns, only=keys)
        return statement(wanted, [*self._columns, self._hash], self._encoding, were_seen=True)

    def lines(self) -> Parts | None:
        """Rows come as hash, key, by COPY; None where they are not read in parts, or a key has several columns."""
        if self._numbers is None or len(self._reading.key_columns) > 1:
            return None
        numbers = self._numbers.with_rows(_LINES_PER_PART)
        return Parts(self._reading, numbers, partial(copied_statement, columns=[self._hash], encoding=self._encoding))

    def rows(
        self, columns: Sequence[ReadColumn], after: RowKey | None, until: RowKey | None, *, with_hashes: bool
    ) -> Parts:
        """All rows from key to key, for a COPY, which takes its columns in another way."""
        selected = [*columns, self._hash] if with_hashes else columns
        some = replace(self._reading, after=after, until=until or self._reading.until)
        return Parts(some, self._numbers, partial(copied_statement, columns=selected, encoding=self._encoding))

    def to_weigh(self, keys: Sequence[RowKey]) -> Sequence[tuple[str, Sequence[object]]]:
        """What finds some keys, and what reads all of them."""
        return self.rows_of(keys), statement(self._reading, self._columns, self._encoding)

    def block(self, records: Sequence[Any]) -> Block:
        """The rows of some keys."""
        width = len(self._columns)
        keys = [RowKey(record[width + 1 :]) for record in records]
        return Block([record[:width] for record in records], keys, [SourceHash(record[width]) for record in records])


class PostgresHashedRows:
    """What a transaction sees of a reading: hashes, and whole rows."""

    def __init__(self, session: Session, statements: HashedStatements, attributes: Sequence[Attribute]) -> None:
        self._session = session
        self._statements = statements
        self._attributes = attributes
        self._between_texts = asyncio.Lock()

    async def hashes(self) -> AsyncIterator[KeyHashes]:
        """Keys and hashes of all rows behind the start of the reading."""
        async for records in self._session.records(*self._statements.hashes(), HASHES_PER_BLOCK):
            yield key_hashes(records)

    def lines(self) -> AbstractAsyncContextManager[AsyncIterator[bytes]] | None:
        """The same in texts, a part of the table each; None where it is not read in parts."""
        parts = self._statements.lines()
        return None if parts is None else asked_ahead(self._texts(parts))

    async def rows_of(self, keys: Sequence[RowKey]) -> AsyncIterator[Block]:
        """All rows of some keys, whole and with their hashes."""
        async with self._between_texts:
            async for records in self._session.records(*self._statements.rows_of(keys), _ROWS_PER_BLOCK):
                yield self._statements.block(records)

    def rows(
        self, *, after: RowKey | None, with_hashes: bool, until: RowKey | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[Block]]:
        """All rows behind a key, whole."""
        columns = list(map(copied_column, self._attributes))
        some = self._statements.rows(columns, after, until, with_hashes=with_hashes)
        return self._session.copied(some, self._attributes, has_hashes=with_hashes)

    async def finds_quickly(self, keys: Sequence[RowKey]) -> bool:
        """Whether it is less work to find what changed than to read all rows, as the server estimates it."""
        finding, reading = self._statements.to_weigh(keys)
        some, whole = [Planned.of(await self._session.plan(*each)) for each in (finding, reading)]
        return is_quicker(whole.rows, finding=some.cost, reading=whole.cost)

    async def _texts(self, parts: Parts) -> AsyncIterator[bytes]:
        """Texts, none of which is begun while rows are asked for: each of their fetches would wait for one."""
        texts = self._session.texts(parts)
        while True:
            async with self._between_texts:
                text = await anext(texts, None)
            if text is None:
                return
            yield text


def key_hashes(records: Sequence[Any]) -> KeyHashes:
    """Rows that come as hash, key."""
    return KeyHashes(placed([record[1:] for record in records]), [record[0] for record in records])


def _expression(columns: Sequence[ReadColumn], hashing: Hashing) -> str:
    """Of the texts, since values that are equal may be written in two ways: 1.0 and 1.00."""
    if (number := _number(columns, hashing)) is not None:
        return f"coalesce({number}::int8 # {_seed(hashing.columns[0], hashing.seed)}, 0)"
    projections = {column.name: column.projection for column in columns}
    texts = {name: f'({projections[name]})::text COLLATE "C"' for name in hashing.columns}
    hashes = (f"pg_catalog.hashtextextended({text}, {_seed(name, hashing.seed)})" for name, text in texts.items())
    return f"({' # '.join(f'coalesce({each}, 0)' for each in hashes)})"


def _number(columns: Sequence[ReadColumn], hashing: Hashing) -> str | None:
    """The only column that is hashed, if it holds whole numbers."""
    found = [column for column in columns if column.name in hashing.columns]
    return found[0].projection if len(found) == 1 and found[0].type_name in WHOLE_NUMBERS else None


def _seed(name: str, seed: int) -> str:
    digest = blake2b(name.encode(), digest_size=_SEED_BYTES, salt=seed.to_bytes(_SEED_BYTES, signed=True))
    return f"'{int.from_bytes(digest.digest(), signed=True)}'::int8"
