from collections.abc import Sequence

import pytest

from tailrace.bus.base import MAX_PUT_ASIDE_BYTES, Message
from tailrace.bus.memory import MemoryBus
from tailrace.core.errors import BusUnavailable, NotFound
from tests.bus.conftest import REQUESTED_TOPIC
from tests.bus.reading import DLQ, GROUP, Handled, reading, request, taken_from, uncommitted


class RefusingBus(MemoryBus):
    """Takes no messages the first two times."""

    refusals_left = 2

    async def publish(self, messages: Sequence[Message]) -> None:
        if self.refusals_left:
            self.refusals_left -= 1
            raise BusUnavailable("down")
        await super().publish(messages)


async def test_event_that_cannot_be_read_is_put_aside_as_it_came_and_the_next_is_handled(bus: MemoryBus) -> None:
    handled = Handled()
    bus.put(REQUESTED_TOPIC, b"\xff garbage", key=b"\xfekey", headers={"mine": b"\xfd"})
    request(bus, "sync_1")

    async with reading(bus, handled):
        await handled.until(lambda: len(handled.events) == 1)
        [aside] = await taken_from(bus, DLQ, 1)

    assert (aside.value, aside.key) == (b"\xff garbage", b"\xfekey")
    partition = (await taken_from_partition_of(bus, b"\xfekey")).encode()
    assert aside.headers == {
        "mine": b"\xfd",
        "__connect.errors.topic": REQUESTED_TOPIC.encode(),
        "__connect.errors.partition": partition,
        "__connect.errors.offset": b"0",
        "__connect.errors.connector.name": GROUP.encode(),
        "__connect.errors.stage": b"VALUE_CONVERTER",
        "__connect.errors.exception.class.name": b"Unreadable",
        "__connect.errors.exception.message": b"a header is not UTF-8",
        "tailrace_value_bytes": b"9",
    }
    assert await uncommitted(bus) == []


async def taken_from_partition_of(bus: MemoryBus, key: bytes) -> str:
    received = await taken_from(bus, REQUESTED_TOPIC, 2)
    return str(next(message.partition for message in received if message.key == key))


async def test_event_without_key_and_value_is_put_aside_empty(bus: MemoryBus) -> None:
    bus.put(REQUESTED_TOPIC, None)

    async with reading(bus, Handled()):
        [aside] = await taken_from(bus, DLQ, 1)

    assert (aside.value, aside.key) == (b"", b"")


async def test_value_beyond_the_limit_is_put_aside_cut_and_says_so(bus: MemoryBus) -> None:
    bus.put(REQUESTED_TOPIC, b"x" * (MAX_PUT_ASIDE_BYTES + 1))

    async with reading(bus, Handled()):
        [aside] = await taken_from(bus, DLQ, 1)

    assert aside.value == b"x" * MAX_PUT_ASIDE_BYTES
    assert aside.headers["tailrace_value_bytes"] == str(MAX_PUT_ASIDE_BYTES + 1).encode()


@pytest.mark.parametrize(
    ("failure", "told"),
    [(NotFound("no such sync"), b"no such sync"), (ValueError("secret row value"), b"ValueError")],
    ids=["ours", "a bug"],
)
async def test_event_that_fails_for_good_is_put_aside_and_the_next_is_handled(
    bus: MemoryBus, failure: Exception, told: bytes
) -> None:
    handled = Handled(failures=[failure])
    bus.put(REQUESTED_TOPIC, b'{"sync_id": "sync_1"}')
    bus.put(REQUESTED_TOPIC, b'{"sync_id": "sync_2"}')

    async with reading(bus, handled):
        await handled.until(lambda: len(handled.events) == 1)
        [aside] = await taken_from(bus, DLQ, 1)

    assert handled.sync_ids() == ["sync_2"]
    assert aside.value == b'{"sync_id": "sync_1"}'
    assert aside.headers["__connect.errors.stage"] == b"TASK_PUT"
    assert aside.headers["__connect.errors.exception.message"] == told
    assert await uncommitted(bus) == []


async def test_event_that_cannot_be_put_aside_yet_is_not_lost(bus: MemoryBus) -> None:
    shaky = RefusingBus()
    shaky.put(REQUESTED_TOPIC, b"garbage")

    async with reading(shaky, Handled()):
        [aside] = await taken_from(shaky, DLQ, 1)

    assert shaky.refusals_left == 0
    assert aside.value == b"garbage"
