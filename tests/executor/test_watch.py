"""Whom an executor takes for dead."""

from uuid import uuid4

from tailrace.core.clock import SystemClock
from tailrace.core.ids import RunId
from tailrace.store.shards import Sighting
from tailrace_executor.watch import Watch

TOKEN = uuid4()


class SetClock(SystemClock):
    def __init__(self) -> None:
        self.seconds = 100.0

    def monotonic(self) -> float:
        return self.seconds


def lease(heartbeat_seq: int) -> Sighting:
    return Sighting(RunId("run"), 0, TOKEN, heartbeat_seq)


def test_owner_is_silent_after_one_and_a_half_heartbeats_without_a_change() -> None:
    clock = SetClock()
    watch = Watch(clock, heartbeat_s=10)

    first = watch.silent([lease(1)])
    clock.seconds += 14.9
    early = watch.silent([lease(1)])
    clock.seconds += 0.1
    late = watch.silent([lease(1)])

    assert (first, early, late) == ([], [], [lease(1)])


def test_heartbeat_begins_the_silence_anew() -> None:
    clock = SetClock()
    watch = Watch(clock, heartbeat_s=10)
    watch.silent([lease(1)])
    clock.seconds += 14
    watch.silent([lease(2)])
    clock.seconds += 14

    assert watch.silent([lease(2)]) == []


def test_lease_that_is_gone_is_forgotten() -> None:
    watch = Watch(SetClock(), heartbeat_s=10)
    watch.silent([lease(1)])
    watch.silent([])

    assert watch.since == {}
