"""A wait within a time limit ends as it would within `asyncio.timeout`."""

import asyncio
from contextlib import suppress

import pytest

from tailrace.core.time_limit import TimeLimit

SOON_S = 0.05
PATIENCE_S = 30.0


async def wait_within(limit: TimeLimit, ended: asyncio.Event) -> str:
    with limit.scope():
        await ended.wait()
    return "in time"


async def test_wait_is_ended_when_its_time_is_over() -> None:
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(TimeoutError):
            await wait_within(TimeLimit(SOON_S), asyncio.Event())


async def test_task_goes_on_after_a_wait_that_was_ended() -> None:
    limit, current = TimeLimit(SOON_S), asyncio.current_task()
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(TimeoutError):
            await wait_within(limit, asyncio.Event())

        with pytest.raises(TimeoutError):
            await wait_within(limit, asyncio.Event())
        await asyncio.sleep(0)

    assert current is not None
    assert current.cancelling() == 0


async def test_each_wait_has_all_of_its_time() -> None:
    limit, loop = TimeLimit(0.6), asyncio.get_running_loop()

    async def took_s() -> float:
        began = loop.time()
        with suppress(TimeoutError):
            await wait_within(limit, asyncio.Event())
        return loop.time() - began

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        first = tasks.create_task(took_s())
        await asyncio.sleep(0.3)
        later = tasks.create_task(took_s())

    assert (first.result() >= 0.59, later.result() >= 0.59) == (True, True)


async def test_wait_that_ends_in_time_is_left_alone() -> None:
    limit, ended = TimeLimit(SOON_S), asyncio.Event()
    ended.set()

    async with asyncio.timeout(PATIENCE_S):
        got = await wait_within(limit, ended)
        await asyncio.sleep(3 * SOON_S)

    assert got == "in time"


async def test_cancellation_from_elsewhere_stays_one() -> None:
    limit = TimeLimit(PATIENCE_S)
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(wait_within(limit, asyncio.Event()))
        await asyncio.sleep(0)

        waiting.cancel()

    assert waiting.cancelled()


async def test_cancellation_that_meets_the_end_of_the_time_stays_one() -> None:
    scope = TimeLimit(PATIENCE_S).scope()

    async def wait() -> None:
        with scope:
            await asyncio.Event().wait()

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(wait())
        await asyncio.sleep(0)

        scope.end()
        waiting.cancel()

    assert waiting.cancelled()


async def test_error_within_goes_through() -> None:
    limit = TimeLimit(PATIENCE_S)

    with pytest.raises(KeyError), limit.scope():
        raise KeyError


async def test_what_waits_around_it_ends_it_too() -> None:
    limit = TimeLimit(PATIENCE_S)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SOON_S):
            await wait_within(limit, asyncio.Event())
