"""The rows of one request to the destination, and their outcomes."""

from collections.abc import Sequence
from dataclasses import dataclass

from tailrace.core.row_columns import RowColumns
from tailrace.core.rows import Operation, Row, RowHash, RowOutcome


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

    @property
    def bodies(self) -> Sequence[bytes]:
        """The JSON objects of its rows; for who needs nothing else of them this is cheaper than `rows`."""
        return bodies_of(self.rows)


@dataclass(frozen=True, slots=True)
class BatchResult:
    """Exactly one outcome for each row of the batch, in the order of its rows."""

    batch: Batch
    outcomes: Sequence[RowOutcome]

    def __post_init__(self) -> None:
        if len(self.outcomes) != len(self.batch.rows):
            raise ValueError(f"{len(self.outcomes)} outcomes for {len(self.batch.rows)} rows")


def bodies_of(rows: Sequence[Row]) -> Sequence[bytes]:
    """The JSON objects of rows."""
    return rows.bodies if isinstance(rows, RowColumns) else [row.body for row in rows]


def hashes_of(rows: Sequence[Row]) -> Sequence[RowHash]:
    """The hashes of rows."""
    return rows.hashes if isinstance(rows, RowColumns) else [row.row_hash for row in rows]
