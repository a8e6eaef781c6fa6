"""The repositories of an executor and a scheduler, over the road to the store in memory."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from tailrace.core.ids import ConnectionId, RunId, SyncId, WorkspaceId
from tailrace.core.rows import RowKey
from tailrace.core.runs import Lease
from tailrace.core.settlements import DedupeKey, KeptRow, Rejections, Settlement
from tailrace.core.snapshots import Entry
from tailrace.core.syncs import SyncDefinition
from tailrace.core.watermarks import Watermark
from tailrace.store.abandoned import AbandonedRuns, Adopted
from tailrace.store.checkpoints import Announce, Checkpoints, Place, Prepared
from tailrace.store.connections import ConnectionKind, Connections, StoredConnection
from tailrace.store.dead_letters import DeadLetters
from tailrace.store.limits import SharedLimits
from tailrace.store.new_letters import Origin
from tailrace.store.runs import AnnounceRun
from tailrace.store.schedules import Fired, Schedules
from tailrace.store.shards import Claim, Ending, Shards, Sighting
from tailrace.store.shared_runs import SharedRuns, Sum
from tailrace.store.snapshots import Snapshots
from tailrace.store.syncs import Syncs
from tests.simulation import limits, schedules, shared_runs
from tests.simulation.loop import START
from tests.simulation.store import WORKSPACE, MemoryStore

Road = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Carries a transaction to the store and its result back, or fails."""


class MemoryShards(Shards):
    def __init__(self, store: MemoryStore, road: Road, sharing: Collection[RunId] = ()) -> None:
        self._store = store
        self._road = road
        self._sharing = sharing

    async def claim(
        self,
        *,
        owner: str,
        ttl_s: float,
        grace_s: float,
        silent: Sequence[Sighting] = (),
        long_silent: Collection[Sighting] = (),
    ) -> Claim | None:
        seen = {sighting: sighting in long_silent for sighting in silent}
        claim: Claim | None = await self._road(
            lambda: self._store.claim(ttl_s=ttl_s, grace_s=grace_s, silent=seen, sharing=[*self._sharing])
        )
        return claim

    def but_for(self, workspaces: Collection[WorkspaceId]) -> Shards:
        return NobodyWaits() if WORKSPACE in workspaces else self

    async def sighted(self) -> list[Sighting]:
        found: list[Sighting] = await self._road(self._store.sighted)
        return found

    async def heartbeat(self, lease: Lease, *, ttl_s: float) -> None:
        await self._road(lambda: self._store.heartbeat(lease, ttl_s=ttl_s))

    async def cancelling(self, run_ids: list[RunId]) -> set[RunId]:
        asked: set[RunId] = await self._road(lambda: self._store.cancelling(run_ids))
        return asked

    async def hand_back(self, lease: Lease) -> None:
        await self._road(lambda: self._store.hand_back(lease))

    async def pause(self, lease: Lease, *, wait_s: float, reason: str) -> None:
        await self._road(lambda: self._store.pause(lease, wait_s=wait_s))

    async def finish(self, lease: Lease, ending: Ending) -> None:
        await self._road(lambda: self._store.finish(lease, ending))


class NobodyWaits(MemoryShards):
    """What is left without the one workspace of a story."""

    def __init__(self) -> None:
        pass

    async def claim(self, **_: object) -> None:
        return None


class MemorySharedRuns(SharedRuns):
    def __init__(self, store: MemoryStore, road: Road) -> None:
        self._store = store
        self._road = road

    async def read_before(self, sync_id: SyncId, sync_version: int) -> int:
        """As if there had been none: by what the source tells of itself, more runs are cut."""
        return 0

    async def share_out(self, lease: Lease, cuts: Sequence[RowKey], *, columns: str | None) -> None:
        await self._road(lambda: shared_runs.share_out(self._store, lease, cuts, columns))

    async def leave(self, lease: Lease, *, code: str | None = None, message: str | None = None) -> Sum | None:
        total: Sum | None = await self._road(lambda: shared_runs.leave(self._store, lease, code, message))
        return total

    async def failing(self, run_ids: Collection[RunId]) -> set[RunId]:
        found: set[RunId] = await self._road(lambda: shared_runs.failing(self._store, run_ids))
        return found


class MemoryCheckpoints(Checkpoints):
    def __init__(self, store: MemoryStore, road: Road) -> None:
        self._store = store
        self._road = road

    def prepare(self, origin: Origin, settlement: Settlement) -> Prepared:
        return Prepared(settlement)

    async def commit(self, place: Place, prepared: Prepared, announce: Announce) -> Rejections | None:
        told: Rejections | None = await self._road(lambda: self._store.commit(place, prepared.settlement, announce))
        return told


class MemorySnapshots(Snapshots):
    def __init__(self, store: MemoryStore, road: Road) -> None:
        self._store = store
        self._road = road

    async def entries(
        self, sync_id: SyncId, *, after: RowKey | None = None, until: RowKey | None = None, gone: bool = False
    ) -> AsyncIterator[list[Entry]]:
        last = after
        while page := await self._page(sync_id, last, until, gone=gone):
            yield page
            last = page[-1].key

    async def _page(self, sync_id: SyncId, after: RowKey | None, until: RowKey | None, *, gone: bool) -> list[Entry]:
        page: list[Entry] = await self._road(lambda: self._store.snapshot(sync_id).page_after(after, until, gone=gone))
        return page

    async def census(self, sync_id: SyncId) -> tuple[int, int]:
        counted: tuple[int, int] = await self._road(lambda: self._store.snapshot(sync_id).census())
        return counted

    async def entries_of(self, sync_id: SyncId, keys: Sequence[RowKey]) -> list[Entry]:
        found: list[Entry] = await self._road(lambda: self._store.snapshot(sync_id).entries_of(keys))
        return found

    async def size(self, sync_id: SyncId) -> int:
        entries: int = await self._road(lambda: len(self._store.snapshot(sync_id).base))
        return entries

    async def cuts(self, sync_id: SyncId, parts: int) -> list[RowKey]:
        cuts: list[RowKey] = await self._road(lambda: self._store.snapshot(sync_id).cuts(parts))
        return cuts

    async def forget_other_target(self, lease: Lease, sync_id: SyncId) -> bool:
        forgot: bool = await self._road(lambda: self._store.forget_other_target(lease, sync_id))
        return forgot

    async def watermark(self, sync_id: SyncId) -> Watermark:
        found: Watermark = await self._road(lambda: self._store.watermark(sync_id))
        return found

    async def begin_anew(self, lease: Lease, sync_id: SyncId, *, forget_rows: bool) -> None:
        await self._road(lambda: self._store.begin_anew(lease, sync_id, forget_rows=forget_rows))

    async def forget_before(self, lease: Lease, sync_id: SyncId, value: str) -> None:
        await self._road(lambda: self._store.forget_before(lease, sync_id, value))

    async def merge(self, lease: Lease, sync_id: SyncId) -> None:
        while await self._road(lambda: self._store.merge_one(lease, sync_id)):
            pass


class MemoryDeadLetters(DeadLetters):
    def __init__(self, store: MemoryStore, road: Road) -> None:
        self._store = store
        self._road = road

    async def keys_of_replay(self, run_id: RunId) -> Sequence[RowKey]:
        keys: list[RowKey] = await self._road(lambda: self._store.keys_of_replay(run_id))
        return keys

    async def kept_rows(self, run_id: RunId) -> AsyncIterator[Sequence[KeptRow]]:
        kept: list[KeptRow] = await self._road(lambda: self._store.kept_rows(run_id))
        yield kept

    async def still_dead(self, sync_id: SyncId, keys: Sequence[DedupeKey]) -> dict[DedupeKey, bool]:
        dead: dict[DedupeKey, bool] = await self._road(lambda: self._store.still_dead(sync_id, keys))
        return dead

    async def has_older(self, sync_id: SyncId, version: int) -> bool:
        has: bool = await self._road(lambda: self._store.has_older(sync_id, version))
        return has

    async def close_mended(self, workspace_id: WorkspaceId, sync_id: SyncId, lease: Lease, codes: Sequence[str]) -> int:
        closed: int = await self._road(lambda: self._store.close_mended(lease, codes))
        return closed


class MemorySyncs(Syncs):
    def __init__(self, store: MemoryStore, road: Road) -> None:
        self._store = store
        self._road = road

    async def definition(self, sync_id: SyncId, version: int) -> SyncDefinition:
        definition: SyncDefinition = await self._road(lambda: self._store.tables.syncs[sync_id].versions[version])
        return definition


class MemoryConnections(Connections):
    """Every connection is there; `bounds` are the limits of each destination."""

    def __init__(self, road: Road, bounds: dict[str, tuple[float | None, int | None]]) -> None:
        self._road = road
        self._bounds = bounds

    async def open_settings(self, connection_id: str) -> tuple[StoredConnection, dict[str, Any]]:
        stored: StoredConnection = await self._road(lambda: self._stored(connection_id))
        return stored, {"place": connection_id}

    def _stored(self, connection_id: str) -> StoredConnection:
        requests_per_s, max_in_flight = self._bounds.get(connection_id, (None, None))
        return StoredConnection(
            id=ConnectionId(connection_id),
            workspace_id=WORKSPACE,
            kind=ConnectionKind.DESTINATION,
            name=connection_id,
            connector="simulated",
            settings={},
            requests_per_s=requests_per_s,
            max_in_flight=max_in_flight,
            created_at=START,
            updated_at=START,
            checked_at=None,
            check_code=None,
        )


class MemoryLimits(SharedLimits):
    def __init__(self, store: MemoryStore, road: Road) -> None:
        self._store = store
        self._road = road

    async def reserve(self, scope: str, *, tokens: int, rate_per_s: float | None, burst: int) -> float:
        wait_s: float = await self._road(
            lambda: limits.reserve(self._store, scope, tokens=tokens, rate_per_s=rate_per_s, burst=burst)
        )
        return wait_s

    async def block(self, scope: str, for_s: float) -> None:
        await self._road(lambda: limits.block(self._store, scope, for_s))

    async def hold_slots(self, scope: str, token: UUID, *, wanted: int, max_slots: int, ttl_s: float) -> int:
        held: int = await self._road(
            lambda: limits.hold_slots(self._store, scope, token, wanted=wanted, max_slots=max_slots, ttl_s=ttl_s)
        )
        return held

    async def release_slots(self, scope: str, token: UUID) -> None:
        await self._road(lambda: limits.release_slots(self._store, scope, token))


class MemoryAbandoned(AbandonedRuns):
    def __init__(self, store: MemoryStore, road: Road) -> None:
        self._store = store
        self._road = road

    async def adopt_cancelled(self, *, owner: str, dead_for_s: float, ttl_s: float) -> Adopted | None:
        adopted: Adopted | None = await self._road(
            lambda: self._store.adopt_cancelled(dead_for_s=dead_for_s, ttl_s=ttl_s)
        )
        return adopted


class MemorySchedules(Schedules):
    def __init__(self, store: MemoryStore, road: Road) -> None:
        self._store = store
        self._road = road

    async def now(self) -> datetime:
        now: datetime = await self._road(self._store.now)
        return now

    async def due(self, *, without: Collection[SyncId], limit: int) -> Sequence[SyncId]:
        due: list[SyncId] = await self._road(lambda: schedules.due(self._store, without, limit))
        return due

    async def fire(self, sync_ids: Sequence[SyncId], announce: AnnounceRun) -> list[Fired]:
        fired: list[Fired] = await self._road(lambda: schedules.fire(self._store, sync_ids, announce))
        return fired
