"""Sends what this process has just committed, at once; what it cannot send, relays find that look everywhere."""

import asyncio
from collections.abc import Callable, Collection

import structlog

from tailrace.bus.backoff import Backoff
from tailrace.bus.base import Bus
from tailrace.bus.relay import Outbox, Relay
from tailrace.core.errors import Unavailable
from tailrace.core.waits import pause
from tailrace.events.topics import TopicNames
from tailrace.observe import fields

LANES = 2
"""Rounds that are on their way at once, over different shards."""

GATHER_S = 0.02
"""So long a lane that has sent something waits for more, so that a rush takes few rounds. The first goes at once."""

_BEAT_EVERY_S = 15.0

_log = structlog.get_logger(__name__)


class Courier:
    """Works only when it is told to: an idle one asks nobody anything."""

    def __init__(self, outbox: Outbox, bus: Bus, *, topic_prefix: str, beat: Callable[[], None]) -> None:
        self._relay = Relay(outbox, bus, TopicNames(topic_prefix))
        self._beat = beat
        self._told: set[int] = set()
        self._awake = asyncio.Event()

    def tell(self, shards: Collection[int]) -> None:
        """Events were just committed to these shards of the outbox."""
        self._told.update(shards)
        self._awake.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Send until `stopping` is set, through every outage of the store and the bus, and finish what is under way."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(LANES):
                tasks.create_task(self._send_what_is_told(stopping))
            await stopping.wait()
            self._awake.set()

    async def _send_what_is_told(self, stopping: asyncio.Event) -> None:
        backoff = Backoff()
        shards: set[int] = set()
        while not stopping.is_set():
            self._beat()
            shards |= self._told
            self._told.clear()
            if not shards:
                await self._rest()
                continue
            try:
                sent = await self._relay.send_some(among=shards)
            except Unavailable as error:
                await self._hold(error, backoff.next_s(), stopping)
                continue
            backoff.reset()
            # Whoever holds a shard looks again when it is done, so that what came meanwhile waits for nobody.
            if sent:
                await pause(stopping, GATHER_S)
            else:
                shards.clear()

    async def _rest(self) -> None:
        self._awake.clear()
        await pause(self._awake, _BEAT_EVERY_S)

    async def _hold(self, error: Unavailable, wait_s: float, stopping: asyncio.Event) -> None:
        _log.info("events.held", code=error.code, error=error.message, **{fields.WAIT_S: wait_s})
        await pause(stopping, wait_s)
