"""Kafka is away: runs are started, found and finished without it, and told of when it is back."""

import asyncpg
import pytest

from tailrace.testing.eventually import eventually
from tailrace.testing.kafka_server import KafkaServer
from tests.walks.flights import BY_HOUR, NEW_YEAR, open_warehouse, rows_in
from tests.walks.installation import SERVICES, Installation, way_in
from tests.walks.listener import open_listener
from tests.walks.rows import NONE, compare
from tests.walks.sink import Sink
from tests.walks.syncs import a_flight_sync

pytestmark = [pytest.mark.walk, pytest.mark.xdist_group("kafka"), pytest.mark.timeout(150)]

WAITING = "SELECT count(*) FROM outbox"


async def test_run_needs_no_kafka_and_is_told_of_when_kafka_is_back(
    own_kafka: KafkaServer, installation_on_own_kafka: Installation, flights_url: str, sink: Sink
) -> None:
    installation, site = installation_on_own_kafka, installation_on_own_kafka.site
    gateway, scheduler, *_ = await installation.start(*SERVICES, poll_s=1)
    async with way_in(installation, gateway) as door, open_warehouse(flights_url) as warehouse:
        sync = await a_flight_sync(door.admin, flights_url, sink, key=BY_HOUR, query=NEW_YEAR)
        flights = await rows_in(warehouse, NEW_YEAR)

        await own_kafka.kill()
        run = await sync.ended(await sync.start_as_connection())

        assert (run.status, run.accounts) == ("succeeded", {"read": len(flights), "delivered": len(flights)})
        assert compare(sink.rows(), flights) == NONE
        assert await _waiting(site.database_url) > 0

        await scheduler.first("relay.held")
        await own_kafka.start()
        async with open_listener(site.bootstrap, site.topic_prefix) as listener:
            queued = await listener.queued(run.id)
            finished = await listener.finished(run.id)
            batches = await listener.batches(run.id, delivered=len(flights))

        assert queued.sync_id == sync.id
        assert (finished.status, finished.delivered) == ("succeeded", len(flights))
        assert sum(batch.delivered for batch in batches) == len(flights)
        await eventually(lambda: _waiting(site.database_url), 0)

    assert await installation.stop() == [0] * len(SERVICES)
    assert installation.complaints == []


async def _waiting(database_url: str) -> int:
    """Events that wait for Kafka."""
    connection = await asyncpg.connect(database_url, timeout=10, command_timeout=10)
    try:
        count: int = await connection.fetchval(WAITING)
        return count
    finally:
        await connection.close(timeout=10)
