"""The rows of one request to the destination, and their outcomes."""

from collections.abc import Sequence
from dataclasses import dataclass

from tailrace.core.rows import Operation, Row, RowOutcome


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows for one request: one operation, each key at most once, never empty.

    `idempotency_key` is the same whenever the same rows are sent again, after a crash too.
    """

    operation: Operation
    rows: Sequence[Row]
    idempotency_key: str

    def __post_init__(self) -> None:
        if not self.rows:
            raise ValueError("a batch holds at least one row")


@dataclass(frozen=True, slots=True)
class BatchResult:
    """Exactly one outcome for each row of the batch, in the order of its rows."""

    batch: Batch
    outcomes: Sequence[RowOutcome]

    def __post_init__(self) -> None:
        if len(self.outcomes) != len(self.batch.rows):
            raise ValueError(f"{len(self.outcomes)} outcomes for {len(self.batch.rows)} rows")
