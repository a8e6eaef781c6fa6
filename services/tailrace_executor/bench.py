"""What an executor works with: its repositories, and the pacers and breakers that its runs share."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from random import Random
from typing import Self

from tailrace.connector_kit.destination import Destination
from tailrace.connector_kit.http import HttpClient
from tailrace.connector_kit.registry import destination_type, warehouse_type
from tailrace.connector_kit.warehouse import Warehouse
from tailrace.core.clock import Clock
from tailrace.core.ids import RunId, SyncId
from tailrace.core.rows import RowKey
from tailrace.core.runs import Lease
from tailrace.core.snapshots import Entry
from tailrace.core.watermarks import Watermark
from tailrace.pipeline.breaker import Breaker, BreakerTerms
from tailrace.pipeline.deliver import Patience
from tailrace.pipeline.mirror import Census
from tailrace.pipeline.pace import Limits, Pacer
from tailrace.pipeline.spools import Spools
from tailrace.store.checkpoints import Checkpoints
from tailrace.store.connections import Connections, StoredConnection
from tailrace.store.dead_letters import DeadLetters
from tailrace.store.limits import SharedLimits
from tailrace.store.shards import Shards
from tailrace.store.shared_runs import SharedRuns
from tailrace.store.snapshots import Snapshots
from tailrace.store.syncs import Syncs
from tailrace_executor.ledger import LeaseTerms
from tailrace_executor.pauses import Pauses


@dataclass(frozen=True, slots=True)
class Bench:
    """Everything that the runs of one executor share.

    A run is shared out in parts of `rows_per_shard`, with 0 never; `sharing` are those that others work on too.
    """

    owner: str
    terms: LeaseTerms
    window_rows: int | None
    checkpoint_s: float
    patience: Patience
    shards: Shards
    shared_runs: SharedRuns
    checkpoints: Checkpoints
    snapshots: Snapshots
    connections: Connections
    syncs: Syncs
    dead_letters: DeadLetters
    limits: SharedLimits
    http: HttpClient
    clock: Clock
    random: Random
    warehouse_type: Callable[[str], type[Warehouse]] = warehouse_type
    destination_type: Callable[[str], type[Destination]] = destination_type
    breaker_terms: BreakerTerms = field(default_factory=BreakerTerms)
    pauses: Pauses = field(default_factory=Pauses)
    spools: Spools | None = None
    rows_per_shard: int = 0
    sharing: set[RunId] = field(default_factory=set)
    open_snapshots: Callable[[SyncId], AbstractAsyncContextManager[Snapshots]] | None = None
    pacers: dict[str, tuple[Limits, Pacer]] = field(default_factory=dict)
    breakers: dict[str, Breaker] = field(default_factory=dict)

    @asynccontextmanager
    async def of_sync(self, sync_id: SyncId) -> AsyncIterator[Self]:
        """The same with what is known of a sync's rows, wherever it is kept, for as long as the scope lasts."""
        if self.open_snapshots is None:
            yield self
            return
        async with self.open_snapshots(sync_id) as snapshots:
            yield replace(self, snapshots=snapshots)

    def pacer(self, destination: StoredConnection, *, else_per_s: float | None = None) -> Pacer:
        """The pacer of a destination, at this pace where it sets none; a new one where its limits were changed."""
        per_s = destination.requests_per_s or else_per_s
        hold_s = self.breaker_terms.hold_s
        limits = Limits(destination.id, per_s, destination.max_in_flight, self.patience.request_s, hold_s)
        known = self.pacers.get(destination.id)
        if known is None or known[0] != limits:
            known = limits, Pacer(limits, self.limits, self.clock)
            self.pacers[destination.id] = known
        return known[1]

    def breaker(self, destination: StoredConnection, *, has_waited: bool) -> Breaker:
        """The breaker of a destination, for a run that begins, or comes back after it has waited for it."""
        fresh = Breaker(self.breaker_terms, self.clock, self.random)
        breaker = self.breakers.setdefault(destination.id, fresh)
        breaker.welcome()
        if has_waited:
            breaker.doubt()
        return breaker


@dataclass(frozen=True, slots=True)
class SyncSnapshot:
    """The snapshot of one sync, whole, of some keys, or up to one, for the run that has the lease."""

    snapshots: Snapshots
    lease: Lease
    sync_id: SyncId
    only: Sequence[RowKey] | None
    until: RowKey | None = None

    async def entries(self, *, after: RowKey | None) -> AsyncIterator[Sequence[Entry]]:
        """Entries in key order behind a key, a list a page."""
        if self.only is None:
            async for page in self.snapshots.entries(self.sync_id, after=after, until=self.until):
                yield page
        else:
            known = await self.snapshots.entries_of(self.sync_id, self.only)
            yield [entry for entry in known if after is None or entry.key > after]

    async def merge(self) -> None:
        """Take in what this run has settled, so that it is seen."""
        await self.snapshots.merge(self.lease, self.sync_id)

    async def census(self) -> Census:
        """All that was delivered, and what of it this run would delete."""
        delivered, gone = await self.snapshots.census(self.sync_id)
        if self.only is not None:
            gone = sum([len(entries) async for entries in self.gone(after=None)])
        return Census(delivered, gone)

    async def gone(self, *, after: RowKey | None) -> AsyncIterator[Sequence[Entry]]:
        """Entries of rows that left the query, in key order behind a key, a list a page."""
        if self.only is None:
            async for page in self.snapshots.entries(self.sync_id, after=after, gone=True):
                yield page
        else:
            async for page in self.entries(after=after):
                yield [entry for entry in page if entry.is_gone]

    def all_entries(self) -> AsyncIterator[Sequence[Entry]]:
        """All entries of the sync, whichever this run is restricted to."""
        return self.snapshots.entries(self.sync_id)

    async def watermark(self) -> Watermark:
        """How far earlier runs, and this one, have settled all rows."""
        return await self.snapshots.watermark(self.sync_id)

    async def begin_anew(self, *, forget_rows: bool) -> None:
        """Have no watermark, and know no row if that is asked for too."""
        await self.snapshots.begin_anew(self.lease, self.sync_id, forget_rows=forget_rows)

    async def forget_before(self, value: str) -> None:
        """Forget rows whose cursor was below a value."""
        await self.snapshots.forget_before(self.lease, self.sync_id, value)
