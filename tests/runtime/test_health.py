import asyncio
from datetime import UTC, datetime

import pytest

from tailrace.core.errors import StoreUnavailable
from tailrace.runtime.health import Health


class StillClock:
    """A clock that goes only when told."""

    def __init__(self) -> None:
        self.at = 100.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, wait_s: float) -> None:
        self.at += wait_s


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def stopping() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
def health(clock: StillClock, stopping: asyncio.Event) -> Health:
    return Health(clock=clock, stopping=stopping)


class Store:
    """Something that may be down, and counts how often it was asked."""

    def __init__(self) -> None:
        self.is_down = False
        self.asked = 0

    async def check(self) -> None:
        self.asked += 1
        if self.is_down:
            raise StoreUnavailable("the state store does not answer")


async def test_process_is_ready_when_all_checks_are_well(health: Health) -> None:
    health.check("store", Store().check)

    report = await health.ready()

    assert (report.is_well, dict(report.checks)) == (True, {"store": "ok"})


async def test_failing_check_is_named_with_its_reason(health: Health, clock: StillClock) -> None:
    store = Store()
    health.check("store", store.check)
    health.check("bus", Store().check)
    store.is_down = True

    report = await health.ready()

    assert not report.is_well
    assert report.checks == {"store": "the state store does not answer", "bus": "ok"}


async def test_what_can_be_spared_is_shown_and_keeps_nobody_from_work(health: Health) -> None:
    bus = Store()
    bus.is_down = True
    health.check("store", Store().check)
    health.check("bus", bus.check, is_needed=False)

    report = await health.ready()

    assert (report.is_well, report.is_degraded) == (True, True)
    assert report.checks == {"store": "ok", "bus": "the state store does not answer"}


async def test_what_is_needed_takes_out_of_service_whatever_else_fails(health: Health) -> None:
    store = Store()
    store.is_down = True
    health.check("store", store.check)
    health.check("bus", Store().check, is_needed=False)

    report = await health.ready()

    assert (report.is_well, report.is_degraded) == (False, False)


async def test_process_is_not_ready_before_all_that_listens_does(health: Health) -> None:
    health.check("store", Store().check)
    health.opening("api")
    before = await health.ready()

    health.opened("api")

    assert (before.is_well, before.checks["store"], before.checks["api"]) == (False, "ok", "does not listen yet")
    assert (await health.ready()).checks == {"store": "ok"}


async def test_stopping_process_is_not_ready_and_asks_nobody(health: Health, stopping: asyncio.Event) -> None:
    store = Store()
    health.check("store", store.check)
    stopping.set()

    report = await health.ready()

    assert not report.is_well
    assert store.asked == 0


async def test_probes_that_come_together_ask_once(health: Health, clock: StillClock) -> None:
    store = Store()
    health.check("store", store.check)

    await health.ready()
    clock.at += 0.9
    await health.ready()

    assert store.asked == 1


async def test_answer_is_asked_for_anew_after_a_second(health: Health, clock: StillClock) -> None:
    store = Store()
    health.check("store", store.check)
    await health.ready()

    store.is_down = True
    clock.at += 1.1

    assert not (await health.ready()).is_well


@pytest.mark.timeout(10)
async def test_check_that_hangs_counts_as_failed(health: Health) -> None:
    health.check("store", asyncio.Event().wait)  # type: ignore[arg-type]  # what it would give is never seen

    report = await health.ready()

    assert report.checks == {"store": "no answer within 3 s"}


async def test_loop_that_beats_is_alive(health: Health, clock: StillClock) -> None:
    health.beat("poll", within_s=10)
    clock.at += 10

    assert health.live().is_well


async def test_loop_that_fell_silent_is_dead(health: Health, clock: StillClock) -> None:
    health.beat("poll", within_s=10)
    health.beat("events", within_s=60)
    clock.at += 11

    assert health.live().checks == {"poll": "silent for 11 s", "events": "ok"}


async def test_loop_that_ended_as_it_should_is_not_missed(health: Health, clock: StillClock) -> None:
    health.beat("poll", within_s=10)

    health.rest("poll")
    clock.at += 100

    assert health.live().is_well


async def test_draining_process_is_not_restarted_for_loops_that_ended(
    health: Health, clock: StillClock, stopping: asyncio.Event
) -> None:
    health.beat("poll", within_s=10)
    stopping.set()

    clock.at += 100

    assert health.live().is_well


async def test_store_that_is_down_does_not_make_a_process_dead(health: Health) -> None:
    store = Store()
    store.is_down = True
    health.check("store", store.check)

    assert health.live().is_well
