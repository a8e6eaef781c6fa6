"""A bus within one process and event loop: groups, partitions and offsets as Kafka has them, nothing on disk."""

import asyncio
import time
import zlib
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from tailrace.bus.base import Bus, Message, Received, Subscription
from tailrace.core.errors import BusUnavailable

_Place = tuple[str, int]


class MemoryBus(Bus):
    """Topics come into being when they are first named. The oldest messages go when a partition is full."""

    def __init__(self, *, partitions: int = 4, kept_per_partition: int = 500) -> None:
        self._kept = kept_per_partition
        self._topics: dict[str, list[_Partition]] = defaultdict(lambda: [_Partition() for _ in range(partitions)])
        self._groups: dict[str, _Group] = defaultdict(_Group)
        self._is_down = False

    async def publish(self, messages: Sequence[Message]) -> None:
        self._answer()
        for message in messages:
            self._put(message.topic, message.key.encode(errors="surrogateescape"), message.value, message.headers)

    @asynccontextmanager
    async def subscribe(self, topics: Sequence[str], *, group: str, member: str) -> AsyncIterator[Subscription]:
        self._answer()
        joined = _Member(self, self._groups[group], topics)
        joined.group.members.append(joined)
        self._deal(joined.group)
        try:
            yield joined
        finally:
            joined.group.members.remove(joined)
            self._deal(joined.group)

    async def check(self) -> None:
        self._answer()

    def put(
        self, topic: str, value: bytes | None, *, key: bytes | None = None, headers: Mapping[str, bytes] | None = None
    ) -> None:
        """Put a message there as a foreign producer does: with or without key, headers and value, of any size."""
        self._put(topic, key, value, headers or {})

    def go_down(self) -> None:
        """Stop answering, as a cluster does that is lost; what was published stays."""
        self._is_down = True

    def come_back(self) -> None:
        """Answer again."""
        self._is_down = False
        self._wake()

    def _answer(self) -> None:
        if self._is_down:
            raise BusUnavailable("the in-memory bus is down")

    def _put(self, topic: str, key: bytes | None, value: bytes | None, headers: Mapping[str, bytes]) -> None:
        partitions = self._topics[topic]
        number = zlib.crc32(key) % len(partitions) if key is not None else 0
        partition = partitions[number]
        place = partition.first + len(partition.messages)
        now_ms = time.time_ns() // 1_000_000
        partition.messages.append(Received(topic, number, place, key, value, dict(headers), now_ms))
        partition.trim(self._kept)
        self._wake()

    def _deal(self, group: "_Group") -> None:
        """Share all partitions out among the members anew; each goes back to what the group has committed."""
        for member in group.members:
            member.positions = {}
        for topic in sorted({topic for member in group.members for topic in member.topics}):
            readers = [member for member in group.members if topic in member.topics]
            for number in range(len(self._topics[topic])):
                place = (topic, number)
                readers[number % len(readers)].positions[place] = group.committed.get(place, 0)
        self._wake()

    def _take(self, positions: dict[_Place, int], at_most: int) -> list[Received]:
        if self._is_down:
            return []
        taken: list[Received] = []
        for topic, number in list(positions):
            found = self._topics[topic][number].read(positions[topic, number], at_most - len(taken))
            if found:
                # Put behind the others, so that a busy partition starves none.
                del positions[topic, number]
                positions[topic, number] = found[-1].offset + 1
                taken += found
        return taken

    def _wake(self) -> None:
        for group in self._groups.values():
            for member in group.members:
                member.woken.set()


@dataclass(slots=True)
class _Partition:
    first: int = 0
    messages: list[Received] = field(default_factory=list)

    def read(self, position: int, at_most: int) -> list[Received]:
        start = max(position - self.first, 0)
        return self.messages[start : start + at_most]

    def trim(self, kept: int) -> None:
        """Drop a block at a time, so that a full partition does not move at each message."""
        if len(self.messages) >= 2 * kept:
            del self.messages[:kept]
            self.first += kept


class _Member(Subscription):
    def __init__(self, bus: MemoryBus, group: "_Group", topics: Sequence[str]) -> None:
        self._bus = bus
        self.group = group
        self.topics = frozenset(topics)
        self.positions: dict[_Place, int] = {}
        self.woken = asyncio.Event()

    async def receive(self, *, at_most: int, wait_s: float) -> Sequence[Received]:
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while True:
                    self.woken.clear()
                    if taken := self._bus._take(self.positions, at_most):  # noqa: SLF001 - two halves of one thing
                        return taken
                    await self.woken.wait()
        return ()

    async def commit(self) -> None:
        await self._bus.check()
        self.group.committed.update(self.positions)


@dataclass(slots=True)
class _Group:
    committed: dict[_Place, int] = field(default_factory=dict)
    members: list[_Member] = field(default_factory=list)
