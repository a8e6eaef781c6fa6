"""What the store holds, as plain records."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from tailrace.core.ids import DeadLetterId, RunId, SyncId
from tailrace.core.outgoing import OutgoingEvent
from tailrace.core.rows import Operation, RowHash, RowKey
from tailrace.core.runs import Books, Lease, RunKind, RunStatus
from tailrace.core.settlements import NOTHING_SENT, DedupeKey, Rejections
from tailrace.core.snapshots import Entry
from tailrace.core.syncs import Schedule, SyncDefinition
from tailrace.store.dead_letters import SKIPPED, LetterState
from tailrace.store.shards import rejections_of

ENTRIES_PER_PAGE = 4
"""So few that every story has several pages."""

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


@dataclass(eq=False, slots=True)
class ShardRecord:
    """A shard of a run; `until` is the key that it ends with, `error_code` why it failed."""

    run: "RunRecord" = field(repr=False)
    number: int
    queued_at: datetime
    state: str = "queued"
    until: RowKey | None = None
    error_code: str | None = None
    error_message: str | None = None
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
    def lease(self) -> Lease:
        """What its owner holds."""
        assert self.token is not None
        return Lease(self.run.id, self.number, self.token, self.epoch)

    @property
    def is_through(self) -> bool:
        """Whether its owner left it with all of its rows settled."""
        return self.run.is_shared and self.state == "done" and self.token is not None and self.error_code is None

    @property
    def elsewhere(self) -> Rejections:
        """What the other shards of its run have sent."""
        others = [shard.checkpoint for shard in self.run.shards if shard is not self]
        return sum(map(rejections_of, others), NOTHING_SENT)

    def is_held_by(self, lease: Lease) -> bool:
        """Whether the lease still counts."""
        return self.state == "running" and self.token == lease.token


@dataclass(eq=False, slots=True)
class RunRecord:
    """A run and its shards, of which it has one unless it was cut."""

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
    shards: list[ShardRecord] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.shards.append(ShardRecord(self, 0, self.queued_at))

    @property
    def is_active(self) -> bool:
        """Whether it keeps others of its sync from starting."""
        return self.status in ACTIVE

    @property
    def is_shared(self) -> bool:
        """Whether it was cut."""
        return len(self.shards) > 1

    def is_through_but_for(self, number: int) -> bool:
        """Whether all other shards have settled their rows."""
        return all(shard.is_through for shard in self.shards if shard.number != number)

    @property
    def books(self) -> Books:
        """What all shards come to."""
        return sum((shard.books for shard in self.shards), Books())


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

    def page_after(self, after: RowKey | None, until: RowKey | None, *, gone: bool) -> list[Entry]:
        """The next few entries of the base behind a key, up to another."""
        base = self.base
        keys = sorted(key for key, entry in base.items() if (after is None or key > after) and entry.is_gone >= gone)
        return [base[key] for key in keys[:ENTRIES_PER_PAGE] if until is None or key <= until]

    def entries_of(self, keys: Sequence[RowKey]) -> list[Entry]:
        """What the base knows of some keys, in key order."""
        return [self.base[key] for key in sorted(set(keys)) if key in self.base]

    def census(self) -> tuple[int, int]:
        """How many entries were delivered, and how many of those are gone."""
        entries = self.base.values()
        return sum(entry.delivered is not None for entry in entries), sum(entry.is_gone for entry in entries)

    def forget_before(self, value: str) -> None:
        """Forget the pages of the base that end before a value."""
        for key in (key for page in self._pages() if page[-1] < (value,) for key in page):
            del self.base[key]

    def cuts(self, parts: int) -> list[RowKey]:
        """The keys that end all parts but the last, where the base is cut at the ends of pages."""
        ends, upto = dict[int, RowKey](), 0
        for page in self._pages():
            upto += len(page)
            ends[-(-upto * parts // len(self.base))] = page[-1]
        return list(ends.values())[:-1]

    def _pages(self) -> list[list[RowKey]]:
        keys = sorted(self.base)
        return [keys[at : at + ENTRIES_PER_PAGE] for at in range(0, len(keys), ENTRIES_PER_PAGE)]


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
    """In the order in which they were queued."""
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

    @property
    def open_shards(self) -> list[ShardRecord]:
        """The shards of all runs that have not ended."""
        return [shard for run in self.runs.values() if run.status in ACTIVE for shard in run.shards]

    def shard(self, lease: Lease) -> ShardRecord:
        """Which shard a lease is for."""
        return self.runs[lease.run_id].shards[lease.shard]
