"""How many rows a warehouse reads at once: few where they are large, so that a block stays within bounds."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeAlias

from tailrace.connector_kit.copy_text import Layout, TextRows
from tailrace.core.rows import Block, ColumnKind, RowKey

FIRST_ROWS = 20
"""Rows of the first block of a read, of which nothing is known yet."""

BLOCK_CHARACTERS = 16 << 20
"""What the texts of a block may come to, roughly."""

LINE_CHARACTERS = 4 << 20
"""The same where rows come as lines, of which there are some copies before they are cells."""


_BEYOND_JSON = ("NaN", "Infinity")

Fetch: TypeAlias = Callable[[int], Awaitable[Sequence[tuple[Any, ...]]]]
"""The next records, so many at most; none at the end."""


async def fetched_blocks(fetch: Fetch, rows_per_block: int, width: int) -> AsyncIterator[Block]:
    """Blocks of records that have the columns of a row, so many, and behind them the texts of its key."""
    async for records in _fetched(fetch, rows_per_block, BLOCK_CHARACTERS):
        keys = [RowKey(record[width:]) for record in records]
        yield Block([record[:width] for record in records], [None if None in key else key for key in keys])


def placed(keys: Sequence[RowKey]) -> Sequence[RowKey | None]:
    """Keys in the order that a reading gives; None for rows without a place, which come last."""
    return [None if None in key else key for key in keys] if keys and None in keys[-1] else keys


async def text_blocks(
    fetch: Fetch, rows_per_block: int, kinds: Sequence[ColumnKind], times: Sequence[int]
) -> AsyncIterator[Block]:
    """Blocks of records that have a line of text, see `TextRows`, and behind it the numbers of columns of that kind.

    Where there may be a number in JSON that JSON cannot hold, rows come as values, which are looked at one by one.
    """
    layout = Layout(kinds, times)
    places = [at for at, kind in enumerate(kinds) if kind is ColumnKind.FLOAT]
    has_json = ColumnKind.JSON in kinds
    async for records in _fetched(fetch, rows_per_block, LINE_CHARACTERS):
        lines, *numbers = zip(*records, strict=True)
        text = "\n".join(lines)
        rows = TextRows(text.encode(), layout, dict(zip(places, numbers, strict=True)))
        is_odd = has_json and any(number in text for number in _BEYOND_JSON)
        yield Block(list(rows) if is_odd else rows, rows.keys())


def rows_that_fit(read: Sequence[Iterable[object]], *, at_most: int, characters: int = BLOCK_CHARACTERS) -> int:
    """Rows of the next block, if they are like the largest of a few rows of the one before."""
    largest = max(_characters(row) for row in (read[0], read[len(read) // 2], read[-1]))
    return max(1, min(at_most, characters // (largest + 1)))


async def _fetched(fetch: Fetch, rows_per_block: int, characters: int) -> AsyncIterator[Sequence[tuple[Any, ...]]]:
    at_once = min(FIRST_ROWS, rows_per_block)
    while records := await fetch(at_once):
        yield records
        at_once = rows_that_fit(records, at_most=rows_per_block, characters=characters)


def _characters(row: Iterable[object]) -> int:
    return sum(len(value) for value in row if isinstance(value, str))
