import pytest
from aiokafka.admin import AIOKafkaAdminClient

from tailrace.bus.kafka_access import KafkaAccess
from tailrace.bus.topics import make_missing_topics
from tailrace.core.errors import BusUnavailable, Invalid
from tailrace.events.topics import Topic, TopicNames

pytestmark = [pytest.mark.kafka]


async def partitions(bootstrap: str, names: list[str]) -> dict[str, int]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        described = await admin.describe_topics(names)
    finally:
        await admin.close()
    return {topic["topic"]: len(topic["partitions"]) for topic in described}


async def test_all_topics_of_an_installation_are_made(kafka_bootstrap: str, topic_prefix: str) -> None:
    wanted = TopicNames(topic_prefix).all()

    made = await make_missing_topics(KafkaAccess(kafka_bootstrap), wanted, replication_factor=1)

    assert made == [topic.name for topic in wanted]
    assert await partitions(kafka_bootstrap, made) == {topic.name: topic.partitions for topic in wanted}


async def test_only_what_is_missing_is_made_and_what_is_there_stays(kafka_bootstrap: str, topic_prefix: str) -> None:
    access = KafkaAccess(kafka_bootstrap)
    first, second = f"{topic_prefix}.first", f"{topic_prefix}.second"
    await make_missing_topics(access, [Topic(first, 2)], replication_factor=1)

    made = await make_missing_topics(access, [Topic(first, 5), Topic(second, 3)], replication_factor=1)
    again = await make_missing_topics(access, [Topic(first, 5), Topic(second, 3)], replication_factor=1)

    assert (made, again) == ([second], [])
    assert await partitions(kafka_bootstrap, [first, second]) == {first: 2, second: 3}


async def test_more_replicas_than_brokers_are_refused_in_the_brokers_words(
    kafka_bootstrap: str, topic_prefix: str
) -> None:
    with pytest.raises(Invalid, match=r"refuses topic .*replication factor"):
        await make_missing_topics(KafkaAccess(kafka_bootstrap), [Topic(f"{topic_prefix}.x", 1)], replication_factor=100)


async def test_name_that_no_topic_can_have_is_refused(kafka_bootstrap: str) -> None:
    with pytest.raises(Invalid, match="refuses topic no name"):
        await make_missing_topics(KafkaAccess(kafka_bootstrap), [Topic("no name", 1)], replication_factor=1)


async def test_brokers_that_do_not_answer_are_told_of() -> None:
    with pytest.raises(BusUnavailable, match=r"127\.0\.0\.1:1 "):
        await make_missing_topics(KafkaAccess("127.0.0.1:1"), [Topic("x", 1)])
