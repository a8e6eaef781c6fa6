"""The brake: a destination that refuses nearly everything shows a mistake, not bad rows.

The run stops before it buries a million of them.
"""

from collections.abc import Sequence

from tailrace.core.errors import Invalid
from tailrace.core.policies import FailureThresholds
from tailrace.core.rows import RowOutcome, Verdict, not_delivered
from tailrace.core.settlements import NOTHING_SENT, Rejections

FAILURE_THRESHOLD = "FAILURE_THRESHOLD"


class Brake:
    """Counts the outcomes of one shard's rows, in order, on top of what was counted `before` and `elsewhere`.

    What other shards have sent is known as it was at the last checkpoint. In a row are rejections within a shard, and
    those of all shards together as far as none of them can have had a row accepted in between.
    """

    def __init__(
        self, thresholds: FailureThresholds, before: Rejections = NOTHING_SENT, elsewhere: Rejections = NOTHING_SENT
    ) -> None:
        self._thresholds = thresholds
        self._sent = before.sent
        self._rejected = before.rejected
        self._in_a_row = self._together = before.in_a_row
        self._elsewhere, self._accepted = NOTHING_SENT, 0
        self.heed(elsewhere)

    def add(self, outcomes: Sequence[RowOutcome]) -> None:
        """Take the outcomes of a batch into account."""
        rejected = [at for at in not_delivered(outcomes) if outcomes[at].verdict is Verdict.REJECTED]
        last = _last_in_a_row(rejected, len(outcomes))
        self._sent += len(outcomes)
        self._rejected += len(rejected)
        if last < len(outcomes):
            self._in_a_row = self._together = 0
        self._in_a_row += last
        self._together += last

    def heed(self, elsewhere: Rejections, own: Rejections | None = None) -> None:
        """Take into account what the other shards of the run have sent by now.

        Where rows were added since that was asked for, `own` is what this shard had come to then.
        """
        own = own or self.rejections
        known, self._elsewhere = self._elsewhere, elsewhere
        accepted = own.accepted + elsewhere.accepted
        # Where a row was accepted here since then, only what came behind it is in a row, and that is counted.
        if own.accepted == self.rejections.accepted:
            if elsewhere.accepted != known.accepted:
                self._together = self._sent - own.sent
            elif accepted == self._accepted:
                # What they rejected while this shard had a row accepted may have come before it.
                self._together += elsewhere.rejected - known.rejected
        self._accepted = accepted

    @property
    def rejections(self) -> Rejections:
        """What this shard has come to."""
        return Rejections(self._sent, self._rejected, self._in_a_row)

    @property
    def verdict(self) -> Invalid | None:
        """Why the run has to stop, or None."""
        if not self._are_too_many and not self._are_too_many_in_a_row:
            return None
        return too_many(self.rejections + self._elsewhere)

    @property
    def _are_too_many(self) -> bool:
        ratio = self._thresholds.ratio
        sent, rejected = self._sent + self._elsewhere.sent, self._rejected + self._elsewhere.rejected
        return ratio is not None and sent >= self._thresholds.minimum and rejected > sent * ratio

    @property
    def _are_too_many_in_a_row(self) -> bool:
        consecutive = self._thresholds.consecutive
        return consecutive is not None and max(self._in_a_row, self._together) >= consecutive


def too_many(total: Rejections) -> Invalid:
    """Why a run has to stop that has sent so many rows."""
    return Invalid(
        f"the destination rejected {total.rejected} of {total.sent} rows: look at the dead letters,"
        " mend the mapping or the destination, and start the sync again",
        code=FAILURE_THRESHOLD,
    )


def _last_in_a_row(rejected: Sequence[int], rows: int) -> int:
    """How many of so many rows were rejected since the last one that was not, by the places of all that were."""
    last = 0
    while last < len(rejected) and rejected[-1 - last] == rows - 1 - last:
        last += 1
    return last
