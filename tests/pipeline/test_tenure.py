"""How long a run waits for its turn."""

import asyncio
import time

import pytest

from tailrace.core.clock import SystemClock
from tailrace.core.errors import LeaseLost
from tailrace.core.seats import Seats
from tailrace.pipeline.tenure import StopReason, Tenure

SOON_S = 0.2


async def let_go_and_cancel(turn: Seats, waiting: "asyncio.Task[None]", *, steps_between: int) -> None:
    turn.give_back()
    for _ in range(steps_between):
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})


async def test_wait_for_a_turn_outlasts_the_lease_that_it_began_with() -> None:
    clock, turn = SystemClock(), Seats(1)
    tenure = Tenure(clock, until=clock.monotonic() + SOON_S)
    assert turn.take()

    async with asyncio.timeout(10.0), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(tenure.acquire(turn))
        await asyncio.sleep(0)
        tenure.renew(until=clock.monotonic() + 60.0)
        await clock.sleep(2 * SOON_S)
        turn.give_back()

    assert waiting.done()
    assert turn.are_taken


async def test_turn_that_came_while_the_process_stood_still_is_taken_though_nobody_leaves_another() -> None:
    clock, turn = SystemClock(), Seats(1)
    tenure = Tenure(clock, until=clock.monotonic() + SOON_S)
    assert turn.take()

    def wake() -> None:
        tenure.renew(until=clock.monotonic() + 60.0)
        turn.give_back()

    loop = asyncio.get_running_loop()
    async with asyncio.timeout(10.0), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(tenure.acquire(turn))
        await asyncio.sleep(0)
        loop.call_later(SOON_S, wake)
        # The lease runs out, is renewed, and the turn is left, all before the loop looks again.
        loop.call_soon(time.sleep, 2 * SOON_S)

    assert waiting.done()
    assert turn.are_taken


@pytest.mark.parametrize("steps_between", range(8))
async def test_turn_that_comes_as_the_wait_is_cancelled_is_not_lost(steps_between: int) -> None:
    clock, turn = SystemClock(), Seats(1)
    tenure = Tenure(clock, until=clock.monotonic() + 60.0)
    assert turn.take()

    async with asyncio.timeout(10.0), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(tenure.acquire(turn))
        await asyncio.sleep(0)
        await let_go_and_cancel(turn, waiting, steps_between=steps_between)

    assert turn.are_taken is not waiting.cancelled()


async def test_end_that_is_asked_for_as_the_lease_runs_out_is_no_error() -> None:
    clock, turn = SystemClock(), Seats(1)
    tenure = Tenure(clock, until=clock.monotonic() + SOON_S)
    assert turn.take()

    loop, stopped = asyncio.get_running_loop(), asyncio.Event()

    def stop() -> None:
        tenure.stop(StopReason.SHUTDOWN)
        stopped.set()

    loop.call_later(SOON_S, stop)
    # Both come due before the loop looks again: the wait has expired when it is to end.
    loop.call_soon(time.sleep, 2 * SOON_S)

    with pytest.raises(LeaseLost):
        await tenure.acquire(turn)
    assert stopped.is_set()
