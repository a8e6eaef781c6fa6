"""What a contract of the store is tested with: a store with one sync in it, and what is done to it."""

from collections.abc import Sequence
from typing import Any, Protocol

from tailrace.core.ids import RunId, SyncId
from tailrace.core.outgoing import OutgoingEvent, new_event_id
from tailrace.core.rows import Operation, RowHash, RowKey
from tailrace.core.runs import Books, RunKind, RunStatus
from tailrace.core.settlements import NewDeadLetter, Position, Rejections, Settlement, dedupe_key
from tailrace.core.snapshots import Entry
from tailrace.core.syncs import FieldMapping, SyncDefinition, SyncMode
from tailrace.store.abandoned import AbandonedRuns
from tailrace.store.checkpoints import Checkpoints, Place
from tailrace.store.dead_letters import DeadLetters
from tailrace.store.limits import SharedLimits
from tailrace.store.shards import Claim, Ending, Shards
from tailrace.store.shared_runs import SharedRuns
from tailrace.store.snapshots import Snapshots
from tests.simulation.store import WORKSPACE

TTL_S = 30.0
ONE, TWO, THREE = (RowKey((key,)) for key in ("k1", "k2", "k3"))
OLD, NEW = RowHash(b"oldoldol"), RowHash(b"newnewne")


class Stage(Protocol):
    """A store with one sync in it; what people do goes by the methods, what services do by the repositories."""

    sync_id: SyncId
    shards: Shards
    checkpoints: Checkpoints
    snapshots: Snapshots
    dead_letters: DeadLetters
    limits: SharedLimits
    abandoned: AbandonedRuns
    shared_runs: SharedRuns
    sharing: set[RunId]
    """Runs that whoever claims has a shard of."""

    async def start(self, kind: RunKind = RunKind.INCREMENTAL) -> RunId:
        """Queue a run."""
        ...

    async def cancel(self) -> None:
        """Ask the active run to end."""
        ...

    async def replay(self) -> RunId:
        """Queue a run that tries all open letters again."""
        ...

    async def resolve(self, reason: str) -> None:
        """Resolve all open letters."""
        ...

    async def change(self, definition: SyncDefinition) -> None:
        """Have runs to come follow another definition."""
        ...

    async def status(self, run_id: RunId) -> RunStatus:
        """Where a run stands."""
        ...

    async def passed(self, run_id: RunId, key: RowKey) -> bool | None:
        """Whether a run has come past a key."""
        ...

    async def told(self) -> Sequence[str]:
        """The types of the events in the outbox, in order."""
        ...


async def claimed(stage: Stage, *, ttl_s: float = TTL_S) -> Claim:
    """The claim of the run that waits."""
    claim = await stage.shards.claim(owner="a", ttl_s=ttl_s, grace_s=0)
    assert claim is not None
    return claim


async def commit(stage: Stage, claim: Claim, settlement: Settlement, *, seq: int = 0) -> Rejections | None:
    """Write a checkpoint that tells of itself; gives what it is told of other shards."""
    place = Place(claim.lease, WORKSPACE, stage.sync_id, seq, TTL_S)
    completed = OutgoingEvent("tailrace.batch.completed.v1", claim.lease.run_id, b"{}", new_event_id())
    prepared = stage.checkpoints.prepare(place.origin, settlement)
    return await stage.checkpoints.commit(place, prepared, lambda _seq, _letters: [completed])


async def run_through(stage: Stage, some: Sequence[Entry], *, letters: Sequence[NewDeadLetter] = ()) -> None:
    """A whole run that settles these."""
    await stage.start()
    claim = await claimed(stage)
    await stage.snapshots.forget_other_target(claim.lease, stage.sync_id)
    await commit(stage, claim, Settlement(Position(THREE), Books(), letters, some))
    await stage.snapshots.merge(claim.lease, stage.sync_id)
    await stage.shards.finish(claim.lease, ending())


async def entries(stage: Stage, *, after: RowKey | None = None) -> list[Entry]:
    """All that the snapshot shows."""
    pages = [page async for page in stage.snapshots.entries(stage.sync_id, after=after)]
    return [entry for page in pages for entry in page]


async def dead(stage: Stage) -> dict[Any, bool]:
    """Which rows are to stay out, and whether because a delivery closed their letters."""
    return dict(await stage.dead_letters.still_dead(stage.sync_id, [dedupe_key(key) for key in (ONE, TWO, THREE)]))


def ending(status: RunStatus = RunStatus.SUCCEEDED) -> Ending:
    """How a run ends."""
    return Ending(status, OutgoingEvent("tailrace.run.finished.v1", "run", b"{}", new_event_id()))


def letter(key: RowKey) -> NewDeadLetter:
    """A row that was refused."""
    return NewDeadLetter(dedupe_key(key), key, Operation.UPSERT, "BAD", "no", {}, b"{}", OLD)


def definition(object_name: str, *, mode: SyncMode = SyncMode.UPSERT) -> SyncDefinition:
    """A sync of people by id."""
    return SyncDefinition(
        source_id="conn_source",
        source_query="SELECT id FROM people",
        destination_id="conn_destination",
        object_name=object_name,
        field_mappings=(FieldMapping(source="id", destination="id", key=True),),
        sync_mode=mode,
    )
