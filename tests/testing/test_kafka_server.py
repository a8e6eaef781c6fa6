"""A broker to break: what it promises to tests of faults."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tailrace.testing.kafka_probe import has_broker
from tailrace.testing.kafka_server import KafkaServer
from tests.embedded.processes import an_owner, eventually, is_alive
from tests.testing.kafka_clients import first_message, make_topic, send, topics_of

pytestmark = pytest.mark.kafka

OWNS_A_BROKER = """
import asyncio, json
from tailrace.testing.kafka_server import KafkaServer
async def main():
    async with KafkaServer() as kafka:
        print(json.dumps({"pid": kafka.pid, "directory": str(kafka.directory)}), flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kafka() -> AsyncIterator[KafkaServer]:
    """One broker that these tests break in turn, each with a topic of its own."""
    async with KafkaServer() as server:
        yield server


async def test_messages_are_there_after_a_restart_at_the_same_address(kafka: KafkaServer) -> None:
    bootstrap = kafka.bootstrap
    await make_topic(bootstrap, "restarted")
    await send(bootstrap, "restarted", b"kept")

    await kafka.restart()

    assert kafka.bootstrap == bootstrap
    assert await first_message(bootstrap, "restarted") == b"kept"


async def test_confirmed_message_survives_a_kill(kafka: KafkaServer) -> None:
    await make_topic(kafka.bootstrap, "killed")
    await send(kafka.bootstrap, "killed", b"kept")

    await kafka.kill()
    is_down = not await has_broker(kafka.bootstrap)
    await kafka.start()

    assert is_down
    assert await first_message(kafka.bootstrap, "killed") == b"kept"


async def test_wiped_cluster_is_empty_and_serves_at_the_same_address(kafka: KafkaServer) -> None:
    bootstrap = kafka.bootstrap
    await make_topic(bootstrap, "wiped")

    await kafka.wipe()

    assert await topics_of(bootstrap) == []


async def test_frozen_broker_answers_nobody_until_it_is_thawed(kafka: KafkaServer) -> None:
    await kafka.freeze()
    is_mute = not await has_broker(kafka.bootstrap)
    kafka.thaw()

    assert is_mute
    assert await has_broker(kafka.bootstrap)


async def test_nothing_is_left_after_the_scope_even_of_a_frozen_broker() -> None:
    async with KafkaServer() as kafka:
        pid, directory = kafka.pid, kafka.directory
        await kafka.freeze()

    assert pid is not None
    assert not is_alive(pid)
    assert not directory.exists()


async def test_sigkill_of_the_owner_leaves_no_broker_and_no_files() -> None:
    with an_owner(OWNS_A_BROKER) as owner:
        found = await owner.told()

        owner.kill()

        assert await eventually(lambda: not is_alive(found["pid"]), 30)
        assert await eventually(lambda: not Path(found["directory"]).exists())
