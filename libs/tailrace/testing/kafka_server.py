"""A real Apache Kafka of one's own, to stop, kill, freeze and wipe.

As a command, `python -m tailrace.testing.kafka_server start|stop|status`, it keeps the broker that the tests of
this checkout share.
"""

import argparse
import asyncio
import secrets
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

from tailrace.core.errors import TailraceError, Unavailable
from tailrace.embedded.guarded_server import Charge, GuardedServer
from tailrace.testing.kafka_node import LADDER, READY_S, KafkaNode
from tailrace.testing.kafka_programs import kafka_programs
from tailrace.testing.kafka_shared import SharedKafka, named_broker

_SESSION_TIMEOUT_MS = 3_000
_TAKEN = "Address already in use"
_ATTEMPTS = 3

_Opened = TypeVar("_Opened")


class KafkaServer:
    """A broker for the scope of `async with`, on free loopback ports that stay the same; its files are temporary.

    However this process ends, also by SIGKILL, the broker stops and its files go. One caller at a time.
    """

    def __init__(self, node: KafkaNode | None = None) -> None:
        self._chosen = node
        self._stack = AsyncExitStack()
        self._node: KafkaNode
        self._server: GuardedServer

    async def __aenter__(self) -> Self:
        """Fetch the programs where they are missing, start an empty cluster and wait until it answers.

        :raises Invalid: Java or Maven is missing; the message says what to do.
        :raises Unavailable: the programs cannot be had, or the broker did not start.
        """
        await (_on_other_ports(self._open) if self._chosen is None else self._open_on(self._chosen))
        return self

    async def _open(self) -> None:
        node = KafkaNode.on_free_ports(await kafka_programs(), _new_directory(), session_timeout_ms=_SESSION_TIMEOUT_MS)
        await self._open_on(node)

    async def _open_on(self, node: KafkaNode) -> None:
        self._node = node
        charge = Charge(name="Kafka", directory=node.directory, ladder=LADDER, remove_at_end=(node.directory,))
        async with AsyncExitStack() as stack:
            self._server = await stack.enter_async_context(GuardedServer.open(charge))
            # Nobody needs what an orderly end would write.
            stack.push_async_callback(self._server.kill)
            await self.start()
            self._stack = stack.pop_all()

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def bootstrap(self) -> str:
        """Address for clients."""
        return self._node.bootstrap

    @property
    def directory(self) -> Path:
        """Where the files are."""
        return self._node.directory

    @property
    def pid(self) -> int | None:
        """Process id of the broker; None where it is stopped."""
        return self._server.pid

    async def start(self) -> None:
        """Start the broker again after `stop` or `kill`, with what its disk holds."""
        await self._server.start(self._node.steps_to_start(), self._node.is_ready, READY_S)

    async def stop(self) -> None:
        """End the broker in order; its disk stays."""
        await self._server.stop()

    async def kill(self) -> None:
        """End the broker as a crash would; its disk stays."""
        await self._server.kill()

    async def restart(self) -> None:
        """Stop the broker and start it on the same disk."""
        await self.stop()
        await self.start()

    async def wipe(self) -> None:
        """Put a new, empty cluster in the place of this one: all topics, messages and groups are gone."""
        await self.kill()
        await self._server.start(self._node.steps_to_wipe(), self._node.is_ready, READY_S)

    async def freeze(self) -> None:
        """Stop the broker's clock: connections stay open and nothing answers."""
        await self._server.freeze()

    def thaw(self) -> None:
        """Let a frozen broker go on."""
        self._server.signal("SIGCONT")


@asynccontextmanager
async def kafka_cluster(size: int) -> AsyncIterator[list[KafkaServer]]:
    """So many brokers that are one cluster, all up: it bears the loss of less than half of them.

    :raises Invalid: as for one.
    :raises Unavailable: as for one.
    """
    async with AsyncExitStack() as stack:
        yield await _on_other_ports(partial(_open_cluster, size, stack))


async def _open_cluster(size: int, stack: AsyncExitStack) -> list[KafkaServer]:
    brokers = [KafkaServer(node) for node in KafkaNode.of_a_cluster(await kafka_programs(), _new_directory(), size)]
    async with AsyncExitStack() as opened:
        # At once, for none is ready before most are there.
        opening = (opened.enter_async_context(broker) for broker in brokers)
        for outcome in await asyncio.gather(*opening, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
        stack.push_async_callback(opened.pop_all().aclose)
    return brokers


async def _on_other_ports(attempt: Callable[[], Awaitable[_Opened]]) -> _Opened:
    """A port that was free when it was chosen may be taken by the time that the JVM is up: then try others."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return await attempt()
        except Unavailable as error:
            if _TAKEN not in error.message:
                raise
    return await attempt()


def _new_directory() -> Path:
    return Path(tempfile.gettempdir()) / f"tailrace-kafka-{secrets.token_hex(8)}"


def main() -> None:
    """Start, stop or look at the shared broker; the exit code is 1 where it is not as asked."""
    parser = argparse.ArgumentParser(prog="python -m tailrace.testing.kafka_server", description=__doc__)
    parser.add_argument("action", choices=["start", "stop", "status"])
    action = parser.parse_args().action
    try:
        answer, is_well = asyncio.run(_act(action))
    except TailraceError as error:
        answer, is_well = error.message, False
    sys.stdout.write(f"{answer}\n")
    sys.exit(0 if is_well else 1)


async def _act(action: str) -> tuple[str, bool]:
    if (named := named_broker()) is not None:
        return f"{named} (named by TAILRACE_TEST_KAFKA; not ours to {action})", action != "stop"
    shared = SharedKafka()
    match action:
        case "start":
            return await shared.keep(), True
        case "stop":
            return await shared.release(), True
        case _:
            running = await shared.running()
            return running or "no broker runs", running is not None


if __name__ == "__main__":
    main()
