"""A cluster of three brokers, of which one is lost, then one more, which is one too many."""

import asyncio
from dataclasses import replace

import pytest

from tailrace.events.topics import TopicNames
from tailrace.store.database import Database
from tailrace.testing.kafka_server import kafka_cluster
from tests.bus.platform import WAITS, Platform

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]


async def test_one_broker_of_three_is_not_missed_and_two_are_waited_for(database: Database, topic_prefix: str) -> None:
    async with kafka_cluster(3) as (first, second, third):
        bootstrap = ",".join(broker.bootstrap for broker in (first, second, third))
        names, waits = TopicNames(topic_prefix), replace(WAITS, publish_s=6, request_s=3, join_s=20)
        async with Platform.over(bootstrap, database, names, waits=waits, replicas=3) as platform:
            await first.kill()
            await platform.write(*range(1, 20))
            await platform.has_handled(*range(1, 20))
            await platform.has_sent_all()

            await second.kill()
            await platform.write(*range(20, 40))
            await platform.has_tried_to_send()
            waiting = await platform.pending()

            await asyncio.gather(first.start(), second.start())
            await platform.has_handled(*range(20, 40))
            await platform.has_sent_all()
        assert waiting == 20
