"""The one Apache Kafka that all test processes of a checkout share, for as long as any of them needs it."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tailrace.core.errors import Unavailable
from tailrace.embedded.guarded_server import Charge, GuardedServer, Lifeline
from tailrace.testing.file_locks import is_held, locked
from tailrace.testing.kafka_node import LADDER, READY_S, KafkaNode
from tailrace.testing.kafka_probe import has_broker
from tailrace.testing.kafka_programs import CACHE, kafka_programs

_START_S = 120.0
_END_S = 40.0
_POLL_S = 0.05


def named_broker() -> str | None:
    """The broker that TAILRACE_TEST_KAFKA names for the tests; None: one of our own."""
    return os.environ.get("TAILRACE_TEST_KAFKA") or None


@dataclass(frozen=True, slots=True)
class SharedKafka:
    """A broker that starts with its first user and ends with its last, however they end.

    A user is a process that holds a shared lock on a file; the guard of the broker looks whether any is left.
    """

    directory: Path = CACHE / "shared"

    @asynccontextmanager
    async def used(self) -> AsyncIterator[str]:
        """The address of the broker, which stays for the scope.

        :raises Invalid: Java or Maven is missing; the message says what to do.
        :raises Unavailable: the programs cannot be had, or the broker did not start.
        """
        async with AsyncExitStack() as stack:
            async with locked(self.directory / "start.lock", wait_s=_START_S):
                await stack.enter_async_context(locked(self._users, shared=True, wait_s=_END_S))
                bootstrap = await self.running() or await self._start()
            yield bootstrap

    async def keep(self) -> str:
        """Have the broker run until `release`; gives its address."""
        async with self.used() as bootstrap:
            self._keep.touch()
            return bootstrap

    async def release(self) -> str:
        """End what `keep` began; says what came of it.

        :raises Unavailable: the broker goes on.
        """
        self._keep.unlink(missing_ok=True)
        if self._is_guarded() and is_held(self._users, shared=True):
            raise Unavailable("tests use the broker: it ends with them")
        await self._wait_for_end()
        return "no broker runs"

    async def running(self) -> str | None:
        """The address of the broker that runs and answers now."""
        if not self._is_guarded():
            return None
        bootstrap = self._told().get("bootstrap")
        return bootstrap if bootstrap and await has_broker(bootstrap) else None

    async def _start(self) -> str:
        await self._end_the_mute()
        self._keep.unlink(missing_ok=True)
        files = self.directory / "broker"
        node = KafkaNode.on_free_ports(await kafka_programs(), files)
        charge = Charge(
            name="Kafka",
            directory=self.directory,
            ladder=LADDER,
            remove_at_end=(files,),
            lifeline=Lifeline(users=self._users, keep=self._keep),
        )
        async with GuardedServer.open(charge) as server:
            self._state.write_text(json.dumps({"guard": server.guard_pid}))
            await server.start(node.steps_to_wipe(), node.is_ready, READY_S)
            state = {"guard": server.guard_pid, "broker": server.pid, "bootstrap": node.bootstrap}
            self._state.write_text(json.dumps(state))
        return node.bootstrap

    async def _end_the_mute(self) -> None:
        """A broker that runs and does not answer is of no use to anybody."""
        guard = self._told().get("guard")
        if self._is_guarded() and guard:
            with suppress(ProcessLookupError):
                os.kill(guard, signal.SIGTERM)
        await self._wait_for_end()

    async def _wait_for_end(self) -> None:
        try:
            async with asyncio.timeout(_END_S):
                while self._is_guarded():  # noqa: ASYNC110  # another process sets no event
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as error:
            raise Unavailable(f"the shared broker did not end within {_END_S:g} s") from error

    def _is_guarded(self) -> bool:
        return is_held(self.directory / "guard.lock")

    def _told(self) -> dict[str, Any]:
        with suppress(OSError, ValueError):
            told: dict[str, Any] = json.loads(self._state.read_text())
            return told
        return {}

    @property
    def _users(self) -> Path:
        return self.directory / "users.lock"

    @property
    def _keep(self) -> Path:
        return self.directory / "keep"

    @property
    def _state(self) -> Path:
        return self.directory / "broker.json"
