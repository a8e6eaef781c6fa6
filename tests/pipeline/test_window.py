"""How much may be under way, and for how long."""

import asyncio

import pytest

from tailrace.pipeline.window import WINDOW_BYTES, Window, WindowClosed
from tests.pipeline.clocks import SetClock


async def test_parcels_enter_as_long_as_there_is_room() -> None:
    window = Window(10, SetClock(), open_s=5)
    first = await window.enter(6)

    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        second = tasks.create_task(window.enter(6))
        await asyncio.sleep(0)
        had_to_wait = not second.done()
        first.end()

    assert (had_to_wait, second.result().is_free) == (True, True)


async def test_parcel_larger_than_the_window_goes_alone() -> None:
    window = Window(0, SetClock(), open_s=5)

    async with asyncio.timeout(5):
        first = await window.enter(6)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await window.enter(1)
        first.end()
        await window.enter(1)


async def test_large_rows_fill_the_window_before_there_are_many() -> None:
    window = Window(100, SetClock(), open_s=5)
    first = await window.enter(1, WINDOW_BYTES)

    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        second = tasks.create_task(window.enter(1, 2 * WINDOW_BYTES))
        await asyncio.sleep(0)
        had_to_wait = not second.done()
        first.end()

    assert (had_to_wait, second.result().is_free) == (True, True)


async def test_nothing_new_is_sent_while_rows_wait_too_long_for_their_checkpoint() -> None:
    clock = SetClock()
    window = Window(100, clock, open_s=5)
    first, second, third = [await window.enter(1) for _ in range(3)]
    first.begin()
    second.begin()
    clock.seconds += 5
    in_time = third.is_free
    clock.seconds += 0.1
    too_late = third.is_free

    first.end()
    second.end()

    assert (in_time, too_late, third.is_free) == (True, False, True)


async def test_what_was_sent_may_be_sent_again_and_the_oldest_may_always() -> None:
    clock = SetClock()
    window = Window(100, clock, open_s=5)
    oldest, second, _ = [await window.enter(1) for _ in range(3)]
    second.begin()
    clock.seconds += 60

    assert (oldest.is_free, second.is_free) == (True, True)


async def test_parcel_behind_one_that_failed_is_not_sent_any_more() -> None:
    window = Window(100, SetClock(), open_s=5)
    passage = await window.enter(1)
    passage.end()

    assert not passage.is_free
    with pytest.raises(WindowClosed):
        await passage.freed()
