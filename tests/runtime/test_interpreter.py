"""What is asked of Python itself."""

import gc
from collections.abc import Iterator

import pytest

from tailrace.runtime.interpreter import collect_seldom, spare_what_stays

_ENOUGH_FOR_A_FULL_COLLECTION = 150_000


@pytest.fixture
def modules_and_models() -> Iterator[list[list[int]]]:
    """What lives long, and a good deal of it."""
    yield [[] for _ in range(8 * _ENOUGH_FOR_A_FULL_COLLECTION)]
    gc.unfreeze()


@pytest.fixture(autouse=True)
def usual_pace() -> Iterator[None]:
    """Python's own, whatever a service in this process has set before; and as it was afterwards."""
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)


def test_thousands_of_rows_are_no_reason_to_look_for_garbage() -> None:
    collect_seldom()
    before = gc.get_stats()[0]["collections"]

    rows = [(str(number),) for number in range(20_000)]

    assert gc.get_stats()[0]["collections"] <= before + 1, len(rows)


def test_garbage_is_looked_for_soon_however_much_is_spared(modules_and_models: list[list[int]]) -> None:
    spare_what_stays()
    before = gc.get_stats()[2]["collections"]

    made = [[len(modules_and_models)] for _ in range(_ENOUGH_FOR_A_FULL_COLLECTION)]

    assert gc.get_stats()[2]["collections"] > before, len(made)
