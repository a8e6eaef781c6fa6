"""A warehouse in memory: rows of people in a list."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Self

from pydantic import BaseModel

from tailrace.connector_kit.warehouse import Reading, Warehouse
from tailrace.core.errors import TailraceError
from tailrace.core.rows import Block, Column, ColumnKind, RowKey

COLUMNS = (Column("id", ColumnKind.TEXT), Column("name", ColumnKind.TEXT), Column("at", ColumnKind.INTEGER))


class NoSettings(BaseModel):
    """Nothing to set."""


class MemoryWarehouse(Warehouse):
    """Rows of (id, name) in a list; no id is a NULL key. The column `at` is the number behind an `@` in the name."""

    name = "memory"
    label = "Memory"
    settings_type = NoSettings
    has_cursors = True

    def __init__(self, rows: list[tuple[str | None, str]], error_after: int | None = None) -> None:
        self.rows = rows
        self.error_after = error_after
        self.blocks_read = 0
        self.was_read = asyncio.Event()
        self.error: TailraceError | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: BaseModel) -> AsyncIterator[Self]:
        yield cls([])

    async def check(self) -> None:
        return

    async def columns(self, query: str) -> Sequence[Column]:
        return COLUMNS

    @asynccontextmanager
    async def read(self, reading: Reading) -> AsyncIterator[AsyncIterator[Block]]:
        yield self._blocks(reading)

    async def _blocks(self, reading: Reading) -> AsyncIterator[Block]:
        placed = sorted((_place(row, reading), row) for row in self.rows)
        wanted = [row for place, row in placed if _is_wanted(place, row[0], reading)]
        for at in range(0, len(wanted), reading.rows_per_block):
            if self.error is not None and self.blocks_read >= (self.error_after or 0):
                raise self.error
            self.blocks_read += 1
            rows = wanted[at : at + reading.rows_per_block]
            yield Block([(*row, at_in(row[1])) for row in rows], [_key(row, reading) for row in rows])
        self.was_read.set()


def at_in(name: str) -> int | None:
    """The value of the cursor in a row of this name."""
    number = name.rpartition("@")[2]
    return int(number) if number.isdecimal() else None


def _key(row: tuple[str | None, str], reading: Reading) -> RowKey | None:
    if not reading.key_columns:
        return RowKey((f"{row[0]}:{row[1]}",))
    return None if row[0] is None else RowKey((row[0],))


def _place(row: tuple[str | None, str], reading: Reading) -> tuple[bool, int, RowKey, str]:
    """What rows are sorted by: those without a place come last."""
    key, at = _key(row, reading), at_in(row[1]) if reading.cursor else 0
    return key is None or at is None, at or 0, key or RowKey(()), row[1]


def _is_wanted(place: tuple[bool, int, RowKey, str], own_key: str | None, reading: Reading) -> bool:
    has_no_place, at, key, _ = place
    if reading.only is not None:
        return (own_key,) in reading.only
    if reading.until is not None and (has_no_place or key > reading.until):
        return False
    if has_no_place:
        return True
    since = int(reading.cursor.since) if reading.cursor and reading.cursor.since else at
    if reading.after is None:
        return at >= since
    here, last = (at, key), (since, reading.after)
    return here > last if reading.key_columns else here >= last
