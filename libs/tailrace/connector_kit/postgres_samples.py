"""Where the keys of a query lie: numbers as the planner expects them, without a look at the rows; others are drawn."""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from tailrace.connector_kit import postgres_parts
from tailrace.connector_kit.key_samples import MOST_KEYS
from tailrace.connector_kit.number_ranges import Numbers, Range
from tailrace.connector_kit.postgres_parts import Planned, numbers_of, part_of
from tailrace.connector_kit.postgres_reading import ReadColumn, copied_statement, sampled_statement, wrapped
from tailrace.connector_kit.warehouse import Reading
from tailrace.core.rows import RowKey

_STRETCHES = 32
"""About so many are weighed; within each, numbers are taken to lie evenly."""


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
    statement_of = partial(copied_statement, columns=columns, encoding=encoding)
    numbers = await numbers_of(session, reading, columns, statement_of) if len(reading.key_columns) == 1 else None
    if numbers is not None:
        return [RowKey((str(number),)) for number in await _expected(session, reading, numbers, part)]
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


async def _expected(session: Session, reading: Reading, numbers: Numbers, part: float) -> Sequence[int]:
    found: list[int] = []
    expected = 0.0
    for some in _stretches(numbers):
        plan = await session.plan(wrapped("1", part_of(reading, some).query), ())
        expected += Planned.of(plan).rows * part
        found += spread(some, min(round(expected), MOST_KEYS) - len(found))
    return found


def _stretches(numbers: Numbers) -> Iterator[Sequence[Range]]:
    width = numbers.last - numbers.first + 1
    return replace(numbers, per_part=max(1, width // _STRETCHES)).parts()
