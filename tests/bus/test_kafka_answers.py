"""What a broker answers, and how late, is borne: nothing is lost, and what failed may be sent again."""

from contextlib import AbstractContextManager, nullcontext

import pytest
from aiokafka import errors
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import BrokerResponseError
from aiokafka.producer.sender import SendProduceReqHandler
from aiokafka.protocol.produce import ProduceResponse_v2

from tailrace.bus.base import Message
from tailrace.bus.kafka import KafkaBus
from tailrace.bus.kafka_access import KafkaAccess
from tailrace.bus.topics import make_missing_topics
from tailrace.core.errors import BusUnavailable
from tailrace.events.topics import Topic
from tailrace.testing.received import collect_until
from tests.bus.network import Network

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]


def answer_once(error: type[BrokerResponseError], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the library hear that error in place of the next answer to something sent."""
    understand = SendProduceReqHandler.handle_response

    def misunderstand(handler: SendProduceReqHandler, response: ProduceResponse_v2) -> None:
        monkeypatch.setattr(SendProduceReqHandler, "handle_response", understand)
        topics = [
            (topic, [(place[0], error.errno, *place[2:]) for place in places]) for topic, places in response.topics
        ]
        response.topics = topics
        handler.handle_response(response)

    monkeypatch.setattr(SendProduceReqHandler, "handle_response", misunderstand)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (errors.NotLeaderForPartitionError, nullcontext()),
        (errors.RequestTimedOutError, nullcontext()),
        (errors.NotEnoughReplicasError, nullcontext()),
        (errors.OutOfOrderSequenceNumber, pytest.raises(BusUnavailable)),
        (errors.InvalidProducerEpoch, pytest.raises(BusUnavailable)),
    ],
)
async def test_error_in_answer_to_a_send_loses_nothing_and_is_over_with_the_next(
    error: type[BrokerResponseError],
    outcome: AbstractContextManager[object],
    kafka_bootstrap: str,
    topic_prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    topic, access = f"{topic_prefix}.test", KafkaAccess(kafka_bootstrap)
    await make_missing_topics(access, [Topic(topic, 1)], replication_factor=1)
    async with KafkaBus.open(access) as bus:
        await bus.publish([Message(topic, "key", b"before", {})])

        answer_once(error, monkeypatch)
        with outcome:
            await bus.publish([Message(topic, "key", b"meanwhile", {})])
        await bus.publish([Message(topic, "key", b"after", {})])

        async with bus.subscribe([topic], group=topic_prefix, member="a") as member:
            received = await collect_until(member, "after")
    assert list(dict.fromkeys(received)) == ["before", "meanwhile", "after"]


async def test_slow_way_to_the_broker_delays_messages_and_loses_none(
    kafka_bootstrap: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic, access = f"{topic_prefix}.test", KafkaAccess(kafka_bootstrap)
    await make_missing_topics(access, [Topic(topic, 1)], replication_factor=1)
    async with Network.around(kafka_bootstrap, monkeypatch) as network, KafkaBus.open(access) as bus:
        network.delay_s = 0.1
        await bus.publish([Message(topic, "key", b"%d" % number, {}) for number in range(100)])

        async with bus.subscribe([topic], group=topic_prefix, member="a") as member:
            received = await collect_until(member, "99")
            await member.commit()

    assert received == [str(number) for number in range(100)]


async def test_message_that_is_too_large_for_its_topic_is_told_of_and_holds_up_no_other(
    kafka_bootstrap: str, topic_prefix: str
) -> None:
    narrow, wide, access = f"{topic_prefix}.narrow", f"{topic_prefix}.wide", KafkaAccess(kafka_bootstrap)
    await make_missing_topics(access, [Topic(wide, 1)], replication_factor=1)
    await make_narrow(kafka_bootstrap, narrow)
    async with KafkaBus.open(access) as bus:
        with pytest.raises(BusUnavailable, match="MessageSizeTooLarge"):
            await bus.publish([Message(narrow, "key", b"x" * 5_000, {})])

        await bus.publish([Message(wide, "key", b"fits", {})])

        async with bus.subscribe([wide], group=topic_prefix, member="a") as member:
            assert await collect_until(member, "fits") == ["fits"]


async def make_narrow(bootstrap: str, topic: str) -> None:
    """Make a topic that takes a kilobyte at once."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, 1, topic_configs={"max.message.bytes": "1000"})])
    finally:
        await admin.close()
