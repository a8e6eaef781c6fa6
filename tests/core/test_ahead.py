"""Items that are asked for before they are needed."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tailrace.core.ahead import asked_ahead
from tailrace.core.errors import SourceUnavailable


class Source:
    """Gives numbers, and keeps how many it was asked for and whether it was left."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.fails_at = fails_at
        self.given = 0
        self.was_cancelled = False

    async def numbers(self) -> AsyncIterator[int]:
        """1 to 9, and for ever nothing."""
        for number in range(1, 10):
            if number == self.fails_at:
                raise SourceUnavailable("gone")
            self.given = number
            yield number
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise


async def test_three_items_wait_and_no_other_is_asked_for_until_one_is_left() -> None:
    source = Source()
    taken, asked = [], []

    async with asked_ahead(source.numbers()) as numbers:
        for _ in range(6):
            taken.append(await anext(numbers))
            await asyncio.sleep(0.01)
            asked.append(source.given)
        taken += [await anext(numbers) for _ in range(3)]
        await asyncio.sleep(0.01)

    assert asked == [3, 5, 5, 7, 7, 9]
    assert taken == list(range(1, 10))
    assert source.was_cancelled


async def test_failure_comes_behind_what_was_given_before_it() -> None:
    async with asked_ahead(Source(fails_at=3).numbers()) as numbers:
        assert [await anext(numbers) for _ in range(2)] == [1, 2]

        with pytest.raises(SourceUnavailable):
            await anext(numbers)
