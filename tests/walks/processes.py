"""The services as processes of their own, each with its probes and its log file."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tailrace.embedded.ports import LOOPBACK
from tests.cli.commands import COMMAND, without_ours

Line = dict[str, Any]

_READY_S = 90.0
_STOP_S = 40.0
_LOOK_S = 0.05
_TAIL_LINES = 20


@dataclass(frozen=True, slots=True)
class ServiceProcess:
    """A service that runs, or ran."""

    pod_name: str
    child: asyncio.subprocess.Process
    log: Path

    @property
    def lines(self) -> list[Line]:
        """What it has logged; a line that is no JSON object is an event of its own."""
        return [_line(raw) for raw in self.log.read_text().splitlines()]

    def all(self, event: str) -> list[Line]:
        """The lines of that event so far."""
        return [line for line in self.lines if line.get("event") == event]

    async def first(self, event: str) -> Line:
        """The first line of that event, once it is there."""

        async def logged() -> bool:
            return bool(self.all(event))

        await self._until(logged, f"logs {event}")
        return self.all(event)[0]

    async def ready(self) -> None:
        """Return once /readyz says so."""
        port = (await self.first("process.opened"))["ops_port"]
        async with aiohttp.ClientSession(f"http://{LOOPBACK}:{port}") as session:

            async def answers() -> bool:
                async with session.get("/readyz") as response:
                    return response.status == 200

            await self._until(answers, "is ready")

    async def stop(self) -> int:
        """End it by SIGTERM; gives its exit code."""
        if self.child.returncode is None:
            self.child.send_signal(signal.SIGTERM)
        async with asyncio.timeout(_STOP_S):
            return await self.child.wait()

    async def kill(self) -> None:
        """End it so that it can do nothing about it."""
        if self.child.returncode is None:
            self.child.kill()
        await self.child.wait()

    async def _until(self, holds: Callable[[], Awaitable[bool]], what: str) -> None:
        try:
            async with asyncio.timeout(_READY_S):
                while self.child.returncode is None and not await holds():  # noqa: ASYNC110 - a process sets no event
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            pytest.fail(f"{self.pod_name}: not within {_READY_S:g} s that it {what}\n{self._tail}")
        if self.child.returncode is not None:
            pytest.fail(f"{self.pod_name} ended with {self.child.returncode} before it {what}\n{self._tail}")

    @property
    def _tail(self) -> str:
        return "\n".join(self.log.read_text().splitlines()[-_TAIL_LINES:])


@asynccontextmanager
async def a_service(
    name: str, pod_name: str, log: Path, environment: Mapping[str, str]
) -> AsyncIterator[ServiceProcess]:
    """`tailrace <name>` with, of TAILRACE_ variables, these alone; killed when the scope is left."""
    with log.open("wb") as stderr:
        child = await asyncio.create_subprocess_exec(
            COMMAND, name, env={**without_ours(), **environment}, stdout=stderr, stderr=stderr
        )
    service = ServiceProcess(pod_name, child, log)
    try:
        yield service
    finally:
        await service.kill()


def _line(raw: str) -> Line:
    if raw.startswith("{"):
        line: Line = json.loads(raw)
        return line
    return {"event": raw, "level": "error", "logger": ""}
