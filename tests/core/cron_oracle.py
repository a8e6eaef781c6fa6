"""Cron as the manual of Debian's tells it, minute by minute: slow, and shares nothing with the code under test."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

_MINUTE = timedelta(minutes=1)
_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))


def ticks(expression: str, zone: ZoneInfo, after: datetime, until: datetime) -> list[datetime]:
    """Every tick in (after, until]; both on a full minute."""
    fields = expression.split()
    follows_the_wall = fields[0].startswith("*") or fields[1].startswith("*")
    shown = _shown_first if not follows_the_wall else _shown
    return [at for at in _minutes(after, until) if any(_matches(fields, wall) for wall in shown(at, zone))]


def transitions(zone: ZoneInfo, since: datetime, until: datetime) -> list[datetime]:
    """The minutes at which the clocks change, by looking at every hour and then at every minute of some."""
    hours = [since + timedelta(hours=n) for n in range(int((until - since).total_seconds()) // 3600)]
    changed = [hour for hour in hours if _offset(zone, hour) != _offset(zone, hour + timedelta(hours=1))]
    return [next(at for at in _minutes(hour, hour + timedelta(hours=1)) if _shift(zone, at)) for hour in changed]


def _shown(at: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    yield at.astimezone(zone).replace(tzinfo=None)


def _shown_first(at: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """What the wall shows for the first time, and at the end of a gap all that it never shows."""
    now = at.astimezone(zone)
    skipped = max(_shift(zone, at), timedelta(0))
    yield from (now.replace(tzinfo=None) - skipped + n * _MINUTE for n in range(int(skipped / _MINUTE)))
    if not now.fold:
        yield now.replace(tzinfo=None)


def _matches(fields: list[str], wall: datetime) -> bool:
    values = (wall.minute, wall.hour, wall.day, wall.month, wall.isoweekday() % 7)
    minute, hour, day, month, weekday = (
        value in _set(field, *bounds) for field, value, bounds in zip(fields, values, _RANGES, strict=True)
    )
    starred = fields[2].startswith("*") or fields[4].startswith("*")
    return minute and hour and month and (day and weekday if starred else day or weekday)


@cache
def _set(field: str, low: int, high: int) -> set[int]:
    if "," in field:
        return set().union(*(_set(part, low, high) for part in field.split(",")))
    span, _, step = field.partition("/")
    first, _, last = span.partition("-")
    if span == "*":
        return set(range(low, high + 1, int(step or 1)))
    return set(range(int(first), (int(last) if last else high if step else int(first)) + 1, int(step or 1)))


def _minutes(after: datetime, until: datetime) -> Iterator[datetime]:
    return (after + n * _MINUTE for n in range(1, int((until - after) / _MINUTE) + 1))


def _shift(zone: ZoneInfo, at: datetime) -> timedelta:
    return _offset(zone, at) - _offset(zone, at - _MINUTE)


def _offset(zone: ZoneInfo, at: datetime) -> timedelta:
    return at.astimezone(UTC).astimezone(zone).utcoffset() or timedelta(0)
