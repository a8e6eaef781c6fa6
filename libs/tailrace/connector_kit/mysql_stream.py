"""Rows of MySQL and MariaDB as they come, by an unbuffered cursor, and as what their values arrive."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from tailrace.connector_kit.blocks import FIRST_ROWS, rows_that_fit
from tailrace.connector_kit.mysql_errors import translated
from tailrace.connector_kit.mysql_sql import KINDS
from tailrace.core.rows import Block, Column, ColumnKind, RowKey, SourceHash

try:
    import aiomysql
    from pymysql.constants import FIELD_TYPE
except ImportError as error:
    raise ImportError("the driver for MySQL is not installed: pip install 'tailrace[mysql]'") from error

_AT_ONCE = 1000


def _iso(text: str) -> str:
    return text.replace(" ", "T", 1)


def _iso_utc(text: str) -> str:
    return text.replace(" ", "T", 1) + "Z"


DECODERS: Mapping[int, Callable[[str], object]] = {
    **{code: int for code, kind in KINDS.items() if kind is ColumnKind.INTEGER},
    **{code: float for code, kind in KINDS.items() if kind is ColumnKind.FLOAT},
    FIELD_TYPE.TIMESTAMP: _iso_utc,
    FIELD_TYPE.DATETIME: _iso,
}
"""By the driver's name for a type, what makes a value of its text; all others stay texts."""


class Stream:
    """The rows of one statement as they come."""

    def __init__(self, limited: Callable[[], asyncio.Timeout]) -> None:
        self._limited = limited
        self._cursor: Any = None
        self.is_at_its_end = False

    async def open(self, connection: Any, sql: str, arguments: Sequence[object] | None) -> None:  # noqa: ANN401 - the driver ships no types
        """Carry a statement out."""
        async with self._limited():
            self._cursor = await connection.cursor(aiomysql.SSCursor)
            await self._cursor.execute(sql, arguments)

    async def records(self, at_once: int) -> AsyncIterator[Sequence[tuple[Any, ...]]]:
        """What the statement gives, so much at a time."""
        while records := await self._fetch(at_once):
            yield records
        self.is_at_its_end = True

    async def all(self) -> Sequence[tuple[Any, ...]]:
        """All rows, of which there are few."""
        return [record async for records in self.records(_AT_ONCE) for record in records]

    async def named(self, *names: str) -> Sequence[tuple[Any, ...]]:
        """Some columns of all rows, of which there are few."""
        places = [[column[0] for column in self._cursor.description].index(name) for name in names]
        return [tuple(record[at] for at in places) for record in await self.all()]

    async def blocks(
        self, columns: Sequence[Column], rows_per_block: int, *, has_hashes: bool = False
    ) -> AsyncIterator[Block]:
        """Rows that have these columns, behind them a hash if so said, and behind that the texts of their keys."""
        width = len(columns)
        keys_at = width + has_hashes
        booleans = [at for at, column in enumerate(columns) if column.kind is ColumnKind.BOOLEAN]
        at_once = min(FIRST_ROWS, rows_per_block)
        while records := await self._fetch(at_once):
            keys = [RowKey(record[keys_at:]) for record in records]
            rows = [_row(record[:width], booleans) for record in records]
            hashes = [SourceHash(record[width]) for record in records] if has_hashes else None
            yield Block(rows, [None if None in key else key for key in keys], hashes)
            at_once = rows_that_fit(records, at_most=rows_per_block)
        self.is_at_its_end = True

    async def _fetch(self, at_once: int) -> Sequence[tuple[Any, ...]]:
        with translated():
            async with self._limited():
                found: Sequence[tuple[Any, ...]] = await self._cursor.fetchmany(at_once)
        return found


def _row(record: tuple[Any, ...], booleans: Sequence[int]) -> tuple[object, ...]:
    if not booleans:
        return record
    row = list(record)
    for at in booleans:
        row[at] = None if row[at] is None else bool(row[at])
    return tuple(row)
