import gc
import weakref
from collections.abc import Iterator

import pytest

from tailrace_executor.sparing import Sparing


class Loop:
    """Holds itself, so that only a collection finds it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def sparing() -> Iterator[Sparing]:
    yield Sparing()
    gc.unfreeze()


def begin(sparing: Sparing, runs: int) -> None:
    for _ in range(runs):
        sparing.begin()


def end(sparing: Sparing, runs: int) -> None:
    for _ in range(runs):
        sparing.end()


def churn(sparing: Sparing, runs: int, *, times: int) -> None:
    for _ in range(times):
        begin(sparing, runs)
        end(sparing, runs)


def test_few_runs_leave_collections_as_they_are(sparing: Sparing) -> None:
    before = gc.get_freeze_count()

    begin(sparing, 99)
    end(sparing, 99)

    assert gc.get_freeze_count() == before


def test_many_runs_are_left_out_of_collections(sparing: Sparing) -> None:
    begin(sparing, 100)

    assert gc.get_freeze_count() > 0


def test_what_later_runs_bring_is_left_out_with_some_of_them(sparing: Sparing) -> None:
    begin(sparing, 100)
    kept = [Loop() for _ in range(1000)]
    before = gc.get_freeze_count()

    begin(sparing, 25)

    assert gc.get_freeze_count() >= before + len(kept)


def test_what_ended_runs_left_in_cycles_is_found_once_few_are_left(sparing: Sparing) -> None:
    loop = Loop()
    begin(sparing, 100)
    left = weakref.ref(loop)
    del loop
    gc.collect()
    assert left() is not None

    end(sparing, 50)

    assert left() is None


def test_what_ended_runs_left_in_cycles_is_found_while_there_are_always_many(sparing: Sparing) -> None:
    loop = Loop()
    begin(sparing, 100)
    left = weakref.ref(loop)
    del loop

    churn(sparing, 50, times=14)

    assert left() is None
