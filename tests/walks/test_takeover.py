"""A crash in the middle of a run: another executor goes on where the last checkpoint stands."""

import signal
from itertools import pairwise

import asyncpg
import pytest

from tailrace.store.database import ALL_WORKSPACES
from tests.walks.flights import BY_HOUR, EVERYTHING, ROWS, open_warehouse, rows_in
from tests.walks.installation import SERVICES, Installation, way_in
from tests.walks.listener import Listener
from tests.walks.rows import NONE, compare
from tests.walks.sink import Sink
from tests.walks.syncs import a_flight_sync

pytestmark = [pytest.mark.walk, pytest.mark.xdist_group("kafka"), pytest.mark.timeout(300)]

WINDOW_ROWS = 2000
# As short as the rules between them allow, so that a dead executor is missed soon.
SHORT_LEASES = {
    "lease_ttl_s": 8,
    "heartbeat_s": 1,
    "lease_margin_s": 1,
    "takeover_grace_s": 1,
    "database_acquire_s": 2,
    "database_command_s": 4,
    "poll_s": 1,
    "window_rows": WINDOW_ROWS,
}
TAKEN_OVER_WITHIN_S = 30.0
OWNER = "SELECT lease_owner FROM run_shards WHERE run_id = $1"


async def test_run_whose_executor_is_killed_is_finished_by_another_without_loss(
    installation: Installation, listener: Listener, flights_url: str, sink: Sink
) -> None:
    gateway, *_ = await installation.start(*SERVICES, **SHORT_LEASES)
    await installation.start("executor", **SHORT_LEASES)
    async with way_in(installation, gateway) as door, open_warehouse(flights_url) as warehouse:
        sync = await a_flight_sync(door.admin, flights_url, sink, key=BY_HOUR)

        run_id = await sync.start()
        await sink.holds(ROWS // 3)
        killed = installation.service(await _owner(installation.site.database_url, run_id))
        await killed.kill()
        before = sink.page
        run = await sync.ended(run_id)

        assert 0 < sink.rows(since=before).total() < ROWS
        assert (run.status, run.accounts) == ("succeeded", {"read": ROWS, "delivered": ROWS})
        flights = await rows_in(warehouse, EVERYTHING)
        difference = compare(sink.rows(), flights)
        assert (difference.lost, difference.invented) == (0, 0)
        assert difference.repeated <= WINDOW_ROWS
        assert compare(sink.rows_once_by_key(), flights) == NONE
        batches = await listener.batches(run_id, delivered=ROWS)
        assert sum(batch.delivered for batch in batches) == ROWS
        assert len({batch.epoch for batch in batches}) == 2
        silences = [later.at - sooner.at for sooner, later in pairwise(sink.ledger)]
        assert max(silences) < TAKEN_OVER_WITHIN_S

    assert killed.child.returncode == -signal.SIGKILL
    assert await installation.stop() == [0] * len(SERVICES)
    assert installation.complaints == []


async def _owner(database_url: str, run_id: str) -> str:
    """The executor that works on the run."""
    connection = await asyncpg.connect(database_url, timeout=10, command_timeout=10, server_settings=ALL_WORKSPACES)
    try:
        owner: str = await connection.fetchval(OWNER, run_id)
        return owner
    finally:
        await connection.close(timeout=10)
