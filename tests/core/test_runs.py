"""The books of a run."""

from tailrace.core.runs import REASONS_LIMIT, Books


def test_rows_that_earlier_runs_gave_up_have_a_figure_of_their_own() -> None:
    books = Books(read=10, skipped=10, reasons={"skipped.STILL_DEAD": 2, "kept.STILL_DEAD": 1, "skipped.UNCHANGED": 8})

    assert (books.failed, books.still_failing) == (0, 3)


def test_reasons_that_figures_are_made_of_have_a_place_beside_however_many_codes() -> None:
    known = Books(reasons={f"rejected.E{number}": 1 for number in range(REASONS_LIMIT)})

    total = known + Books(reasons={"skipped.STILL_DEAD": 2, "change.added": 3, "rejected.ONE_MORE": 4})

    assert total.still_failing == 2
    assert total.reasons["change.added"] == 3
    assert total.reasons["rejected.OTHER"] == 4
