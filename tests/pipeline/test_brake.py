"""When a run has to stop, by what its shards were told of their rows."""

from itertools import product

import pytest

from tailrace.core.policies import FailureThresholds
from tailrace.core.rows import DELIVERED, RowOutcome, rejected, skipped
from tailrace.core.settlements import NOTHING_SENT, Rejections
from tailrace.pipeline.brake import Brake

BAD = rejected("BAD", "no")
RATIO = FailureThresholds(ratio=0.5, minimum=10, consecutive=None)
IN_A_ROW = FailureThresholds(ratio=None, consecutive=10)


def stops(brake: Brake) -> bool:
    return brake.verdict is not None


def lasts(brake: Brake) -> int:
    """How many rows more can be rejected before it stops the run."""
    rows = 0
    while not stops(brake):
        brake.add([BAD])
        rows += 1
    return rows


@pytest.mark.parametrize(
    ("own", "elsewhere", "does_stop"),
    [
        ([BAD] * 5, Rejections(4, 4), False),
        ([BAD] * 5, Rejections(5, 5), True),
        ([BAD] * 5, Rejections(5, 0), False),
        ([BAD] * 20, Rejections(100, 0), False),
        ([DELIVERED] * 5, Rejections(10, 8), True),
        ([], Rejections(10, 10), True),
    ],
)
def test_ratio_and_minimum_are_of_the_rows_of_all_shards(
    own: list[RowOutcome], elsewhere: Rejections, *, does_stop: bool
) -> None:
    brake = Brake(RATIO)

    brake.add(own)
    brake.heed(elsewhere)

    assert stops(brake) is does_stop


def test_why_it_stops_tells_of_all_shards() -> None:
    brake = Brake(RATIO, Rejections(10, 3), Rejections(20, 18))

    brake.add([BAD, DELIVERED])

    assert str(brake.verdict).startswith("the destination rejected 22 of 32 rows: look at the dead letters")
    assert brake.rejections == Rejections(12, 4)


def test_shard_goes_on_counting_where_the_one_before_ended() -> None:
    brake = Brake(IN_A_ROW, Rejections(100, 20, in_a_row=8))

    brake.add([BAD])
    before = stops(brake)
    brake.add([BAD])

    assert (before, stops(brake)) == (False, True)
    assert brake.rejections == Rejections(102, 22, in_a_row=10)


def test_rejections_of_all_shards_are_in_a_row_where_none_had_a_row_accepted() -> None:
    brake = Brake(IN_A_ROW, NOTHING_SENT, Rejections(100, 20))

    brake.add([BAD] * 4)
    brake.heed(Rejections(105, 25))
    before = stops(brake)
    brake.heed(Rejections(106, 26))

    assert (before, stops(brake)) == (False, True)


def test_row_that_another_shard_had_accepted_ends_what_was_in_a_row() -> None:
    brake = Brake(IN_A_ROW)

    brake.add([BAD] * 9)
    brake.heed(Rejections(20, 19))
    brake.heed(Rejections(28, 27))

    assert not stops(brake)


def test_rejections_from_before_an_own_row_was_accepted_are_not_in_a_row() -> None:
    brake = Brake(IN_A_ROW)

    brake.add([DELIVERED])
    brake.heed(Rejections(9, 9))
    first = stops(brake)
    brake.add([BAD])
    brake.heed(Rejections(17, 17))
    second = stops(brake)
    brake.heed(Rejections(18, 18))

    assert (first, second, stops(brake)) == (False, False, True)


def test_rejections_in_a_row_of_one_shard_stop_the_run_whatever_others_had_accepted() -> None:
    brake = Brake(IN_A_ROW)

    brake.add([BAD] * 5)
    brake.heed(Rejections(50, 0))
    brake.add([BAD] * 5)

    assert stops(brake)


def test_what_others_rejected_before_a_claim_is_in_a_row_where_nothing_was_ever_accepted() -> None:
    assert stops(Brake(IN_A_ROW, elsewhere=Rejections(10, 10)))
    assert not stops(Brake(IN_A_ROW, elsewhere=Rejections(11, 10)))
    assert not stops(Brake(IN_A_ROW, Rejections(1, 0), Rejections(10, 10)))


@pytest.mark.parametrize("then", [Rejections(20, 12), Rejections(23, 15), Rejections(23, 14)])
@pytest.mark.parametrize("elsewhere", [Rejections(20, 12), Rejections(17, 12), Rejections(19, 11)])
@pytest.mark.parametrize("since", [one for rows in range(4) for one in product([BAD, DELIVERED], repeat=rows)])
def test_what_others_sent_counts_as_of_when_it_was_asked_for(
    since: tuple[RowOutcome, ...], elsewhere: Rejections, then: Rejections
) -> None:
    at_once, later = (Brake(IN_A_ROW, NOTHING_SENT, Rejections(15, 10)) for _ in range(2))
    at_once.add([BAD] * 2)
    later.add([BAD] * 2)

    at_once.heed(elsewhere)
    at_once.add(since)
    own = later.rejections
    later.add(since)
    later.heed(elsewhere, own=own)

    assert stops(later) is stops(at_once)
    at_once.heed(then)
    later.heed(then)
    assert lasts(later) == lasts(at_once)


@pytest.mark.parametrize("before", [0, 3])
@pytest.mark.parametrize("verdicts", list(product([BAD, DELIVERED, skipped("ABSENT")], repeat=4)))
def test_batch_counts_as_its_rows_do_one_by_one(verdicts: tuple[RowOutcome, ...], before: int) -> None:
    at_once = Brake(IN_A_ROW, Rejections(10, before, in_a_row=before))
    one_by_one = Brake(IN_A_ROW, Rejections(10, before, in_a_row=before))

    at_once.add(verdicts)
    for verdict in verdicts:
        one_by_one.add([verdict])

    assert at_once.rejections == one_by_one.rejections
