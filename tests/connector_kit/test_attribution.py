"""Errors of rows that are as most are: taken as they are, they come to the same as looked at closely."""

from collections.abc import Mapping, Sequence
from itertools import product

import orjson
import pytest

from tailrace.connector_kit.attribution import MESSAGE_LIMIT, row_outcomes
from tailrace.connector_kit.http import HttpResponse
from tailrace.core.errors import InDoubt
from tailrace.core.rows import DELIVERED, RowOutcome, rejected

ROWS = 4
JSON = {"content-type": "application/json"}
LOOKED_AT = {"index": ROWS, "code": 7}
"""An error of one more row, whose code is a number: with it, all of them are looked at closely."""

LONG = "m" * MESSAGE_LIMIT
ODD: Sequence[object] = (None, 0, 1, 1.5, True, False, [], {}, [1])
SAID: Mapping[str, Sequence[object]] = {
    "index": (0, ROWS - 1, -1, ROWS + 7, None, True, "0", 0.0),
    "code": ("", "BAD", "\u00e9", LONG, LONG + "m", *ODD),
    "message": ("", "no", LONG, LONG + "m", *ODD),
    "field": ("", "email", "f" * 256, "f" * 257, None, 5, []),
}


def test_errors_come_to_the_same_whether_or_not_they_are_looked_at_closely() -> None:
    errors: list[Mapping[str, object]] = [dict(zip(SAID, said, strict=True)) for said in product(*SAID.values())]
    lacking = [{name: said for name, said in errors[0].items() if name != lacks} for lacks in SAID]

    differing = [error for error in [*errors, *lacking] if as_they_are(error) != closely(error)]

    assert not differing


def test_of_two_errors_of_a_row_the_last_one_stands() -> None:
    errors = [{"index": 1, "code": "A", "message": "a"}, {"index": 1, "code": "B", "message": "b", "field": "email"}]

    assert outcomes_of(errors, 3) == [DELIVERED, rejected("B", "b", field="email"), DELIVERED]


@pytest.mark.parametrize("error", [{"index": 3}, {"index": -1}, {"code": "BAD"}, {"index": "1"}, "BAD"])
def test_error_of_no_row_leaves_all_in_doubt(error: object) -> None:
    assert outcomes_of([{"index": 0}, error], 3) is None


def as_they_are(error: Mapping[str, object]) -> list[RowOutcome] | None:
    return outcomes_of([error], ROWS)


def closely(error: Mapping[str, object]) -> list[RowOutcome] | None:
    outcomes = outcomes_of([error, LOOKED_AT], ROWS + 1)
    return outcomes and outcomes[:ROWS]


def outcomes_of(errors: object, rows: int) -> list[RowOutcome] | None:
    """What an answer with these errors says; None if that is in doubt."""
    response = HttpResponse(200, JSON, orjson.dumps({"errors": errors}))
    try:
        return row_outcomes(response, rows, requires_results=True)
    except InDoubt:
        return None
