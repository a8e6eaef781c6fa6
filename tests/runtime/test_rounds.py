"""Work that is done again and again: through outages, until told to stop."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tailrace.core.clock import SystemClock
from tailrace.core.errors import StoreUnavailable
from tailrace.runtime.health import Health
from tailrace.runtime.rounds import Round, go_round
from tests.runtime.test_health import StillClock

NAME = "some work"


@pytest.fixture
def stopping() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
def health(stopping: asyncio.Event) -> Health:
    return Health(clock=SystemClock(), stopping=stopping)


def until_third(stopping: asyncio.Event, do: Callable[[int], None]) -> Callable[[], Awaitable[None]]:
    """Work that counts how often it was done, and is told to stop within the third time."""
    times = 0

    async def act() -> None:
        nonlocal times
        times += 1
        if times == 3:
            stopping.set()
        do(times)

    return act


async def test_work_goes_on_until_it_is_stopped(health: Health, stopping: asyncio.Event) -> None:
    done: list[int] = []

    async with asyncio.timeout(5):
        await go_round(Round(NAME, 0.001, until_third(stopping, done.append)), health, stopping)

    assert done == [1, 2, 3]


async def test_outage_puts_work_off(health: Health, stopping: asyncio.Event) -> None:
    tried: list[int] = []

    def fail(times: int) -> None:
        tried.append(times)
        raise StoreUnavailable("the state store does not answer")

    async with asyncio.timeout(5):
        await go_round(Round(NAME, 0.001, until_third(stopping, fail)), health, stopping)

    assert tried == [1, 2, 3]


async def test_bug_is_not_hidden(health: Health, stopping: asyncio.Event) -> None:
    def crash(_: int) -> None:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        await go_round(Round(NAME, 0.001, until_third(stopping, crash)), health, stopping)


async def test_stop_does_not_wait_for_the_next_time(health: Health, stopping: asyncio.Event) -> None:
    has_acted = asyncio.Event()

    async def act() -> None:
        has_acted.set()

    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(go_round(Round(NAME, 3600, act), health, stopping))
        await has_acted.wait()
        stopping.set()


async def test_loop_that_waits_for_its_next_time_is_not_silent(stopping: asyncio.Event) -> None:
    clock = StillClock()
    health = Health(clock=clock, stopping=stopping)
    has_acted = asyncio.Event()
    said: list[str] = []

    async def act() -> None:
        has_acted.set()

    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(go_round(Round(NAME, 60, act, silent_s=5), health, stopping))
        await has_acted.wait()
        await clock.sleep(66)
        said.append(health.live().checks[NAME])
        await clock.sleep(5.1)
        said.append(health.live().checks[NAME])
        stopping.set()

    assert said == ["ok", "silent for 71 s"]


async def test_loop_tells_of_its_life_and_of_its_end(health: Health, stopping: asyncio.Event) -> None:
    seen: list[set[str]] = []

    async with asyncio.timeout(5):
        await go_round(
            Round(NAME, 0.001, until_third(stopping, lambda _: seen.append(set(health.live().checks)))),
            health,
            stopping,
        )

    assert seen == [{NAME}] * 3
    assert NAME not in health.live().checks
