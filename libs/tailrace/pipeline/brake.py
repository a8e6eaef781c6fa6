"""The brake: a destination that refuses nearly everything shows a mistake, not bad rows.

The run stops before it buries a million of them.
"""

from collections.abc import Sequence

from tailrace.core.errors import Invalid
from tailrace.core.policies import FailureThresholds
from tailrace.core.rows import DELIVERED, RowOutcome, Verdict

FAILURE_THRESHOLD = "FAILURE_THRESHOLD"


class Brake:
    """Counts the outcomes of one run's rows, in order."""

    def __init__(self, thresholds: FailureThresholds) -> None:
        self._thresholds = thresholds
        self._sent = 0
        self._rejected = 0
        self._in_a_row = 0

    def add(self, outcomes: Sequence[RowOutcome]) -> None:
        """Take the outcomes of a batch into account."""
        if outcomes and outcomes.count(DELIVERED) == len(outcomes):
            self._sent += len(outcomes)
            self._in_a_row = 0
            return
        for outcome in outcomes:
            is_rejected = outcome.verdict is Verdict.REJECTED
            self._sent += 1
            self._rejected += is_rejected
            self._in_a_row = self._in_a_row + 1 if is_rejected else 0

    @property
    def verdict(self) -> Invalid | None:
        """Why the run has to stop, or None."""
        if not self._are_too_many and not self._are_too_many_in_a_row:
            return None
        return Invalid(
            f"the destination rejected {self._rejected} of {self._sent} rows: look at the dead letters,"
            " mend the mapping or the destination, and start the sync again",
            code=FAILURE_THRESHOLD,
        )

    @property
    def _are_too_many(self) -> bool:
        ratio = self._thresholds.ratio
        return ratio is not None and self._sent >= self._thresholds.minimum and self._rejected > self._sent * ratio

    @property
    def _are_too_many_in_a_row(self) -> bool:
        consecutive = self._thresholds.consecutive
        return consecutive is not None and self._in_a_row >= consecutive
