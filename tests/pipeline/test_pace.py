"""Waiting for a turn: bounded, and given up as soon as the run is to end."""

import asyncio

import pytest

from tailrace.core.clock import SystemClock
from tailrace.core.errors import LeaseLost
from tailrace.pipeline.pace import Limits, Pacer
from tailrace.pipeline.tenure import Stopped, StopReason, Tenure
from tests.pipeline.world import NoLimits

CLOCK = SystemClock()


class Throttled(NoLimits):
    """A destination that wants silence for ten minutes."""

    def __init__(self) -> None:
        super().__init__()
        self.was_asked = asyncio.Event()

    async def reserve(self, scope: str, *, tokens: int, rate_per_s: float | None, burst: int) -> float:
        self.was_asked.set()
        return 600.0


def tenure(*, for_s: float = 60.0) -> Tenure:
    return Tenure(CLOCK, until=CLOCK.monotonic() + for_s)


async def is_stopped(pacer: Pacer, waiting: Tenure) -> bool:
    with pytest.raises(Stopped):
        async with pacer.turn(waiting):
            pass
    return True


async def test_run_that_waits_behind_the_throttle_of_another_can_be_stopped() -> None:
    limits = Throttled()
    pacer = Pacer(Limits("crm"), limits, CLOCK)
    first, second = tenure(), tenure()

    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        ahead = tasks.create_task(is_stopped(pacer, first))
        await limits.was_asked.wait()
        behind = tasks.create_task(is_stopped(pacer, second))
        second.stop(StopReason.CANCELLED)
        await behind
        was_ahead_still_waiting = not ahead.done()
        first.stop(StopReason.CANCELLED)

    assert was_ahead_still_waiting
    assert ahead.result()


async def test_run_whose_lease_ends_waits_for_a_place_no_longer() -> None:
    pacer = Pacer(Limits("crm", max_in_flight=1), NoLimits(), CLOCK)

    async with asyncio.timeout(5), pacer.turn(tenure()):
        with pytest.raises(LeaseLost):
            async with pacer.turn(tenure(for_s=0.05)):
                pass


async def test_turn_that_was_given_up_leaves_its_place_to_others() -> None:
    pacer = Pacer(Limits("crm", max_in_flight=1), NoLimits(), CLOCK)
    async with pacer.turn(tenure()):
        with pytest.raises(LeaseLost):
            async with pacer.turn(tenure(for_s=0.05)):
                pass

    async with asyncio.timeout(5), pacer.turn(tenure()):
        pass
