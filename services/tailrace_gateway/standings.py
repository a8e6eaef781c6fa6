"""What is known of a sync's rows, wherever it is kept."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tailrace.core.errors import SourceUnavailable
from tailrace.core.ids import SyncId
from tailrace.core.waits import in_time
from tailrace.runtime.snapshot_tables import open_snapshots
from tailrace.store.standings import Standings
from tailrace.store.tabled_snapshots import TabledSnapshots
from tailrace_gateway.row_reading import LOOK_S
from tailrace_gateway.stores import Stores


@asynccontextmanager
async def standings_of(stores: Stores, sync_id: SyncId, *, within_s: float = LOOK_S) -> AsyncIterator[Standings]:
    """The rows of a sync, to be looked at while the scope lasts; a warehouse that has them is asked in bounded time.

    :raises Invalid, Unavailable: the warehouse that has them does not answer as it should, or not in time.
    """
    async with open_snapshots(stores.database, stores.connections, sync_id) as snapshots:
        if not isinstance(snapshots, TabledSnapshots):
            yield stores.standings
            return
        async with in_time(within_s, SourceUnavailable, "the warehouse did not tell what is known"):
            yield Standings(stores.database, snapshots)
