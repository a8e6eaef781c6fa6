import asyncio
import json
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from tailrace.embedded.ports import free_port
from tests.cli.commands import COMMAND, tailrace, without_ours
from tests.embedded.processes import eventually, is_alive

_WAIT_S = 40.0

pytestmark = pytest.mark.timeout(120)


@dataclass(frozen=True, slots=True)
class Dev:
    """A `tailrace dev` that has said where it is."""

    process: asyncio.subprocess.Process
    said: Mapping[str, Any]

    async def end(self, number: signal.Signals) -> int:
        """Its exit code after the signal."""
        self.process.send_signal(number)
        async with asyncio.timeout(_WAIT_S):
            return await self.process.wait()

    async def get(self, path: str, token: str | None = None) -> tuple[int, Any]:
        """Status and JSON of a page of the API."""
        headers = {"Authorization": f"Bearer {token or self.said['token']}"}
        async with aiohttp.ClientSession(headers=headers) as session, session.get(self.said["url"] + path) as answer:
            return answer.status, await answer.json(content_type=None)


@asynccontextmanager
async def a_dev(*arguments: str, environment: Mapping[str, str] | None = None) -> AsyncIterator[Dev]:
    """`tailrace dev --json` with these arguments; it ends with the scope."""
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        "dev",
        "--json",
        *(arguments or ("--port", "0")),
        env={**without_ours(), **(environment or {})},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(_WAIT_S):
            line = await process.stdout.readline()
        yield Dev(process, json.loads(line))
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(_WAIT_S):
            await process.wait()


async def test_first_line_says_where_it_is_and_the_token_opens_it() -> None:
    async with a_dev() as dev:
        status, listed = await dev.get("/api/reverse-etl/syncs")

        assert set(dev.said) == {"url", "token", "database_url", "workspace_id", "pid"}
        assert dev.said["pid"] == dev.process.pid
        assert (status, listed["data"]) == (200, [])
        assert (await dev.get("/api/reverse-etl/syncs", token="trc_wrong"))[0] == 401


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
async def test_it_ends_with_zero_and_leaves_no_server_behind(number: signal.Signals) -> None:
    async with a_dev() as dev:
        server, folder = await server_of(dev)

        assert await dev.end(number) == 0

        assert not is_alive(server)
        assert not folder.exists()


async def test_nothing_is_left_behind_when_it_is_killed() -> None:
    async with a_dev() as dev:
        server, folder = await server_of(dev)

        await dev.end(signal.SIGKILL)

        assert await eventually(lambda: not is_alive(server) and not folder.exists(), within_s=30)


async def test_directory_keeps_workspace_token_and_data(place: Path) -> None:
    async with a_dev("--port", "0", "--data-dir", str(place)) as first:
        before = first.said
        assert await first.end(signal.SIGTERM) == 0

    async with a_dev("--port", "0", "--data-dir", str(place)) as second:
        assert second.said["token"] == before["token"]
        assert second.said["workspace_id"] == before["workspace_id"]
        assert (await second.get("/api/sources"))[0] == 200


async def test_directory_that_survived_a_kill_opens_again(place: Path) -> None:
    async with a_dev("--port", "0", "--data-dir", str(place)) as first:
        before = first.said
        server, _ = await server_of(first)
        await first.end(signal.SIGKILL)
        assert await eventually(lambda: not is_alive(server), within_s=30)

    async with a_dev("--port", "0", "--data-dir", str(place)) as second:
        assert second.said["token"] == before["token"]


async def test_secrets_in_the_directory_are_for_its_owner_alone(place: Path) -> None:
    async with a_dev("--port", "0", "--data-dir", str(place)):
        modes = {path.name: path.stat().st_mode & 0o777 for path in place.iterdir() if path.is_file()}

    assert modes == {"secret_key": 0o600, "token": 0o600}


async def test_port_is_the_one_that_was_asked_for() -> None:
    port = free_port()

    async with a_dev("--port", str(port)) as dev:
        assert dev.said["url"] == f"http://127.0.0.1:{port}"


async def test_taken_port_is_refused_before_anything_starts() -> None:
    async with a_dev() as dev:
        port = dev.said["url"].rpartition(":")[2]

        ended = await tailrace("dev", "--port", port)

        assert (ended.code, ended.stdout) == (2, "")
        assert f"port {port} is taken" in ended.stderr


async def test_directory_in_use_is_refused(place: Path) -> None:
    async with a_dev("--port", "0", "--data-dir", str(place)):
        ended = await tailrace("dev", "--port", "0", "--data-dir", str(place))

        assert ended.code == 1
        assert "process" in ended.stderr


async def test_unknown_setting_is_refused() -> None:
    ended = await tailrace("dev", "--port", "0", environment={"TAILRACE_POLL": "1"})

    assert ended.code == 2
    assert "TAILRACE_POLL" in ended.stderr


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory to be made, where the server's own user may get."""
    parent = Path(tempfile.mkdtemp(prefix="tailrace-test-"))
    parent.chmod(0o755)
    yield parent / "home"
    shutil.rmtree(parent)


async def server_of(dev: Dev) -> tuple[int, Path]:
    """The PostgreSQL of a platform: its process, and the folder that it works in."""
    connection = await asyncpg.connect(dev.said["database_url"])
    try:
        backend = await connection.fetchval("SELECT pg_backend_pid()")
        server = int(Path(f"/proc/{backend}/stat").read_text().rpartition(")")[2].split()[1])
        return server, Path(f"/proc/{server}/cwd").readlink()
    finally:
        await connection.close()
