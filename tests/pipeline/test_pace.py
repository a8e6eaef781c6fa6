"""Waiting for a turn: bounded, and given up as soon as the run is to end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from tailrace.core import errors
from tailrace.core.clock import SystemClock
from tailrace.core.errors import LeaseLost
from tailrace.pipeline.pace import Limits, Pacer
from tailrace.pipeline.tenure import Stopped, StopReason, Tenure
from tests.pipeline.clocks import SetClock
from tests.pipeline.world import NoLimits

CLOCK = SystemClock()


class Throttled(NoLimits):
    """A destination that wants silence."""

    def __init__(self, silent_s: float = 100.0) -> None:
        super().__init__()
        self.silent_s = silent_s
        self.was_asked = asyncio.Event()

    async def reserve(self, scope: str, *, tokens: int, rate_per_s: float | None, burst: int) -> float:
        self.was_asked.set()
        return self.silent_s


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


async def test_long_silence_that_another_executor_was_told_of_is_not_waited_for() -> None:
    pacer = Pacer(Limits("crm"), Throttled(3600.0), CLOCK)

    async with asyncio.timeout(5):
        with pytest.raises(errors.Throttled) as refused:
            async with pacer.turn(tenure()):
                pass

    assert refused.value.retry_after_s == 3600.0


async def test_destination_that_wants_silence_gets_it_at_once_though_tokens_are_left() -> None:
    pacer = Pacer(Limits("crm", requests_per_s=1000), NoLimits(), CLOCK)
    async with asyncio.timeout(5):
        async with pacer.turn(tenure()):
            pass
        told = CLOCK.monotonic()
        await pacer.block(0.3)
        async with pacer.turn(tenure()):
            silent_s = CLOCK.monotonic() - told

    assert silent_s >= 0.3


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


class Granting(NoLimits):
    """Counts the tokens that were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = 0

    async def reserve(self, scope: str, *, tokens: int, rate_per_s: float | None, burst: int) -> float:
        self.tokens += tokens
        return 0.0


async def failed(pacer: Pacer) -> None:
    with pytest.raises(errors.DestinationUnavailable):
        async with pacer.turn(tenure()):
            raise errors.DestinationUnavailable("HTTP 503")


async def test_request_that_failed_has_used_its_token_up() -> None:
    limits = Granting()
    pacer = Pacer(Limits("crm", requests_per_s=4), limits, CLOCK)

    async with asyncio.timeout(5):
        await failed(pacer)
        await failed(pacer)

    assert limits.tokens == 2


class Slow(NoLimits):
    """Slots are given out one call at a time, when a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = asyncio.Event()
        self.was_asked = asyncio.Event()

    async def hold_slots(self, scope: str, token: UUID, *, wanted: int, max_slots: int, ttl_s: float) -> int:
        self.was_asked.set()
        await self.may_answer.wait()
        return min(wanted, max_slots)


async def in_flight(pacer: Pacer, entered: asyncio.Event) -> None:
    async with pacer.turn(tenure()):
        entered.set()
        await asyncio.Event().wait()


async def test_request_that_is_cancelled_twice_while_the_store_is_slow_leaves_its_place() -> None:
    limits = Slow()
    pacer = Pacer(Limits("crm", max_in_flight=2), limits, CLOCK)
    entered, never = asyncio.Event(), asyncio.Event()

    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        limits.may_answer.set()
        first = tasks.create_task(in_flight(pacer, entered))
        await entered.wait()
        limits.may_answer.clear()
        limits.was_asked.clear()
        second = tasks.create_task(in_flight(pacer, never))
        await limits.was_asked.wait()
        await cancelled_twice(first)
        second.cancel()
        limits.may_answer.set()

    assert pacer._slots._used == 0


async def cancelled_twice(task: "asyncio.Task[None]") -> None:
    for _ in range(2):
        task.cancel()
        await asyncio.sleep(0)
    await asyncio.wait({task})


class Leased(NoLimits):
    """Slots whose leases run by the clock of a test, and may be taken by others meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.ttl_s = 0.0
        self.free = 1

    async def hold_slots(self, scope: str, token: UUID, *, wanted: int, max_slots: int, ttl_s: float) -> int:
        self.ttl_s = ttl_s
        return min(wanted, self.free)


async def test_slot_is_leased_for_one_request_so_that_a_crash_does_not_keep_it_long() -> None:
    limits = Leased()

    async with asyncio.timeout(5), Pacer(Limits("crm", max_in_flight=1, request_s=20), limits, CLOCK).turn(tenure()):
        pass

    assert 20 < limits.ttl_s < 30


async def test_slot_that_was_lost_while_tokens_were_waited_for_is_won_again_before_the_request() -> None:
    limits = Leased()
    pacer = Pacer(Limits("crm", max_in_flight=1), limits, CLOCK)
    await pacer._slots.enter(tenure())
    pacer._slots._renew_at, limits.free = 0.0, 0

    with pytest.raises(LeaseLost):
        await pacer._slots.keep(tenure(for_s=0.3))
    limits.free = 1
    async with asyncio.timeout(5):
        await pacer._slots.keep(tenure())

    assert pacer._slots._held == 1


class Counted(NoLimits):
    """Tells what it was asked for, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.was_released = asyncio.Event()

    async def hold_slots(self, scope: str, token: UUID, *, wanted: int, max_slots: int, ttl_s: float) -> int:
        self.asked.append("hold")
        await asyncio.sleep(0)
        return wanted

    async def release_slots(self, scope: str, token: UUID) -> None:
        self.asked.append("release")
        self.was_released.set()


class Hanging(Counted):
    """The first time that slots are given back, no answer comes."""

    async def release_slots(self, scope: str, token: UUID) -> None:
        is_first = "release" not in self.asked
        await super().release_slots(scope, token)
        if is_first:
            await asyncio.Event().wait()


def at(seconds: float) -> SetClock:
    clock = SetClock()
    clock.seconds = seconds
    return clock


async def request(pacer: Pacer, clock: SetClock) -> None:
    async with pacer.turn(Tenure(clock, until=60.0)):
        pass


@asynccontextmanager
async def tended(pacer: Pacer) -> AsyncIterator[None]:
    """As by a run that goes on for as long as the scope lasts."""
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tending = tasks.create_task(pacer.tend())
        await asyncio.sleep(0)
        yield
        tending.cancel()


async def test_slot_that_a_run_tends_is_kept_between_requests_and_given_back_at_its_end() -> None:
    limits, clock = Counted(), at(0.5)
    pacer = Pacer(Limits("crm", max_in_flight=1), limits, clock)

    async with tended(pacer):
        await request(pacer, clock)
        await request(pacer, clock)
        asked_under_way = [*limits.asked]

    assert asked_under_way == ["hold"]
    assert limits.asked == ["hold", "release"]


async def test_slots_of_all_that_wait_for_one_are_asked_for_at_once() -> None:
    limits = Counted()
    pacer = Pacer(Limits("crm", max_in_flight=8), limits, CLOCK)

    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        for _ in range(8):
            tasks.create_task(pacer.begin(tenure()))

    assert limits.asked == ["hold", "hold"]


async def test_idle_slot_is_given_back_at_once_for_a_part_of_each_second() -> None:
    limits, clock = Counted(), at(1.05)
    pacer = Pacer(Limits("crm", max_in_flight=1), limits, clock)

    async with tended(pacer):
        await request(pacer, clock)
        asked_under_way = [*limits.asked]

    assert asked_under_way == ["hold", "release"]


async def test_slot_that_nothing_uses_is_given_back_while_a_run_goes_on() -> None:
    limits, clock = Counted(), at(0.5)
    pacer = Pacer(Limits("crm", max_in_flight=1), limits, clock)

    async with tended(pacer):
        await request(pacer, clock)
        was_kept = not limits.was_released.is_set()
        await limits.was_released.wait()

    assert was_kept


async def test_slot_is_given_back_though_the_run_ends_while_somebody_is_at_it() -> None:
    limits, clock = Hanging(), at(0.5)
    pacer = Pacer(Limits("crm", max_in_flight=1), limits, clock)

    async with tended(pacer):
        await request(pacer, clock)
        await limits.was_released.wait()

    assert limits.asked == ["hold", "release", "release"]
