"""What `tailrace.store.shared_runs` does, in memory, and how far the shards of a run have come."""

from collections.abc import Collection, Sequence

from tailrace.core.errors import LeaseLost
from tailrace.core.ids import RunId
from tailrace.core.rows import RowKey
from tailrace.core.runs import CANCELLED, Lease, RunKind, RunStatus
from tailrace.core.settlements import Phase
from tailrace.store.checkpoints import position_of
from tailrace.store.shared_runs import Sum
from tests.simulation.store import MemoryStore
from tests.simulation.tables import ShardRecord


def share_out(store: MemoryStore, lease: Lease, cuts: Sequence[RowKey], columns: str | None) -> None:
    """:raises LeaseLost: nothing was changed."""
    first = store.tables.shard(lease)
    run = first.run
    if not first.is_held_by(lease) or first.checkpoint_seq or run.is_shared:
        raise LeaseLost(f"run {run.id} has other owners by now")
    shards = [first, *(ShardRecord(run, number, store.now()) for number in range(1, len(cuts) + 1))]
    for shard, after, until in zip(shards, (None, *cuts), (*cuts, None), strict=True):
        shard.checkpoint = {"after": after, "null_rows": 0, "columns": columns}
        shard.until = until
    run.shards = shards
    store.on_share(run)


def leave(store: MemoryStore, lease: Lease, code: str | None, message: str | None) -> Sum | None:
    """Close a shard, or give what all come to, if it is the last.

    :raises LeaseLost: nothing was changed.
    """
    shard = store.hold(lease)
    run = shard.run
    if code is not None:
        if shard.error_code is None:
            shard.error_code, shard.error_message = code, message
        for other in run.shards:
            other.state = "done" if other.state == "queued" else other.state
    store.on_share(run)
    if any(other.state != "done" for other in run.shards if other is not shard):
        shard.state, shard.expires_at = "done", None
        return None
    failed = [one for one in run.shards if one.error_code is not None]
    failed.sort(key=lambda one: one.error_code == CANCELLED)
    code, message = (failed[0].error_code, failed[0].error_message) if failed else (None, None)
    return Sum(run.books, code, message, shard.elsewhere)


def failing(store: MemoryStore, run_ids: Collection[RunId]) -> set[RunId]:
    """Which of the runs have a shard that failed."""
    runs = [store.tables.runs[run_id] for run_id in run_ids]
    return {run.id for run in runs if any(shard.error_code is not None for shard in run.shards)}


def passed(store: MemoryStore, run_id: RunId, key: RowKey) -> bool | None:
    """Whether the run has come past the key, as `tailrace.store.standings` tells it."""
    run = store.tables.runs[run_id]
    if run.kind is RunKind.REPLAY:
        return None
    if run.status is RunStatus.SUCCEEDED:
        return True
    if any(position_of(shard.checkpoint).phase is not Phase.ROWS for shard in run.shards):
        return True
    own = next(shard for shard in run.shards if shard.until is None or key <= shard.until)
    position = position_of(own.checkpoint)
    return own.is_through or position.null_rows > 0 or (position.after is not None and key <= position.after)
