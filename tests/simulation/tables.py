"""What the store holds, as plain records."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from tailrace.core.ids import DeadLetterId, RunId, SyncId
from tailrace.core.outgoing import OutgoingEvent
from tailrace.core.rows import Operation, RowHash, RowKey
from tailrace.core.runs import Books, Lease, RunKind, RunStatus
from tailrace.core.settlements import DedupeKey
from tailrace.core.snapshots import Entry
from tailrace.core.syncs import Schedule, SyncDefinition
from tailrace.store.dead_letters import SKIPPED, LetterState

ACTIVE = {RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.CANCELLING}


@dataclass(slots=True)
class SyncRecord:
    """A sync with all versions of its definition."""

    id: SyncId
    versions: dict[int, SyncDefinition]
    schedule: Schedule
    next_run_at: datetime | None = None
    enabled: bool = True

    @property
    def version(self) -> int:
        """The newest."""
        return max(self.versions)


@dataclass(slots=True)
class RunRecord:
    """A run and its one shard."""

    id: RunId
    sync_id: SyncId
    version: int
    kind: RunKind
    queued_at: datetime
    number: int
    requested_by: str = ""
    status: RunStatus = RunStatus.QUEUED
    error_code: str | None = None
    cancel_requested_at: datetime | None = None
    shard_state: str = "queued"
    not_before: datetime | None = None
    epoch: int = 0
    token: UUID | None = None
    expires_at: datetime | None = None
    heartbeat_seq: int = 0
    checkpoint_seq: int = 0
    checkpoint: dict[str, Any] | None = None
    attempts: int = 0
    books: Books = field(default_factory=Books)
    pauses: int = 0
    paused_since: datetime | None = None

    @property
    def is_active(self) -> bool:
        """Whether it keeps others of its sync from starting."""
        return self.status in ACTIVE

    def is_held_by(self, lease: Lease) -> bool:
        """Whether the lease still counts."""
        return self.shard_state == "running" and self.token == lease.token


@dataclass(slots=True)
class LetterRecord:
    """A dead letter."""

    id: DeadLetterId
    sync_id: SyncId
    run_id: RunId
    dedupe_key: DedupeKey
    operation: Operation
    row_key: RowKey | None
    row_hash: RowHash | None
    error_code: str
    payload: bytes
    attempts: int = 1
    state: LetterState = LetterState.OPEN
    resolution: str | None = None
    resolved_at: datetime | None = None
    replay_run_id: RunId | None = None

    @property
    def is_open(self) -> bool:
        """Whether nobody resolved it."""
        return self.state is not LetterState.RESOLVED

    @property
    def is_done(self) -> bool:
        """Whether a delivery has closed it."""
        return self.resolution in {"superseded", "replayed"}

    @property
    def stays_out(self) -> bool:
        """Whether its row is not to be sent as it is."""
        return self.is_open or self.is_done or self.resolution == SKIPPED


@dataclass(slots=True)
class SnapshotRecord:
    """What was delivered for a sync: the merged base, and pages that checkpoints settled, by their first key."""

    base: dict[RowKey, Entry] = field(default_factory=dict)
    settled: dict[RowKey, list[Entry]] = field(default_factory=dict)

    def merge_one(self) -> bool:
        """Merge a settled page into the base; False when there is none left."""
        if not self.settled:
            return False
        for entry in self.settled.pop(min(self.settled)):
            if entry.is_tombstone:
                self.base.pop(entry.key, None)
            else:
                self.base[entry.key] = entry
        return True


@dataclass(frozen=True, slots=True)
class Told:
    """An event in the outbox, and when it was committed."""

    event: OutgoingEvent
    at: datetime


@dataclass(slots=True)
class Tables:
    """The whole database."""

    syncs: dict[SyncId, SyncRecord] = field(default_factory=dict)
    runs: dict[RunId, RunRecord] = field(default_factory=dict)
    letters: list[LetterRecord] = field(default_factory=list)
    snapshots: dict[SyncId, SnapshotRecord] = field(default_factory=dict)
    targets: dict[SyncId, int] = field(default_factory=dict)
    watermarks: dict[SyncId, str] = field(default_factory=dict)
    settled: set[tuple[SyncId, RowKey, RowHash | None]] = field(default_factory=set)
    ticks: dict[tuple[SyncId, datetime], tuple[str, RunId | None]] = field(default_factory=dict)
    outbox: list[Told] = field(default_factory=list)
    tats: dict[str, datetime] = field(default_factory=dict)
    blocks: dict[str, datetime] = field(default_factory=dict)
    slots: dict[str, dict[int, tuple[UUID, datetime]]] = field(default_factory=dict)
