"""How long a run waits for its turn."""

import asyncio

import pytest

from tailrace.core.clock import SystemClock
from tailrace.core.errors import LeaseLost
from tailrace.pipeline.tenure import Tenure

LONG_S = 0.3


async def _renewed(tenure: Tenure, clock: SystemClock) -> None:
    await clock.sleep(LONG_S / 3)
    tenure.renew(until=clock.monotonic() + 60.0)


async def test_wait_for_a_turn_outlasts_the_lease_that_it_began_with_if_that_is_renewed() -> None:
    clock, turn = SystemClock(), asyncio.Lock()
    tenure = Tenure(clock, until=clock.monotonic() + LONG_S)
    await turn.acquire()

    async with asyncio.timeout(10.0), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(tenure.acquire(turn))
        await _renewed(tenure, clock)
        await clock.sleep(2 * LONG_S)
        turn.release()

    assert waiting.done()
    assert turn.locked()


async def test_wait_for_a_turn_ends_with_the_lease_if_nobody_renews_it() -> None:
    clock, turn = SystemClock(), asyncio.Lock()
    tenure = Tenure(clock, until=clock.monotonic() + LONG_S)
    await turn.acquire()

    with pytest.raises(LeaseLost):
        async with asyncio.timeout(10.0):
            await tenure.acquire(turn)
