"""Where the keys of a query lie: numbers as the planner expects them, without a look at the rows; others are drawn."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from tailrace.connector_kit import postgres_parts
from tailrace.connector_kit.key_samples import MOST_KEYS
from tailrace.connector_kit.number_ranges import Numbers, Range
from tailrace.connector_kit.postgres_parts import part_of, parts_for, rows_planned
from tailrace.connector_kit.postgres_reading import ReadColumn, sampled_statement
from tailrace.connector_kit.warehouse import Reading
from tailrace.core.rows import RowKey

_STRETCHES = 16
"""So many to twice as many are weighed, each by a trip to the server; within each, numbers are taken to lie evenly."""

_PATIENCE_S = 5.0
"""How long that may take: to draw keys is one trip."""


class _Stretch(NamedTuple):
    ranges: Sequence[Range]
    rows: float


class Session(postgres_parts.Session, Protocol):
    """A connection in a transaction."""

    def records(self, sql: str, arguments: Sequence[object], rows_at_once: int) -> AsyncIterator[Sequence[Any]]:
        """What a statement gives."""
        ...


async def sampled_keys(
    session: Session, reading: Reading, columns: Sequence[ReadColumn], encoding: str, part: float
) -> Sequence[RowKey]:
    """Keys for about this part of the rows: of numbers that an index knows by what is expected, else drawn.

    :raises SourceInvalid, SourceUnavailable: as the methods of the session.
    """
    expected = await _expected(session, reading, columns, encoding) if len(reading.key_columns) == 1 else None
    if expected is not None:
        return [RowKey((str(number),)) for number in _spread_over(expected, part)]
    drawn = session.records(sampled_statement(reading, columns, part), (), MOST_KEYS)
    return [RowKey(tuple(key)) async for some in drawn for key in some]


def spread(stretch: Sequence[Range], count: int) -> Iterator[int]:
    """So many numbers of a stretch at even distances; fewer where it has fewer."""
    width = sum(some.width for some in stretch)
    count = min(count, width)
    places = [(2 * nth + 1) * width // (2 * count) for nth in range(count)]
    before = 0
    for some in stretch:
        yield from (some.first + at - before for at in places if before <= at < before + some.width)
        before += some.width


async def _expected(
    session: Session, reading: Reading, columns: Sequence[ReadColumn], encoding: str
) -> Sequence[_Stretch] | None:
    """How many rows there are of each stretch of numbers; None where that is not to be had within a few seconds."""
    numbers = (await parts_for(session, reading, columns, encoding)).numbers
    if numbers is None:
        return None
    loop = asyncio.get_running_loop()
    ends = loop.time() + _PATIENCE_S
    found: list[_Stretch] = []
    for some in _stretches(numbers):
        found.append(_Stretch(some, await rows_planned(session, part_of(reading, some).query)))
        if loop.time() > ends:
            return None
    # A filter that goes with the key is counted twice where both restrict the rows.
    scale = await rows_planned(session, reading.query) / max(1.0, sum(stretch.rows for stretch in found))
    return [stretch._replace(rows=stretch.rows * scale) for stretch in found]


def _spread_over(stretches: Sequence[_Stretch], part: float) -> Sequence[int]:
    keys: list[int] = []
    expected = 0.0
    for stretch in stretches:
        expected += stretch.rows * part
        keys += spread(stretch.ranges, min(round(expected), MOST_KEYS) - len(keys))
    return keys


def _stretches(numbers: Numbers) -> Iterator[Sequence[Range]]:
    width = numbers.last - numbers.first + 1
    return replace(numbers, per_part=max(1, width // _STRETCHES)).parts()
