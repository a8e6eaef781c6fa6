"""The brake: a destination that refuses nearly everything shows a mistake, not bad rows.

The run stops before it buries a million of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from tailrace.core.errors import Invalid
from tailrace.core.rows import RowOutcome, Verdict

FAILURE_THRESHOLD = "FAILURE_THRESHOLD"


@dataclass(frozen=True, slots=True)
class BrakeLimits:
    """The run stops when more than `ratio` of at least `after_rows` rows sent, or `in_a_row` rows, were rejected."""

    ratio: float = 0.5
    after_rows: int = 100
    in_a_row: int = 1000


class Brake:
    """Counts the outcomes of one run's rows, in order."""

    def __init__(self, limits: BrakeLimits) -> None:
        self._limits = limits
        self._sent = 0
        self._rejected = 0
        self._in_a_row = 0

    def add(self, outcomes: Iterable[RowOutcome]) -> None:
        """Take the outcomes of a batch into account."""
        for outcome in outcomes:
            is_rejected = outcome.verdict is Verdict.REJECTED
            self._sent += 1
            self._rejected += is_rejected
            self._in_a_row = self._in_a_row + 1 if is_rejected else 0

    @property
    def verdict(self) -> Invalid | None:
        """Why the run has to stop, or None."""
        limits = self._limits
        too_many = self._sent >= limits.after_rows and self._rejected > self._sent * limits.ratio
        if not too_many and self._in_a_row < limits.in_a_row:
            return None
        return Invalid(
            f"the destination rejected {self._rejected} of {self._sent} rows: look at the dead letters,"
            " mend the mapping or the destination, and start the sync again",
            code=FAILURE_THRESHOLD,
        )
