"""Clients of a gateway that is a process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import ClientSession, ClientTimeout, TCPConnector

from tailrace.core.ids import WorkspaceId
from tailrace.embedded.ports import LOOPBACK
from tailrace.store.tokens import NewToken, Role, Tokens
from tests.faults.ground import Ground
from tests.gateway.caller import Caller
from tests.walks.processes import ServiceProcess

_CALL_S = 120.0


@asynccontextmanager
async def open_session() -> AsyncIterator[ClientSession]:
    """Connections of clients, as many as they like."""
    async with ClientSession(timeout=ClientTimeout(_CALL_S), connector=TCPConnector(limit=0)) as session:
        yield session


async def token_of(ground: Ground, workspace_id: WorkspaceId) -> str:
    """A fresh token of an editor."""
    _, token = await Tokens(ground.chassis.database, ground.chassis.box).create(
        NewToken(workspace_id, "a client", Role.EDITOR)
    )
    return token


async def caller_of(gateway: ServiceProcess, session: ClientSession, token: str) -> Caller:
    """Somebody who calls that gateway, once it listens."""
    return Caller(session, f"http://{LOOPBACK}:{(await gateway.first('gateway.opened'))['port']}", token)


async def gauge_of(service: ServiceProcess, name: str) -> int:
    """The sum of a metric over its labels, as the process tells it."""
    port = (await service.first("process.opened"))["ops_port"]
    async with open_session() as session, session.get(f"http://{LOOPBACK}:{port}/metrics") as response:
        lines = (await response.text()).splitlines()
    return sum(round(float(line.rpartition(" ")[2])) for line in lines if line.startswith(f"{name}{{"))
