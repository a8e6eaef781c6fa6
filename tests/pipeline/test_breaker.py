"""A destination that is out of order is left alone, and found again when it is back."""

import asyncio
from random import Random

import pytest

from tailrace.core.clock import SystemClock
from tailrace.core.errors import BatchRefused, DestinationUnavailable, InDoubt, TailraceError, Throttled, Unfinished
from tailrace.pipeline.breaker import Breaker, BreakerTerms
from tailrace.pipeline.tenure import Stopped, StopReason, Tenure
from tests.pipeline.clocks import SetClock

DOWN = DestinationUnavailable("down")


def ask(breaker: Breaker, failure: TailraceError | None = None) -> None:
    """One request, and how it ended."""
    try:
        with breaker.watched():
            if failure is not None:
                raise failure
    except TailraceError:
        return


def ask_often(breaker: Breaker, times: int, failure: TailraceError | None = None) -> None:
    for _ in range(times):
        ask(breaker, failure)


def breaker_on(clock: SetClock) -> Breaker:
    return Breaker(BreakerTerms(), clock, Random(1))


@pytest.mark.parametrize("failure", [DOWN, InDoubt("no answer")], ids=["down", "in doubt"])
def test_nearly_nothing_but_failures_open_it(failure: TailraceError) -> None:
    breaker = breaker_on(SetClock())
    ask(breaker)
    ask_often(breaker, 8, failure)
    was_closed = breaker.is_closed

    ask(breaker, failure)

    assert (was_closed, breaker.is_closed) == (True, False)
    assert breaker.silence_s > 0


@pytest.mark.parametrize("answer", [Throttled("later"), BatchRefused("bad row")], ids=["throttle", "refusal"])
def test_destination_that_answers_is_not_out_of_order(answer: TailraceError) -> None:
    breaker = breaker_on(SetClock())

    ask_often(breaker, 100, answer)

    assert breaker.is_closed


def test_failures_of_long_ago_do_not_count() -> None:
    clock = SetClock()
    breaker = breaker_on(clock)
    ask_often(breaker, 9, DOWN)
    clock.seconds += 61

    ask(breaker, DOWN)

    assert breaker.is_closed


def test_repeats_are_at_most_ten_and_a_tenth_of_the_requests() -> None:
    breaker = breaker_on(SetClock())
    ask_often(breaker, 30)
    for _ in range(10):
        breaker.spend_repeat()
    had_ten = breaker.is_closed
    ask_often(breaker, 10)
    breaker.spend_repeat()
    had_one_more = breaker.is_closed

    breaker.spend_repeat()

    assert (had_ten, had_one_more, breaker.is_closed) == (True, True, False)


def test_open_it_lets_one_probe_through_when_its_time_comes() -> None:
    clock = SetClock()
    breaker = breaker_on(clock)
    breaker.trip()
    at_once = breaker.lets_one
    clock.seconds += 1
    later = breaker.lets_one

    with breaker.watched():
        second = breaker.lets_one

    assert (at_once, later, second) == (False, True, False)
    assert breaker.is_closed


def test_probes_that_fail_come_less_and_less_often() -> None:
    clock = SetClock()
    breaker = breaker_on(clock)
    breaker.trip()
    waits: list[float] = []

    for _ in range(8):
        clock.seconds += breaker.silence_s
        ask(breaker, DOWN)
        waits.append(breaker.silence_s)

    assert waits[0] <= 2
    assert 7.5 <= min(waits[4:]) <= max(waits) <= 15


async def test_runs_that_wait_are_let_through_when_the_probe_is_answered() -> None:
    clock = SystemClock()
    breaker = Breaker(BreakerTerms(probe_first_s=0.01), clock, Random(1))
    breaker.trip()
    tenure = Tenure(clock, until=clock.monotonic() + 60)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        await breaker.until_it_lets_one(tenure)
        with breaker.watched():
            tasks.create_task(breaker.until_it_lets_one(tenure))
            await asyncio.sleep(0)

    assert breaker.is_closed


async def test_runs_that_wait_too_long_are_let_down() -> None:
    clock = SystemClock()
    breaker = Breaker(BreakerTerms(probe_for_s=0), clock, Random(1))
    breaker.trip()

    async with asyncio.timeout(10):
        with pytest.raises(DestinationUnavailable):
            await breaker.until_it_lets_one(Tenure(clock, until=clock.monotonic() + 60))


async def test_run_that_waits_can_be_stopped() -> None:
    clock = SystemClock()
    breaker = Breaker(BreakerTerms(probe_first_s=60), clock, Random(1))
    breaker.trip()
    tenure = Tenure(clock, until=clock.monotonic() + 60)

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(_is_stopped(breaker, tenure))
        await asyncio.sleep(0)
        tenure.stop(StopReason.CANCELLED)

    assert waiting.result()


async def _is_stopped(breaker: Breaker, tenure: Tenure) -> bool:
    with pytest.raises(Stopped):
        await breaker.until_it_lets_one(tenure)
    return True


def told(breaker: Breaker, wait_s: float) -> float | None:
    """One request that is told to come back later; gives for how long the run has to wait elsewhere, if it has to."""
    throttled = Throttled("busy", retry_after_s=wait_s)
    ask(breaker, throttled)
    try:
        breaker.heed(throttled, wait_s)
    except Throttled as raised:
        return raised.retry_after_s
    return None


def test_silence_of_an_hour_is_not_waited_for_here() -> None:
    breaker = breaker_on(SetClock())

    elsewhere_s = told(breaker, 3600)

    assert (elsewhere_s, breaker.has_given_up, breaker.lets_one) == (3600, True, False)


def test_throttling_without_end_is_waited_for_a_while_in_all() -> None:
    clock = SetClock()
    breaker = breaker_on(clock)
    answers: list[float | None] = []

    for _ in range(4):
        answers.append(told(breaker, 50))
        clock.seconds += 50

    assert answers == [None, None, 50, 50]


def test_request_that_gets_through_begins_the_count_anew() -> None:
    clock = SetClock()
    breaker = breaker_on(clock)
    told(breaker, 100)
    clock.seconds += 100
    ask(breaker)

    assert (told(breaker, 100), breaker.is_closed) == (None, True)


def test_batch_that_is_worked_on_may_take_its_time() -> None:
    clock = SetClock()
    breaker = breaker_on(clock)

    for _ in range(100):
        ask(breaker, Unfinished("not done yet", retry_after_s=30))
        breaker.heed(Unfinished("not done yet", retry_after_s=30), 30)
        clock.seconds += 30

    assert breaker.is_closed


async def test_end_of_a_long_silence_is_found_by_one_probe() -> None:
    clock = SetClock()
    breaker = breaker_on(clock)
    told(breaker, 3600)
    tenure = Tenure(clock, until=clock.monotonic() + 9000)
    with pytest.raises(Throttled) as during:
        await breaker.until_it_lets_one(tenure)
    clock.seconds += 3601

    breaker.welcome()
    with breaker.watched():
        others = breaker.lets_one

    assert during.value.retry_after_s == 3600
    assert (others, breaker.is_closed, breaker.lets_one) == (False, True, True)


def test_run_that_has_waited_elsewhere_begins_with_one_probe() -> None:
    breaker = breaker_on(SetClock())

    breaker.doubt()
    with breaker.watched():
        others = breaker.lets_one

    assert (others, breaker.is_closed) == (False, True)
