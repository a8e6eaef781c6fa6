"""What every carrier of events keeps; a carrier's tests inherit `BusContract` and give it a `rig`."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from tailrace.bus.base import Bus, Message, Subscription
from tailrace.core.errors import BusUnavailable, Invalid
from tailrace.testing.received import by_key, collect, collect_by_both, collect_until, values

PARTITIONS = 4
"""How many partitions the topic of a rig has."""

_PUBLISH_S = 45.0
_LONG_S = 60.0


class BusRig(ABC):
    """A bus under test, an empty topic of its own, and ways to do to it what the world does."""

    bus: Bus
    topic: str
    bound_s: float
    """No call takes longer, whatever happens to the bus."""

    @abstractmethod
    async def put_foreign(self, value: bytes | None, *, key: bytes | None, headers: Mapping[str, bytes]) -> None:
        """Put a message on the topic as a producer does that is not ours."""

    @abstractmethod
    async def go_down(self) -> None:
        """Make the bus unreachable."""

    @abstractmethod
    async def come_back(self) -> None:
        """Make it reachable again, with all it held."""

    def message(self, value: str, *, key: str = "key") -> Message:
        """A message for the topic."""
        return Message(self.topic, key, value.encode(), {})

    @asynccontextmanager
    async def member(self, name: str, *, group: str = "group") -> AsyncIterator[Subscription]:
        """A member of a group that reads the topic."""
        async with self.bus.subscribe([self.topic], group=f"{self.topic}.{group}", member=name) as subscription:
            yield subscription


class BusContract:
    """The promises of `tailrace.bus.base`, each as a test."""

    async def test_message_comes_with_its_key_its_value_and_its_headers(self, rig: BusRig) -> None:
        message = Message(rig.topic, "a key", b"\x00a value\xff", {"ce_id": b"1", "traceparent": b"00"})

        await rig.bus.publish([message])

        async with rig.member("a") as member:
            [received] = await collect(member, 1)
        assert received.topic == rig.topic
        assert (received.key, received.value) == (b"a key", b"\x00a value\xff")
        assert received.headers == message.headers
        assert abs(received.timestamp_ms / 1000 - time.time()) < 60

    async def test_every_message_comes(self, rig: BusRig) -> None:
        await rig.bus.publish([rig.message(f"v{n}", key=f"k{n}") for n in range(500)])

        async with rig.member("a") as member:
            received = await collect(member, 500)

        assert sorted(values(received)) == sorted(f"v{n}" for n in range(500))
        assert len({(message.partition, message.offset) for message in received}) == 500

    async def test_messages_of_one_key_keep_their_order(self, rig: BusRig) -> None:
        async with asyncio.timeout(_PUBLISH_S):
            for first in range(0, 100, 10):
                await rig.bus.publish(
                    [rig.message(f"{n:03}", key=key) for n in range(first, first + 10) for key in "abcde"]
                )

        async with rig.member("a") as member:
            received = await collect(member, 500)

        assert by_key(received) == {key.encode(): [f"{n:03}" for n in range(100)] for key in "abcde"}

    async def test_a_key_stays_on_its_partition_and_keys_spread_over_them(self, rig: BusRig) -> None:
        await rig.bus.publish([rig.message(f"v{n}", key=f"k{n % 50}") for n in range(200)])

        async with rig.member("a") as member:
            received = await collect(member, 200)

        assert len({(message.key, message.partition) for message in received}) == 50
        assert {message.partition for message in received} == set(range(PARTITIONS))

    async def test_members_of_a_group_share_the_partitions(self, rig: BusRig) -> None:
        async with rig.member("a") as one, rig.member("b") as other:
            await rig.bus.publish([rig.message(f"v{n}", key=f"k{n}") for n in range(200)])
            of_one, of_other = await collect_by_both(one, other, 200)

        assert sorted(values([*of_one, *of_other])) == sorted(f"v{n}" for n in range(200))
        partitions_of_one = {message.partition for message in of_one}
        partitions_of_other = {message.partition for message in of_other}
        assert len(partitions_of_one) == len(partitions_of_other) == PARTITIONS // 2
        assert not partitions_of_one & partitions_of_other

    async def test_members_of_one_name_are_two_members(self, rig: BusRig) -> None:
        async with rig.member("a") as one, rig.member("a") as other:
            await rig.bus.publish([rig.message(f"v{n}", key=f"k{n}") for n in range(200)])
            of_one, of_other = await collect_by_both(one, other, 200)

        assert of_one
        assert of_other
        assert not {message.partition for message in of_one} & {message.partition for message in of_other}

    async def test_what_a_member_did_not_commit_comes_to_another_once_it_is_gone(self, rig: BusRig) -> None:
        await rig.bus.publish([rig.message(f"v{n}", key=f"k{n}") for n in range(20)])
        async with rig.member("a") as gone:
            await collect(gone, 20)

        async with rig.member("b") as heir:
            received = await collect(heir, 20)

        assert sorted(values(received)) == sorted(f"v{n}" for n in range(20))

    async def test_what_a_member_did_not_commit_comes_to_one_that_was_there_all_along(self, rig: BusRig) -> None:
        async with rig.member("b") as heir:
            async with rig.member("a") as gone:
                await rig.bus.publish([rig.message(f"v{n}", key=f"k{n}") for n in range(40)])
                of_gone, of_heir = await collect_by_both(gone, heir, 40)
                await heir.commit()
            received = await collect(heir, len(set(values(of_gone))))

        assert of_gone
        assert set(values(received)) | set(values(of_heir)) == {f"v{n}" for n in range(40)}

    async def test_member_that_restarts_under_its_name_gets_what_it_did_not_commit(self, rig: BusRig) -> None:
        await rig.bus.publish([rig.message(f"v{n}", key=f"k{n}") for n in range(20)])
        async with rig.member("a") as before:
            await collect(before, 20)

        async with rig.member("a") as after:
            received = await collect(after, 20)

        assert sorted(values(received)) == sorted(f"v{n}" for n in range(20))

    async def test_commit_keeps_the_place_over_a_restart(self, rig: BusRig) -> None:
        await rig.bus.publish([rig.message(f"old{n}", key=f"k{n}") for n in range(20)])
        async with rig.member("a") as before:
            await collect(before, 20)
            await before.commit()
        await rig.bus.publish([rig.message("new")])

        async with rig.member("a") as after:
            received = await collect(after, 1)
            rest = await after.receive(at_most=10, wait_s=1)

        assert values([*received, *rest]) == ["new"]

    async def test_commit_keeps_the_place_for_another_member(self, rig: BusRig) -> None:
        await rig.bus.publish([rig.message(f"old{n}", key=f"k{n}") for n in range(20)])
        async with rig.member("a") as before:
            await collect(before, 20)
            await before.commit()
        await rig.bus.publish([rig.message("new")])

        async with rig.member("b") as after:
            received = await collect(after, 1)

        assert values(received) == ["new"]

    async def test_second_group_gets_everything_too(self, rig: BusRig) -> None:
        await rig.bus.publish([rig.message(f"v{n}", key=f"k{n}") for n in range(20)])

        async with rig.member("a") as one, rig.member("a", group="second") as other:
            of_one = await collect(one, 20)
            await one.commit()
            of_other = await collect(other, 20)

        assert sorted(values(of_one)) == sorted(values(of_other)) == sorted(f"v{n}" for n in range(20))

    async def test_foreign_message_without_key_and_headers_comes_as_it_is(self, rig: BusRig) -> None:
        await rig.put_foreign(b"not json", key=None, headers={})

        async with rig.member("a") as member:
            [received] = await collect(member, 1)

        assert (received.key, received.value, dict(received.headers)) == (None, b"not json", {})

    async def test_foreign_message_without_a_value_comes_as_it_is(self, rig: BusRig) -> None:
        await rig.put_foreign(None, key=b"\xff\xfe", headers={"h": b"\xff"})

        async with rig.member("a") as member:
            [received] = await collect(member, 1)

        assert (received.key, received.value, dict(received.headers)) == (b"\xff\xfe", None, {"h": b"\xff"})

    async def test_foreign_message_may_be_larger_than_ours(self, rig: BusRig) -> None:
        await rig.put_foreign(b"x" * 900_000, key=b"k", headers={})

        async with rig.member("a") as member:
            [received] = await collect(member, 1)

        assert received.value == b"x" * 900_000

    async def test_value_larger_than_an_event_may_be_is_refused(self, rig: BusRig) -> None:
        await rig.bus.publish([rig.message("x" * 16 * 1024)])

        with pytest.raises(Invalid, match="16384"):
            await rig.bus.publish([rig.message("x" * (16 * 1024 + 1))])

        async with rig.member("a") as member:
            received = await collect(member, 1)
            rest = await member.receive(at_most=10, wait_s=1)
        assert [len(message.value or b"") for message in [*received, *rest]] == [16 * 1024]

    async def test_receive_ends_with_nothing_after_its_wait(self, rig: BusRig) -> None:
        async with rig.member("a") as member:
            began_at = time.monotonic()
            received = await member.receive(at_most=10, wait_s=0.3)
            took_s = time.monotonic() - began_at

        assert not received
        assert 0.2 < took_s < rig.bound_s

    async def test_receive_ends_as_soon_as_there_is_a_message(self, rig: BusRig) -> None:
        async with rig.member("a") as member, asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(member.receive(at_most=10, wait_s=_LONG_S))
            await asyncio.sleep(0)
            await rig.bus.publish([rig.message("now")])
            published_at = time.monotonic()
            received = await waiting
            took_s = time.monotonic() - published_at

        assert values(received) == ["now"]
        assert took_s < _LONG_S / 2

    async def test_receive_gives_no_more_than_was_asked_for(self, rig: BusRig) -> None:
        await rig.bus.publish([rig.message(f"v{n}") for n in range(10)])

        async with rig.member("a") as member:
            first = await collect(member, 3, at_most=3)
            rest = await collect(member, 7)

        assert values([*first, *rest]) == [f"v{n}" for n in range(10)]
        assert len(first) == 3

    async def test_publishing_nothing_is_nothing(self, rig: BusRig) -> None:
        await rig.bus.publish([])

        await rig.bus.check()

    async def test_bus_that_is_down_says_so_in_bounded_time(self, rig: BusRig) -> None:
        await rig.bus.publish([rig.message("before")])
        async with rig.member("a") as member:
            await collect(member, 1)
            await rig.go_down()

            began_at = time.monotonic()
            with pytest.raises(BusUnavailable):
                await rig.bus.publish([rig.message("lost?")])
            published_at = time.monotonic()
            with pytest.raises(BusUnavailable):
                await member.commit()
            committed_at = time.monotonic()
            with pytest.raises(BusUnavailable):
                await rig.bus.check()
            checked_at = time.monotonic()
        left_at = time.monotonic()

        assert published_at - began_at < rig.bound_s
        assert committed_at - published_at < rig.bound_s
        assert checked_at - committed_at < rig.bound_s
        assert left_at - checked_at < rig.bound_s

    async def test_nobody_joins_a_bus_that_is_down_and_learns_it_in_bounded_time(self, rig: BusRig) -> None:
        await rig.go_down()

        began_at = time.monotonic()
        with pytest.raises(BusUnavailable):
            async with rig.member("a"):
                pytest.fail("joined a bus that is down")

        assert time.monotonic() - began_at < rig.bound_s

    async def test_bus_takes_messages_again_once_it_is_back(self, rig: BusRig) -> None:
        await rig.bus.publish([rig.message("before")])
        await rig.go_down()
        with pytest.raises(BusUnavailable):
            await rig.bus.publish([rig.message("meanwhile")])

        await rig.come_back()
        await rig.bus.check()
        await rig.bus.publish([rig.message("after")])

        async with rig.member("a") as member:
            received = await collect_until(member, "after")
        assert received[0] == "before"

    async def test_member_goes_on_once_the_bus_is_back(self, rig: BusRig) -> None:
        await rig.bus.publish([rig.message("before")])
        async with rig.member("a") as member:
            await collect(member, 1)
            await rig.go_down()
            while_down = await member.receive(at_most=10, wait_s=1)
            await rig.come_back()
            await rig.bus.publish([rig.message("after")])

            received = await collect_until(member, "after")
            await member.commit()

        assert not while_down
        assert "after" in received
