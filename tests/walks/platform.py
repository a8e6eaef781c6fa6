"""`tailrace dev` as a developer starts it: one process, found by the first line that it prints."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import ClientSession, ClientTimeout

from tests.cli.commands import COMMAND, without_ours
from tests.gateway.caller import Caller

_STARTS_WITHIN_S = 60.0
_ENDS_WITHIN_S = 40.0
_CALL_S = 20.0
# A destination that is out of order is asked for a second and not waited for.
_SOON_SURE = {"TAILRACE_OUTAGE_PROBE_S": "1", "TAILRACE_OUTAGE_LIMIT_S": "0"}


@dataclass(frozen=True, slots=True)
class Platform:
    """A platform that answers."""

    url: str
    token: str

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[Caller]:
        """Its admin."""
        async with ClientSession(timeout=ClientTimeout(_CALL_S)) as session:
            yield Caller(session, self.url, self.token)


@asynccontextmanager
async def open_platform(log: Path) -> AsyncIterator[Platform]:
    """A platform for as long as the scope lasts, which must end in order and without a complaint."""
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *(COMMAND, "dev", "--json", "--port", "0", "--log-level", "error"),
            env=without_ours() | _SOON_SURE,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
        )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(_STARTS_WITHIN_S):
            line = await process.stdout.readline()
        assert line, log.read_text()
        said = json.loads(line)
        yield Platform(said["url"], said["token"])
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(_ENDS_WITHIN_S):
            assert await process.wait() == 0, log.read_text()
        assert log.read_text() == ""
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
