"""Services in processes of their own, as an orchestrator runs them."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

SECRET_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
_WAIT_S = 20.0

Line = dict[str, Any]


@dataclass
class Process:
    """A running service and what it has logged so far."""

    child: asyncio.subprocess.Process
    lines: list[Line] = field(default_factory=list)
    raw: bytes = b""

    async def logged(self, event: str) -> Line:
        """The next line of that event, or the first that was there already."""
        async with asyncio.timeout(_WAIT_S):
            while not (found := self.all(event)):
                await self._read()
        return found[-1]

    def all(self, event: str) -> list[Line]:
        """The lines of that event so far."""
        return [line for line in self.lines if line["event"] == event]

    async def ended(self) -> int:
        """The exit code, once it has ended; every line is read then."""
        async with asyncio.timeout(_WAIT_S):
            while await self._read():
                pass
            return await self.child.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.child.send_signal(number)

    async def address(self) -> str:
        """Where its probes are."""
        return f"http://127.0.0.1:{(await self.logged('process.opened'))['ops_port']}"

    async def _read(self) -> bool:
        assert self.child.stderr is not None
        raw = await self.child.stderr.readline()
        self.raw += raw
        if raw.startswith(b"{"):
            self.lines.append(json.loads(raw))
        return bool(raw)


@asynccontextmanager
async def a_process(*arguments: str, environment: Mapping[str, str]) -> AsyncIterator[Process]:
    """A Python process with these arguments and, of TAILRACE_ variables, these alone; killed at the end."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        env={**_without_ours(), **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=1_000_000,
    )
    try:
        yield Process(child)
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()


def tiny(work: str, database_url: str, **settings: str) -> AbstractAsyncContextManager[Process]:
    """The tiny service at that work."""
    return a_process("-m", "tests.runtime.tiny_service", work, environment=environment(database_url, **settings))


def environment(database_url: str, **settings: str) -> dict[str, str]:
    """The least that a service needs, and more."""
    least = {"DATABASE_URL": database_url, "SECRET_KEY": SECRET_KEY, "OPS_PORT": "0"}
    return {f"TAILRACE_{name}": value for name, value in {**least, **settings}.items()}


async def asked(url: str) -> tuple[int, Any]:
    """Status and JSON of a page."""
    async with aiohttp.ClientSession() as session, session.get(url, timeout=aiohttp.ClientTimeout(5)) as response:
        return response.status, await response.json()


async def becomes(holds: Callable[[], Awaitable[object]], wanted: object) -> None:
    """Return once the awaited answer is the wanted one."""
    async with asyncio.timeout(_WAIT_S):
        while await holds() != wanted:  # noqa: ASYNC110 - another process sets no event
            await asyncio.sleep(0.05)


def _without_ours() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
