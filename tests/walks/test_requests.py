"""Other services ask for runs by events, and do so more than once."""

from uuid import uuid4

import pytest

from tests.walks.flights import BY_HOUR, NEW_YEAR, open_warehouse, rows_in
from tests.walks.installation import SERVICES, Installation, way_in
from tests.walks.listener import Listener
from tests.walks.rows import NONE, compare
from tests.walks.sink import Sink
from tests.walks.syncs import a_flight_sync

pytestmark = [pytest.mark.walk, pytest.mark.xdist_group("kafka"), pytest.mark.timeout(90)]


async def test_request_that_is_redelivered_makes_one_run(
    installation: Installation, listener: Listener, flights_url: str, sink: Sink
) -> None:
    gateway, *_ = await installation.start(*SERVICES)
    async with way_in(installation, gateway) as door, open_warehouse(flights_url) as warehouse:
        sync = await a_flight_sync(door.admin, flights_url, sink, key=BY_HOUR, query=NEW_YEAR)
        flights = await rows_in(warehouse, NEW_YEAR)
        asked = {"event_id": str(uuid4()), "sync_id": sync.id, "requested_by": "billing"}
        another = {"event_id": str(uuid4()), "syncId": sync.id, "fullRefresh": True}

        # Twice while it waits or runs, once more when it is over; then another, which comes behind all of them.
        await listener.request(asked, key=sync.id)
        await listener.request(asked, key=sync.id)
        [first] = await sync.run_ids(1)
        ended = await sync.ended(first)
        await listener.request(asked, key=sync.id)
        await listener.request(another, key=sync.id)
        last, _ = await sync.run_ids(2)
        refreshed = await sync.ended(last)

        assert (ended.status, ended.accounts) == ("succeeded", {"read": len(flights), "delivered": len(flights)})
        assert (refreshed.status, refreshed.accounts) == (ended.status, ended.accounts)
        assert compare(sink.rows(), flights + flights) == NONE
        assert [run["id"] for run in await sync.runs()] == [last, first]
        assert [run["attributes"]["full_refresh"] for run in await sync.runs()] == [True, False]

    assert await installation.stop() == [0] * len(SERVICES)
    assert installation.complaints == []
