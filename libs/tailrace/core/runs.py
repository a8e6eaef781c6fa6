"""One execution of a sync: its states, its books, the lease on a shard of it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Self
from uuid import UUID

from tailrace.core.ids import RunId, SyncId, WorkspaceId

DELETE_GUARD = "DELETE_GUARD"
"""The error code of a run that would have deleted more than it may."""

CANCELLED = "CANCELLED"
"""The error code of a run that somebody ended."""


class RunKind(StrEnum):
    """How much of the query a run sends."""

    INCREMENTAL = "incremental"
    FULL = "full"
    REPLAY = "replay"


class RunTrigger(StrEnum):
    """Who asked for the run."""

    API = "api"
    SCHEDULE = "schedule"
    EVENT = "event"
    REPLAY = "replay"


class RunStatus(StrEnum):
    """Where a run stands; the last three never change again."""

    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether the run has ended."""
        return self in {RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED}


REASONS_LIMIT = 100
"""So many reasons are told apart: a destination may answer each row with a code of its own."""

_STILL_FAILING = ("skipped.STILL_DEAD", "kept.STILL_DEAD")
_CHANGES = "change."


@dataclass(frozen=True, slots=True)
class Books:
    """What became of every row, and why; only ever added to.

    `read` counts rows of the query, `removed` rows that were delivered once and are gone from it.
    `reasons` says how many rows were added, changed, skipped or rejected under which code, and how many delivered under
    one: `delivered.NOT_VERIFIED` are those that a destination took without saying what became of them.
    """

    read: int = 0
    delivered: int = 0
    skipped: int = 0
    rejected: int = 0
    removed: int = 0
    deleted: int = 0
    kept: int = 0
    undeleted: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: Self) -> Self:
        counts = {name: getattr(self, name) + getattr(other, name) for name in COUNTS}
        return type(self)(**counts, reasons=_sum_of_reasons(self.reasons, other.reasons))

    @property
    def balance(self) -> bool:
        """Whether every row is accounted for."""
        return (
            self.read == self.delivered + self.skipped + self.rejected
            and self.removed == self.deleted + self.kept + self.undeleted
        )

    @property
    def failed(self) -> int:
        """Rows that became dead letters."""
        return self.rejected + self.undeleted

    @property
    def still_failing(self) -> int:
        """Rows that were left out: an earlier run made dead letters of them, which are open or resolved as skipped."""
        return sum(self.reasons.get(reason, 0) for reason in _STILL_FAILING)


def _sum_of_reasons(known: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
    """The sum; what would be one reason too many counts as its kind's `OTHER`."""
    total = Counter(known)
    for reason, count in more.items():
        has_room = reason in total or len(total) < REASONS_LIMIT or _is_ours(reason)
        total[reason if has_room else f"{reason.partition('.')[0]}.OTHER"] += count
    return dict(total)


def _is_ours(reason: str) -> bool:
    """Whether figures are made of it: it has a place however many codes a destination has."""
    return reason in _STILL_FAILING or reason.startswith(_CHANGES)


COUNTS = tuple(entry.name for entry in fields(Books) if entry.name != "reasons")
"""The names of the counters, in the order in which they are stored."""


@dataclass(frozen=True, slots=True)
class RunName:
    """A run and what it belongs to: all that an event needs to name it."""

    run_id: RunId
    sync_id: SyncId
    workspace_id: WorkspaceId


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a shard of a run: every write carries the token, integers could collide after a failover."""

    run_id: RunId
    shard: int
    token: UUID
    epoch: int

    @property
    def identity(self) -> tuple[RunId, int, UUID]:
        """What a write has to match, in the order in which statements take it."""
        return self.run_id, self.shard, self.token
