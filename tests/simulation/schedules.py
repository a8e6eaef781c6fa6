"""What `tailrace.store.schedules` does, in memory."""

from collections import Counter
from collections.abc import Collection, Sequence

from tailrace.core.due import TickOutcome, ticks_due
from tailrace.core.ids import RunId, SyncId
from tailrace.core.runs import RunKind, RunTrigger
from tailrace.store.runs import AnnounceRun, NewRun
from tailrace.store.schedules import REQUESTED_BY, Fired
from tests.simulation.store import WORKSPACE, MemoryStore
from tests.simulation.tables import SyncRecord


def due(store: MemoryStore, without: Collection[SyncId], limit: int) -> list[SyncId]:
    """Syncs that have waited longest for their tick."""
    now = store.now()
    waiting = [(sync.next_run_at, sync.id) for sync in store.tables.syncs.values() if sync.next_run_at and sync.enabled]
    return [sync_id for at, sync_id in sorted(waiting) if at <= now and sync_id not in without][:limit]


def fire(store: MemoryStore, sync_ids: Sequence[SyncId], announce: AnnounceRun) -> list[Fired]:
    """Record the ticks that have come, start their runs, set the next."""
    taken = [store.tables.syncs[sync_id] for sync_id in sorted(sync_ids)]
    return [_fire(store, sync, announce) for sync in taken if sync.next_run_at and sync.next_run_at <= store.now()]


def _fire(store: MemoryStore, sync: SyncRecord, announce: AnnounceRun) -> Fired:
    now, ticks = store.now(), store.tables.ticks
    assert sync.next_run_at is not None
    found = ticks_due(sync.schedule, sync.next_run_at, now)
    told = [(tick, TickOutcome.MISSED_WINDOW) for tick in found.missed]
    told += [(tick, TickOutcome.COALESCED) for tick in found.coalesced]
    outcomes = Counter(outcome for tick, outcome in told if (sync.id, tick) not in ticks)
    for tick, outcome in told:
        ticks.setdefault((sync.id, tick), (outcome, None))
    run_id = None
    if found.start is not None and (sync.id, found.start) not in ticks:
        run_id = _start(store, sync, announce)
        outcome = TickOutcome.STARTED if run_id else TickOutcome.SKIPPED_OVERLAP
        ticks[sync.id, found.start] = (outcome, run_id)
        outcomes[outcome] += 1
    sync.next_run_at = found.next_run_at
    lag_s = None if found.start is None else (now - found.start).total_seconds()
    return Fired(sync.id, outcomes, run_id, lag_s)


def _start(store: MemoryStore, sync: SyncRecord, announce: AnnounceRun) -> RunId | None:
    if store.active(sync.id) is not None:
        return None
    run_id = RunId(f"run {len(store.tables.runs)}")
    new = NewRun(run_id, WORKSPACE, sync.id, RunKind.INCREMENTAL, RunTrigger.SCHEDULE, REQUESTED_BY)
    store.start(run_id, sync.id, RunKind.INCREMENTAL, announce(new))
    return run_id
