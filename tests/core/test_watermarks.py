"""Values of cursor columns as text: in order, and the way back."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.core.rows import ColumnKind
from tailrace.core.watermarks import readable, set_back, sortable, sortable_moment

TIMES = [
    "-infinity",
    "4713-01-01T00:00:00Z BC",
    "0044-03-15T12:00:00Z BC",
    "0001-01-01T00:00:00Z",
    "2026-03-01T04:05:06Z",
    "2026-03-01T04:05:06.000001Z",
    "2026-03-01T04:05:06.1Z",
    "2026-03-01T04:05:06.12Z",
    "2026-03-01T04:05:10Z",
    "12000-01-01T00:00:00Z",
    "infinity",
]

moments = st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30))  # noqa: DTZ001 - as columns hold them
decimals = st.decimals(allow_nan=False, places=None) | st.integers(-(2**63), 2**63).map(Decimal)


@given(decimals, decimals)
def test_texts_of_numbers_sort_as_the_numbers_do(one: Decimal, other: Decimal) -> None:
    texts = sortable(ColumnKind.DECIMAL, one), sortable(ColumnKind.DECIMAL, other)

    assert (texts[0] < texts[1], texts[0] == texts[1]) == (one < other, one == other)


@given(decimals)
def test_number_can_be_read_back(number: Decimal) -> None:
    assert Decimal(readable(ColumnKind.DECIMAL, sortable(ColumnKind.DECIMAL, number))) == number


@given(st.integers(-(2**63), 2**63))
def test_whole_number_is_read_back_as_one(number: int) -> None:
    assert readable(ColumnKind.INTEGER, sortable(ColumnKind.INTEGER, number)) == str(number)


def test_what_is_no_number_sorts_above_all() -> None:
    infinite, nan = (sortable(ColumnKind.FLOAT, float(text)) for text in ("inf", "nan"))

    assert sortable(ColumnKind.FLOAT, 1e308) < infinite < nan


@given(moments, moments)
def test_texts_of_times_sort_as_the_times_do(one: datetime, other: datetime) -> None:
    texts = [sortable(ColumnKind.TIMESTAMP, moment.isoformat()) for moment in (one, other)]

    assert (texts[0] < texts[1], texts[0] == texts[1]) == (one < other, one == other)


@given(moments)
def test_time_can_be_read_back(moment: datetime) -> None:
    text = readable(ColumnKind.TIMESTAMP, sortable(ColumnKind.TIMESTAMP, moment.isoformat()))

    assert datetime.fromisoformat(text) == moment


def test_odd_times_sort_in_their_place() -> None:
    texts = [sortable(ColumnKind.TIMESTAMP, time) for time in TIMES]

    assert texts == sorted(texts)


@pytest.mark.parametrize("time", [*TIMES, "2026-03-01", "2026-10-10T10:10:10", "2000-10-20T20:00:00"])
def test_odd_time_is_read_back(time: str) -> None:
    text = sortable(ColumnKind.TIMESTAMP, time)

    assert sortable(ColumnKind.TIMESTAMP, readable(ColumnKind.TIMESTAMP, text)) == text


@pytest.mark.parametrize(
    ("kind", "value", "by", "before"),
    [
        (ColumnKind.TIMESTAMP, "2026-03-01T00:04:00Z", 300, "2026-02-28T23:59:00"),
        (ColumnKind.TIMESTAMP, "2026-03-01T00:00:00.5Z", 0.25, "2026-03-01T00:00:00.25"),
        (ColumnKind.TIMESTAMP, "infinity", 300, "infinity"),
        (ColumnKind.TIMESTAMP, "0001-01-01T00:00:00", 300, "0001-01-01T00:00:00"),
        (ColumnKind.INTEGER, 7, 300, "-293"),
        (ColumnKind.DECIMAL, "12345678901234567890123456789012345.5", 1, "12345678901234567890123456789012344.5"),
    ],
)
def test_value_is_set_back(kind: ColumnKind, value: object, by: float, before: str) -> None:
    assert readable(kind, set_back(kind, sortable(kind, value), by)) == before


def test_moment_has_the_text_of_its_time_in_utc() -> None:
    moment = datetime(2026, 3, 1, 12, tzinfo=UTC).astimezone() + timedelta(0)

    assert sortable_moment(moment) == sortable(ColumnKind.TIMESTAMP, "2026-03-01T12:00:00Z")
