"""When syncs are due: pure decisions about ticks, each known by its instant in UTC.

Cron follows Debian: a job at fixed times runs once for each of them, right after the gap where the clocks skip it and
at the first of the two where they repeat it. A job whose minute or hour begins with `*` follows the clock on the wall.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

from cronsim import CronSim

from tailrace.core.syncs import CronSchedule, IntervalSchedule, ManualSchedule, Schedule

CATCH_UP = timedelta(hours=24)
"""Ticks that are older when a scheduler sees them start nothing."""

TICKS_AT_ONCE = 1000

_SECOND = timedelta(seconds=1)
_HOP = timedelta(days=1)


class TickOutcome(StrEnum):
    """What became of a tick."""

    STARTED = "started"
    SKIPPED_OVERLAP = "skipped_overlap"  # a run of the sync was active
    COALESCED = "coalesced"  # a newer tick was due as well, and spoke for it
    MISSED_WINDOW = "missed_window"  # nobody looked for a day


@dataclass(frozen=True, slots=True)
class Due:
    """The ticks to record, in order, and when to look again.

    `start` is the one that asks for a run. `next_run_at` may have passed already: there is more to record.
    """

    missed: tuple[datetime, ...] = ()
    coalesced: tuple[datetime, ...] = ()
    start: datetime | None = None
    next_run_at: datetime | None = None


def next_due(schedule: Schedule, after: datetime) -> datetime | None:
    """The first tick later than `after`, in UTC; None where the schedule has none."""
    match schedule:
        case ManualSchedule():
            return None
        case IntervalSchedule(every_minutes=minutes):
            return after.astimezone(UTC) + timedelta(minutes=minutes)
        case CronSchedule():
            try:
                return _next_of_cron(schedule, after.astimezone(UTC).replace(microsecond=0))
            except StopIteration:
                return None


def ticks_due(schedule: Schedule, next_run_at: datetime, now: datetime, *, at_most: int = TICKS_AT_ONCE) -> Due:
    """What to do at `now` about a sync whose first tick not yet recorded is `next_run_at`.

    Ticks older than the catch-up window come first and alone, `at_most` at a time, so that no transaction grows large.
    """
    if isinstance(schedule, ManualSchedule):
        return Due()
    first = next_run_at.astimezone(UTC)
    oldest = now - CATCH_UP
    if first < oldest:
        missed = tuple(islice(_ticks(schedule, first, until=oldest), at_most))
        return Due(missed=missed, next_run_at=next_due(schedule, missed[-1]))
    due = tuple(_ticks(schedule, first, until=now + timedelta(microseconds=1)))
    if not due:
        return Due(next_run_at=first)
    return Due(coalesced=due[:-1], start=due[-1], next_run_at=next_due(schedule, due[-1]))


def _ticks(schedule: Schedule, first: datetime, *, until: datetime) -> Iterator[datetime]:
    return takewhile(lambda tick: tick < until, _endless(schedule, first))


def _endless(schedule: Schedule, first: datetime) -> Iterator[datetime]:
    tick: datetime | None = first
    while tick is not None:
        yield tick
        tick = next_due(schedule, tick)


def _next_of_cron(schedule: CronSchedule, after: datetime) -> datetime:
    minute, hour, *_ = schedule.five_fields.split()
    if minute.startswith("*") or hour.startswith("*"):
        return _next_by_the_wall(schedule, after)
    return _next_fixed(schedule, after)


def _next_fixed(schedule: CronSchedule, after: datetime) -> datetime:
    zone = schedule.zone
    walls = CronSim(schedule.five_fields, after.astimezone(zone).replace(tzinfo=None))
    # In the second pass of a repeated hour the wall shows times whose tick has been.
    return next(tick for tick in (_instant(zone, wall) for wall in walls) if tick > after)


def _next_by_the_wall(schedule: CronSchedule, after: datetime) -> datetime:
    """Searches one stretch of constant UTC offset after the other, in each as if the zone had no other."""
    zone, since, margin = schedule.zone, after, timedelta(0)
    while True:
        offset = _offset(zone, since)
        wall = next(CronSim(schedule.five_fields, (since - margin + offset).replace(tzinfo=None)))
        tick = wall.replace(tzinfo=UTC) - offset
        shift = _first_shift(zone, since, tick)
        if shift is None:
            return tick
        since, margin = shift, _SECOND


def _instant(zone: ZoneInfo, wall: datetime) -> datetime:
    """When the wall first shows a time, or the end of the gap that swallows it."""
    instant = wall.replace(tzinfo=zone).astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == wall:
        return instant
    before = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return _first_shift(zone, before, instant) or instant


def _first_shift(zone: ZoneInfo, since: datetime, until: datetime) -> datetime | None:
    """The first second in (since, until] whose UTC offset is another than that of `since`."""
    known = _offset(zone, since)
    while since < until:
        hop = min(since + _HOP, until)
        if _offset(zone, hop) != known:
            return _bisect(zone, since, hop)
        since = hop
    return None


def _bisect(zone: ZoneInfo, old: datetime, new: datetime) -> datetime:
    known = _offset(zone, old)
    while new - old > _SECOND:
        middle = old + timedelta(seconds=(new - old) // _SECOND // 2)
        old, new = (middle, new) if _offset(zone, middle) == known else (old, middle)
    return new


def _offset(zone: ZoneInfo, instant: datetime) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta(0)
