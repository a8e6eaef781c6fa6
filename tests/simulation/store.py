"""The store in memory: each method is one transaction, and does what its statement in `tailrace.store` does.

`RunContract` and `LedgerContract` hold both to the same promises.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import attrgetter
from uuid import UUID

from tailrace.core.errors import Conflict, LeaseLost
from tailrace.core.ids import DeadLetterId, RunId, SyncId, WorkspaceId
from tailrace.core.outgoing import OutgoingEvent
from tailrace.core.rows import RowKey
from tailrace.core.runs import Lease, RunKind, RunName, RunStatus
from tailrace.core.settlements import DedupeKey, KeptRow, NewDeadLetter, Rejections, Settlement
from tailrace.core.snapshots import Entry
from tailrace.core.watermarks import Watermark
from tailrace.store.abandoned import Adopted
from tailrace.store.checkpoints import Announce, Place
from tailrace.store.dead_letters import LetterState
from tailrace.store.runs import AnnounceEnd
from tailrace.store.shards import Claim, Ending, Sighting
from tests.simulation.tables import (
    ENTRIES_PER_PAGE,
    LetterRecord,
    RunRecord,
    ShardRecord,
    SnapshotRecord,
    Tables,
    Told,
)
from tests.simulation.terms import Terms, target_of

WORKSPACE = WorkspaceId("ws_simulated")


@dataclass(slots=True)
class MemoryStore:
    """`now` is the clock of the database; `on_end` is told of each run that ends, `on_tell` of each event committed.

    `on_share` is told of each run that is cut, or that an executor leaves.

    The longest wait and block are shorter than in production, as all times of a story are.
    """

    now: Callable[[], datetime]
    new_token: Callable[[], UUID]
    tables: Tables = field(default_factory=Tables)
    on_end: Callable[[RunRecord], None] = lambda _: None
    on_tell: Callable[[OutgoingEvent], None] = lambda _: None
    on_share: Callable[[RunRecord], None] = lambda _: None
    longest_wait: timedelta = timedelta(minutes=20)
    longest_block: timedelta = timedelta(seconds=310)

    def start(self, run_id: RunId, sync_id: SyncId, kind: RunKind, announce: OutgoingEvent) -> None:
        """:raises Conflict: the sync has an active run."""
        active = self.active(sync_id)
        if active is not None:
            raise Conflict(f"run {active.id} of this sync is active", code="RUN_ACTIVE", existing_id=active.id)
        version, number = self.tables.syncs[sync_id].version, len(self.tables.runs)
        self.tables.runs[run_id] = RunRecord(run_id, sync_id, version, kind, self.now(), number)
        self._tell(announce)

    def active(self, sync_id: SyncId) -> RunRecord | None:
        """The run of the sync that has not ended."""
        return next((run for run in self.tables.runs.values() if run.sync_id == sync_id and run.is_active), None)

    def cancel(self, sync_id: SyncId, announce: AnnounceEnd) -> RunId | None:
        """Ask the active run to end."""
        run = self.active(sync_id)
        if run is None or run.status is RunStatus.CANCELLING:
            return None
        run.cancel_requested_at = self.now()
        if run.status is RunStatus.QUEUED:
            run.shards[0].state = "done"
            self._end(run, RunStatus.CANCELLED, "CANCELLED")
            self._tell(announce(RunName(run.id, sync_id, WORKSPACE), self.now()))
        else:
            run.status = RunStatus.CANCELLING
            for shard in run.shards:
                shard.not_before = None if shard.state == "queued" else shard.not_before
        return run.id

    def claim(
        self, *, ttl_s: float, grace_s: float, silent: Mapping[Sighting, bool], sharing: Collection[RunId] = ()
    ) -> Claim | None:
        """Take the shard that has waited longest, or one of the silent; those known as true have been so for long."""
        now = self.now()
        terms = Terms(now, timedelta(seconds=ttl_s), timedelta(seconds=grace_s), silent, self.longest_wait, sharing)
        free = [shard for shard in self.tables.open_shards if terms.allow(shard)]
        if not free:
            return None
        shard = min(free, key=lambda shard: (shard.queued_at, shard.run.number, shard.number))
        run = shard.run
        run.status = RunStatus.RUNNING if run.status is RunStatus.QUEUED else run.status
        shard.attempts += 1
        self._lease(shard, ttl_s)
        return _claim(shard, now)

    def sighted(self) -> list[Sighting]:
        """All leases that somebody holds, or held when it died."""
        return [
            Sighting(shard.run.id, shard.number, shard.token, shard.heartbeat_seq)
            for shard in self.tables.open_shards
            if shard.state == "running" and shard.token is not None
        ]

    def heartbeat(self, lease: Lease, *, ttl_s: float) -> None:
        """:raises LeaseLost: somebody else has the shard, or nobody should."""
        shard = self.hold(lease)
        shard.heartbeat_seq += 1
        shard.expires_at = self.now() + timedelta(seconds=ttl_s)

    def cancelling(self, run_ids: Sequence[RunId]) -> set[RunId]:
        """Which of the runs were asked to end."""
        return {run_id for run_id in run_ids if self.tables.runs[run_id].status is RunStatus.CANCELLING}

    def hand_back(self, lease: Lease, *, wait_s: float = 0.0) -> None:
        """Give the shard up at its checkpoint, for anybody to take after that time."""
        shard = self.tables.shard(lease)
        if shard.is_held_by(lease):
            shard.state, shard.token, shard.expires_at, shard.attempts = "queued", None, None, 0
            shard.not_before = self.now() + timedelta(seconds=wait_s) if wait_s else None

    def pause(self, lease: Lease, *, wait_s: float) -> None:
        """Give the shard up until its destination may be back."""
        shard = self.tables.shard(lease)
        if shard.is_held_by(lease):
            is_to_end = any(other.error_code for other in shard.run.shards)
            self.hand_back(lease, wait_s=0.0 if is_to_end else wait_s)
            shard.pauses += 1
            shard.paused_since = shard.paused_since or self.now()

    def finish(self, lease: Lease, ending: Ending) -> None:
        """:raises LeaseLost: nothing was changed."""
        shard = self.hold(lease)
        run = shard.run
        if run.status not in {RunStatus.RUNNING, RunStatus.CANCELLING}:
            raise LeaseLost(f"run {run.id} has ended already")
        shard.state, shard.expires_at = "done", None
        for other in run.shards:
            other.state = "done" if other.state == "queued" else other.state
        self._end(run, ending.status, ending.error_code)
        self._tell(ending.announce)

    def commit(self, place: Place, settlement: Settlement, announce: Announce) -> Rejections | None:
        """:raises LeaseLost: nothing was written."""
        shard = self.tables.shard(place.lease)
        run, is_held = shard.run, shard.is_held_by(place.lease)
        if is_held and shard.checkpoint_seq == place.seq + 1:
            return None
        if not is_held or shard.checkpoint_seq != place.seq:
            raise LeaseLost(f"run {run.id} belongs to another executor")
        letters = dict(self._add_letter(run, letter) for letter in settlement.letters)
        for letter in self.tables.letters:
            if letter.is_open and letter.sync_id == run.sync_id and letter.dedupe_key in settlement.cleared:
                self._resolve(letter, "replayed" if letter.state is LetterState.REPLAYING else "superseded")
        self._add_settled(run.sync_id, settlement.entries)
        if settlement.watermark is not None:
            known = self.tables.watermarks.get(run.sync_id, settlement.watermark)
            self.tables.watermarks[run.sync_id] = max(known, settlement.watermark)
        shard.checkpoint_seq += 1
        shard.heartbeat_seq += 1
        shard.attempts = 0
        position = settlement.position
        shard.checkpoint = {"after": position.after, "null_rows": position.null_rows, "phase": position.phase}
        shard.checkpoint |= {} if place.columns is None else {"columns": place.columns}
        sent = settlement.rejections
        shard.checkpoint["rejections"] = {"sent": sent.sent, "rejected": sent.rejected, "in_a_row": sent.in_a_row}
        if settlement.books.delivered + settlement.books.deleted:
            shard.pauses, shard.paused_since = 0, None
        shard.books += settlement.books
        shard.expires_at = self.now() + timedelta(seconds=place.ttl_s)
        for event in announce(shard.checkpoint_seq, letters):
            self._tell(event)
        return shard.elsewhere

    def adopt_cancelled(self, *, dead_for_s: float, ttl_s: float) -> Adopted | None:
        """Take over a shard of a run that is to end, whose owner is gone."""
        before = self.now() - timedelta(seconds=dead_for_s)
        for shard in self.tables.open_shards:
            run = shard.run
            since = shard.expires_at or run.cancel_requested_at
            if run.status is RunStatus.CANCELLING and shard.state != "done" and since and since < before:
                self._lease(shard, ttl_s)
                return Adopted(shard.lease, WORKSPACE, run.sync_id, shard.books, run.is_shared)
        return None

    def still_dead(self, sync_id: SyncId, keys: Sequence[DedupeKey]) -> dict[DedupeKey, bool]:
        """Which of the rows are not to be sent, and whether because a delivery has closed their letters."""
        newest: dict[DedupeKey, LetterRecord] = {}
        for letter in sorted(self.tables.letters, key=_resolved_at):
            if letter.sync_id == sync_id and letter.dedupe_key in keys:
                newest[letter.dedupe_key] = letter
        return {key: letter.is_done for key, letter in newest.items() if letter.stays_out}

    def has_older(self, sync_id: SyncId, version: int) -> bool:
        """Whether a letter that nobody resolved is of an earlier version of its sync."""
        left = (each for each in self.tables.letters if each.sync_id == sync_id and each.is_open)
        return any(self.tables.runs[each.run_id].version < version for each in left)

    def close_mended(self, lease: Lease, codes: Sequence[str]) -> int:
        """Close letters with these codes that the run has not come across."""
        shard = self.tables.shard(lease)
        run = shard.run
        unseen = [one for one in self.tables.letters if one.sync_id == run.sync_id and one.run_id != run.id]
        mended = [one for one in unseen if one.state is LetterState.OPEN and one.error_code in codes]
        for letter in mended if shard.is_held_by(lease) else ():
            self._resolve(letter, "superseded")
        return len(mended) if shard.is_held_by(lease) else 0

    def keys_of_replay(self, run_id: RunId) -> list[RowKey]:
        """The keys that a replay has yet to try, in order."""
        replayed = [letter for letter in self.tables.letters if letter.replay_run_id == run_id]
        waiting = (letter for letter in replayed if letter.state is LetterState.REPLAYING)
        return sorted({letter.row_key for letter in waiting if letter.row_key is not None})

    def kept_rows(self, run_id: RunId) -> list[KeptRow]:
        """What a replay has yet to try, as it was to be sent."""
        replayed = [letter for letter in self.tables.letters if letter.replay_run_id == run_id]
        waiting = [letter for letter in replayed if letter.state is LetterState.REPLAYING]
        kept = [KeptRow(one.dedupe_key, one.row_key, one.payload) for one in waiting if one.row_key is not None]
        return sorted(kept, key=attrgetter("dedupe_key"))

    def begin_replay(self, run_id: RunId, letters: Sequence[LetterRecord]) -> None:
        """Hand open letters to a run."""
        for letter in letters:
            letter.state, letter.replay_run_id = LetterState.REPLAYING, run_id

    def resolve(self, letter: LetterRecord, reason: str) -> None:
        """Resolve a letter that is open."""
        if letter.state is LetterState.OPEN:
            self._resolve(letter, reason)

    def hold(self, lease: Lease) -> ShardRecord:
        """:raises LeaseLost: the shard is not ours."""
        shard = self.tables.shard(lease)
        if not shard.is_held_by(lease):
            raise LeaseLost(f"run {lease.run_id} belongs to another executor")
        return shard

    def snapshot(self, sync_id: SyncId) -> SnapshotRecord:
        """What was delivered for a sync."""
        return self.tables.snapshots.setdefault(sync_id, SnapshotRecord())

    def forget_other_target(self, lease: Lease, sync_id: SyncId) -> bool:
        """Forget what was delivered if the run sends elsewhere than the last run that delivered."""
        run = self.hold(lease).run
        versions, before = self.tables.syncs[sync_id].versions, self.tables.targets.get(sync_id, run.version)
        self.tables.targets[sync_id] = run.version
        if target_of(versions[before]) == target_of(versions[run.version]):
            return False
        self.tables.watermarks.pop(sync_id, None)
        found = self.tables.snapshots.pop(sync_id, SnapshotRecord())
        self.tables.settled = {known for known in self.tables.settled if known[0] != sync_id}
        return bool(found.base or found.settled)

    def watermark(self, sync_id: SyncId) -> Watermark:
        """Up to where all rows of a sync are settled."""
        return Watermark(self.tables.watermarks.get(sync_id), self.now())

    def begin_anew(self, lease: Lease, sync_id: SyncId, *, forget_rows: bool) -> None:
        """Have no watermark, and know no row if that is asked for too."""
        self.hold(lease)
        self.tables.watermarks.pop(sync_id, None)
        if forget_rows:
            self.tables.snapshots.pop(sync_id, None)

    def forget_before(self, lease: Lease, sync_id: SyncId, value: str) -> None:
        """Forget the pages of the base that end before a value."""
        self.hold(lease)
        self.snapshot(sync_id).forget_before(value)

    def merge_one(self, lease: Lease, sync_id: SyncId) -> bool:
        """Merge a settled page into the base; False when there is none left."""
        self.hold(lease)
        return self.snapshot(sync_id).merge_one()

    def _lease(self, shard: ShardRecord, ttl_s: float) -> None:
        shard.state, shard.token = "running", self.new_token()
        shard.epoch += 1
        shard.heartbeat_seq += 1
        shard.expires_at = self.now() + timedelta(seconds=ttl_s)

    def _end(self, run: RunRecord, status: RunStatus, code: str | None) -> None:
        assert not run.status.is_terminal, f"run {run.id} has ended as {run.status} and cannot become {status}"
        run.status, run.error_code = status, code
        for letter in self.tables.letters:
            if letter.replay_run_id == run.id and letter.state is LetterState.REPLAYING:
                letter.state, letter.replay_run_id = LetterState.OPEN, None
        self.on_end(run)

    def _tell(self, event: OutgoingEvent) -> None:
        self.tables.outbox.append(Told(event, self.now()))
        self.on_tell(event)

    def _add_letter(self, run: RunRecord, new: NewDeadLetter) -> tuple[DeadLetterId, str]:
        for known in self.tables.letters:
            is_same = (known.sync_id, known.dedupe_key) == (run.sync_id, new.dedupe_key)
            if known.is_open and is_same and known.operation == new.operation:
                known.run_id, known.row_hash, known.error_code = run.id, new.row_hash, new.error_code
                known.payload = new.payload
                known.attempts += 1
                known.state, known.replay_run_id = LetterState.OPEN, None
                return known.id, known.error_code
        letter_id = DeadLetterId(f"letter {len(self.tables.letters)}")
        identity = (letter_id, run.sync_id, run.id, new.dedupe_key, new.operation)
        self.tables.letters.append(LetterRecord(*identity, new.row_key, new.row_hash, new.error_code, new.payload))
        return letter_id, new.error_code

    def _resolve(self, letter: LetterRecord, reason: str) -> None:
        letter.state, letter.resolution, letter.resolved_at = LetterState.RESOLVED, reason, self.now()

    def _add_settled(self, sync_id: SyncId, entries: Sequence[Entry]) -> None:
        settled = self.snapshot(sync_id).settled
        keys = [entry.key for entry in entries]
        assert keys == sorted(set(keys)), "entries of a page come in key order, each key once"
        for at in range(0, len(entries), ENTRIES_PER_PAGE):
            page = list(entries[at : at + ENTRIES_PER_PAGE])
            assert page[0].key not in settled, "two settled pages begin with the same key"
            settled[page[0].key] = page
        self.tables.settled.update((sync_id, entry.key, entry.delivered) for entry in entries)


def _resolved_at(letter: LetterRecord) -> float:
    return math.inf if letter.resolved_at is None else letter.resolved_at.timestamp()


def _claim(shard: ShardRecord, now: datetime) -> Claim:
    run = shard.run
    return Claim(
        lease=shard.lease,
        workspace_id=WORKSPACE,
        sync_id=run.sync_id,
        sync_version=run.version,
        kind=run.kind,
        is_cancelling=run.status is RunStatus.CANCELLING,
        attempts_without_progress=shard.attempts,
        checkpoint_seq=shard.checkpoint_seq,
        checkpoint=shard.checkpoint,
        books=shard.books,
        pauses=shard.pauses,
        paused_for_s=0.0 if shard.paused_since is None else (now - shard.paused_since).total_seconds(),
        is_shared=run.is_shared,
        until=shard.until,
        elsewhere=shard.elsewhere,
    )
