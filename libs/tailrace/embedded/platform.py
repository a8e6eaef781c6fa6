"""All services in one process, on a PostgreSQL and a bus in the box: for development and for the demo."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from tailrace.core.errors import Invalid, Unavailable
from tailrace.core.ids import WorkspaceId
from tailrace.core.waits import pause
from tailrace.embedded.home import Home
from tailrace.embedded.ports import LOOPBACK, free_port, is_free
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace.runtime.chassis import open_chassis
from tailrace.runtime.ending import Ending
from tailrace.runtime.lifecycle import serve_all
from tailrace.runtime.service import Chassis, Service
from tailrace.runtime.settings import Settings, load_settings
from tailrace.store.migrations import upgrade
from tailrace.store.tokens import NewToken, Role, Tokens
from tailrace.store.workspaces import Workspaces

DATABASE = "tailrace_state"
WORKSPACE = "dev"

_ANSWERS_WITHIN_S = 30.0
_LOOK_AGAIN_S = 0.02


@dataclass(frozen=True, slots=True)
class Options:
    """How a platform on one machine is set up. Port 0 takes a free one; no directory keeps nothing."""

    data_dir: Path | None = None
    port: int = 0


@dataclass(frozen=True, slots=True)
class Platform:
    """A platform that answers."""

    url: str
    token: str
    database_url: str
    workspace_id: WorkspaceId
    postgres: EmbeddedPostgres
    ending: Ending


Use = Callable[[Platform], Coroutine[None, None, None]]
"""What is done with a platform once it answers, cancelled at its ending; the platform outlives what returns."""


async def run_platform(services: Sequence[Service], options: Options, ending: Ending, use: Use) -> None:
    """Serve until the ending, all in this process.

    :raises Invalid: the port or the directory cannot be used, or there is no PostgreSQL on this machine.
    :raises Conflict: another process uses the directory.
    """
    home = Home(options.data_dir)
    port = _usable(options.port)
    async with home.postgres() as postgres:
        dsn = await postgres.ensure_database(DATABASE)
        await upgrade(dsn)
        settings = _settings(home, dsn, port)
        async with ending.bounded(), open_chassis(settings, "dev", ending.stopping) as chassis:
            token, workspace_id = await _way_in(chassis, home)
            platform = Platform(
                url=f"http://{LOOPBACK}:{port}",
                token=token,
                database_url=dsn,
                workspace_id=workspace_id,
                postgres=postgres,
                ending=ending,
            )
            async with asyncio.TaskGroup() as group:
                group.create_task(serve_all(services, chassis))
                group.create_task(_use(platform, port, use))


async def _use(platform: Platform, port: int, use: Use) -> None:
    stopping = platform.ending.stopping
    await _answers(port, stopping)
    if stopping.is_set():
        return
    async with asyncio.TaskGroup() as group:
        using, told = group.create_task(use(platform)), group.create_task(stopping.wait())
        await asyncio.wait({using, told}, return_when=asyncio.FIRST_COMPLETED)
        using.cancel()
        told.cancel()


async def _answers(port: int, stopping: asyncio.Event) -> None:
    """Wait until somebody listens on the port, or the platform is to end."""
    try:
        async with asyncio.timeout(_ANSWERS_WITHIN_S):
            while not stopping.is_set() and not await _is_open(port):
                await pause(stopping, _LOOK_AGAIN_S)
    except TimeoutError as error:
        raise Unavailable(f"the gateway does not listen after {_ANSWERS_WITHIN_S:g} s") from error


async def _is_open(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    writer.close()
    return True


def _usable(port: int) -> int:
    if port and not is_free(port):
        raise Invalid(f"port {port} is taken: name another, or 0 to get a free one")
    return port or free_port()


def _settings(home: Home, dsn: str, port: int) -> Settings:
    return load_settings(
        Settings,
        database_url=SecretStr(dsn),
        secret_key=home.secret_key(),
        host=LOOPBACK,
        port=port,
        ops_host=LOOPBACK,
        ops_port=0,
        allow_private_destinations=True,
    )


async def _way_in(chassis: Chassis, home: Home) -> tuple[str, WorkspaceId]:
    """The kept token where it still opens, or a fresh one; and the workspace that it opens."""
    tokens = Tokens(chassis.database, chassis.box)
    kept = home.token()
    identity = await tokens.verify(kept)
    if identity is not None:
        return kept, identity.workspace_id
    workspace = await Workspaces(chassis.database).create(WORKSPACE)
    _, text = await tokens.create(NewToken(workspace.id, "made at the first start", Role.ADMIN))
    home.keep_token(text)
    return text, workspace.id
