"""When syncs are due, held against cron told minute by minute, and what is done about ticks that nobody saw."""

from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.core.due import Due, next_due, ticks_due
from tailrace.core.syncs import CronSchedule, IntervalSchedule, ManualSchedule
from tests.core import cron_oracle

# Shifts of half an hour, of two hours, at midnight, in the autumn of the south, twice around a month, and none.
ZONES = (
    "Europe/Zurich", "America/New_York", "Australia/Lord_Howe", "Antarctica/Troll", "Asia/Beirut", "America/Havana",
    "America/Santiago", "Africa/Cairo", "Africa/Casablanca", "Pacific/Chatham", "America/Nuuk", "Asia/Kolkata", "UTC",
)  # fmt: skip
NOON = datetime(2027, 6, 1, 12, tzinfo=UTC)


def cron(expression: str, timezone: str = "UTC") -> CronSchedule:
    return CronSchedule(type="cron", expression=expression, timezone=timezone)


def hourly() -> CronSchedule:
    return cron("0 * * * *")


def fired(schedule: CronSchedule, after: datetime, until: datetime) -> list[datetime]:
    found = []
    tick = next_due(schedule, after)
    while tick is not None and tick <= until:
        found.append(tick)
        tick = next_due(schedule, tick)
    return found


def field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    span = st.tuples(st.integers(low, high - 1), st.integers(1, 9)).map(
        lambda ends: f"{ends[0]}-{min(sum(ends), high)}"
    )
    step = st.tuples(span | st.just("*"), st.integers(1, 7)).map(lambda parts: f"{parts[0]}/{parts[1]}")
    pair = st.tuples(number, number).map(lambda both: f"{both[0]},{both[1]}")
    return st.just("*") | number.map(str) | span | step | pair


expressions = st.tuples(
    field(0, 59),
    st.sampled_from(["*", "0", "1", "2", "0-3", "23", "*/2"]) | field(0, 23),
    st.just("*") | field(1, 31),
    st.just("*") | field(1, 12),
    st.just("*") | field(0, 6),
).map(" ".join)


@st.composite
def moments(draw: st.DrawFn) -> tuple[str, datetime]:
    """A zone and a minute within two days before its clocks change; any time where they never do."""
    name = draw(st.sampled_from(ZONES))
    changes = changes_of(name, draw(st.integers(2026, 2036)))
    return name, draw(st.sampled_from(changes)) - timedelta(minutes=draw(st.integers(0, 2880)))


@cache
def changes_of(name: str, year: int) -> list[datetime]:
    january = datetime(year, 1, 1, tzinfo=UTC)
    return cron_oracle.transitions(ZoneInfo(name), january, january + timedelta(days=365)) or [january]


@given(expressions, moments(), st.timedeltas(timedelta(0), timedelta(hours=60)))
@settings(max_examples=150, deadline=None)
def test_cron_fires_when_debian_would_around_every_clock_change(
    expression: str, moment: tuple[str, datetime], later: timedelta
) -> None:
    name, after = moment
    until = after + timedelta(hours=78)
    try:
        schedule = cron(expression, name)
    except ValueError:  # such as 31 February
        return
    expected = cron_oracle.ticks(expression, ZoneInfo(name), after, until)

    found = fired(schedule, after, until)
    found_from_the_middle = fired(schedule, after + later, until)

    assert found == expected
    assert found_from_the_middle == [tick for tick in expected if tick > after + later]
    assert all(earlier < tick for earlier, tick in pairwise(found))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        pytest.param("30 2 * * *", ["01:00"], id="a fixed time in the gap runs once, right after it"),
        pytest.param("0,30 2 * * *", ["01:00"], id="two fixed times in the gap run once together"),
        pytest.param("30 * * * *", ["00:30", "01:30"], id="an hourly job goes on in real time"),
        pytest.param("*/15 2 * * *", [], id="a wildcard job skips what the wall never shows"),
    ],
)
def test_spring_gap(expression: str, expected: list[str]) -> None:
    schedule = cron(expression, "Europe/Zurich")

    found = fired(schedule, datetime(2027, 3, 28, tzinfo=UTC), datetime(2027, 3, 28, 1, 59, tzinfo=UTC))

    assert [f"{tick:%H:%M}" for tick in found] == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        pytest.param("30 2 * * *", ["00:30"], id="a fixed time in the repeated hour runs once"),
        pytest.param("30 * * * *", ["00:30", "01:30"], id="an hourly job runs in both"),
        pytest.param("*/30 2 * * *", ["00:00", "00:30", "01:00", "01:30"], id="a wildcard job follows the wall twice"),
    ],
)
def test_autumn_fold(expression: str, expected: list[str]) -> None:
    schedule = cron(expression, "Europe/Zurich")

    found = fired(schedule, datetime(2027, 10, 30, 23, 59, tzinfo=UTC), datetime(2027, 10, 31, 1, 59, tzinfo=UTC))

    assert [f"{tick:%H:%M}" for tick in found] == expected


def test_fixed_time_does_not_fire_again_when_asked_within_the_repeated_hour() -> None:
    in_the_second_pass = datetime(2027, 10, 31, 1, 10, tzinfo=UTC)

    following = next_due(cron("30 2 * * *", "Europe/Zurich"), in_the_second_pass)

    assert following == datetime(2027, 11, 1, 1, 30, tzinfo=UTC)


def test_interval_counts_from_where_it_is_asked() -> None:
    schedule = IntervalSchedule(type="interval", every_minutes=90)

    assert next_due(schedule, NOON) == NOON + timedelta(minutes=90)


def test_manual_sync_is_never_due() -> None:
    assert next_due(ManualSchedule(), NOON) is None
    assert ticks_due(ManualSchedule(), NOON, NOON) == Due()


def test_leap_day_is_found_years_ahead() -> None:
    assert next_due(cron("0 0 29 2 *"), datetime(2028, 3, 1, tzinfo=UTC)) == datetime(2032, 2, 29, tzinfo=UTC)


def test_tick_that_has_come_starts() -> None:
    due = ticks_due(hourly(), NOON, NOON + timedelta(seconds=1))

    assert due == Due(start=NOON, next_run_at=NOON + timedelta(hours=1))


def test_tick_starts_at_its_very_instant() -> None:
    assert ticks_due(hourly(), NOON, NOON).start == NOON


def test_nothing_happens_before_the_tick() -> None:
    assert ticks_due(hourly(), NOON, NOON - timedelta(microseconds=1)) == Due(next_run_at=NOON)


def test_newest_of_several_due_ticks_speaks_for_the_others() -> None:
    due = ticks_due(hourly(), NOON, NOON + timedelta(hours=3, minutes=10))

    assert due == Due(
        coalesced=(NOON, NOON + timedelta(hours=1), NOON + timedelta(hours=2)),
        start=NOON + timedelta(hours=3),
        next_run_at=NOON + timedelta(hours=4),
    )


def test_ticks_older_than_a_day_start_nothing() -> None:
    now = NOON + timedelta(hours=25, minutes=30)

    first = ticks_due(hourly(), NOON, now)
    assert first.next_run_at is not None
    second = ticks_due(hourly(), first.next_run_at, now)

    assert first == Due(missed=(NOON, NOON + timedelta(hours=1)), next_run_at=NOON + timedelta(hours=2))
    assert second.start == NOON + timedelta(hours=25)
    assert len(second.coalesced) == 23


def test_lone_tick_older_than_a_day_leaves_nothing_to_start() -> None:
    due = ticks_due(cron("0 12 1 6 *"), NOON, NOON + timedelta(hours=25))

    assert due == Due(missed=(NOON,), next_run_at=datetime(2028, 6, 1, 12, tzinfo=UTC))


def test_long_silence_is_recorded_piece_by_piece() -> None:
    due = ticks_due(cron("* * * * *"), NOON, NOON + timedelta(days=300), at_most=10)

    assert len(due.missed) == 10
    assert due.next_run_at == NOON + timedelta(minutes=10)


@given(st.integers(1, 600), st.timedeltas(timedelta(0), timedelta(days=4)), st.integers(1, 50))
@settings(max_examples=50, deadline=None)
def test_every_tick_up_to_now_is_told_exactly_once(every_minutes: int, silence: timedelta, at_most: int) -> None:
    schedule = IntervalSchedule(type="interval", every_minutes=every_minutes)
    now = NOON + silence

    told: list[datetime] = []
    at: datetime | None = NOON
    while at is not None and at <= now:
        due = ticks_due(schedule, at, now, at_most=at_most)
        told += [*due.missed, *due.coalesced, *([due.start] if due.start else [])]
        at = due.next_run_at

    assert told == [NOON + timedelta(minutes=every_minutes) * n for n in range(len(told))]
    assert at is not None
    assert at > now
    assert told[-1] > now - timedelta(minutes=every_minutes)
