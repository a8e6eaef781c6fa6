"""The rows of a source, and the moments that a cursor goes by."""

from datetime import datetime, timedelta
from typing import NamedTuple

from tailrace.core.rows import ColumnKind
from tests.simulation.loop import START

TICKS_PER_S = 10

_BEGINNING = START.replace(tzinfo=None)


class SourceRow(NamedTuple):
    """A row; `at` is the tick at which it was changed, as the source says."""

    key: str | None
    name: str
    at: int | None

    @property
    def tie(self) -> tuple[str, str]:
        """What tells rows apart that have the same place."""
        return self.name, str(self.at)


def value_of(kind: ColumnKind, at: int | None) -> object:
    """A tick as a warehouse gives it."""
    if at is None or kind is ColumnKind.INTEGER:
        return at
    return (_BEGINNING + timedelta(seconds=at / TICKS_PER_S)).isoformat()


def tick_of(kind: ColumnKind, value: str) -> float:
    """The tick that a value stands for."""
    if kind is ColumnKind.INTEGER:
        return int(value)
    return (datetime.fromisoformat(value) - _BEGINNING).total_seconds() * TICKS_PER_S
