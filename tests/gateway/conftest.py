"""A gateway that answers, with a workspace, a token of each role, a source, a destination and a sync."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from tailrace.bus.memory import MemoryBus
from tailrace.core.clock import SystemClock
from tailrace.core.ids import WorkspaceId
from tailrace.runtime.health import Health
from tailrace.runtime.service import Chassis
from tailrace.runtime.settings import Settings
from tailrace.store.database import Database
from tailrace.store.secrets import SecretBox
from tailrace.store.tokens import NewToken, Role
from tailrace.store.workspaces import Workspaces
from tailrace.testing.fake_http import FakeHttp
from tailrace_gateway.app import make_app
from tailrace_gateway.routes import ROUTES
from tailrace_gateway.stores import Stores, open_stores
from tests.gateway.caller import A_DESTINATION, A_SOURCE, Caller, a_sync
from tests.gateway.engine import Engine

PLATFORM_TOKEN = "a-platform-token-of-tests-" + "x" * 32
A_KEY = base64.b64encode(os.urandom(32)).decode()


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway and what it works with."""

    session: ClientSession
    url: str
    stores: Stores
    http: FakeHttp
    chassis: Chassis
    app: web.Application

    async def workspace(self) -> WorkspaceId:
        """A fresh workspace."""
        return (await Workspaces(self.stores.database).create("some")).id

    async def caller(self, workspace_id: WorkspaceId, role: Role = Role.ADMIN) -> Caller:
        """Somebody with a token of the workspace."""
        _, text = await self.stores.tokens.create(NewToken(workspace_id, "of a test", role))
        return Caller(self.session, self.url, text)


@pytest.fixture
def box() -> SecretBox:
    return SecretBox.from_setting(A_KEY)


@pytest_asyncio.fixture
async def chassis(database_url: str, box: SecretBox) -> AsyncIterator[Chassis]:
    settings = Settings(
        database_url=SecretStr(database_url), secret_key=SecretStr(A_KEY), allow_private_destinations=True
    )
    stopping = asyncio.Event()
    async with Database.open(database_url, application_name="test") as database:
        yield Chassis(
            settings=settings,
            database=database,
            bus=MemoryBus(),
            box=box,
            health=Health(clock=SystemClock(), stopping=stopping),
            stopping=stopping,
            clock=SystemClock(),
        )


@pytest_asyncio.fixture
async def gateway(chassis: Chassis) -> AsyncIterator[Gateway]:
    http = FakeHttp()
    stores = open_stores(chassis, http)
    app = make_app(stores, ROUTES, platform_token=SecretStr(PLATFORM_TOKEN))
    async with TestServer(app) as server, ClientSession() as session:
        yield Gateway(session, str(server.make_url("")).rstrip("/"), stores, http, chassis, app)


@pytest_asyncio.fixture
async def workspace_id(gateway: Gateway) -> WorkspaceId:
    return await gateway.workspace()


@pytest_asyncio.fixture
async def admin(gateway: Gateway, workspace_id: WorkspaceId) -> Caller:
    return await gateway.caller(workspace_id)


@pytest_asyncio.fixture
async def stranger(gateway: Gateway) -> Caller:
    """The admin of another workspace."""
    return await gateway.caller(await gateway.workspace())


@pytest_asyncio.fixture
async def source_id(admin: Caller) -> str:
    return await admin.made("/api/sources", A_SOURCE)


@pytest_asyncio.fixture
async def destination_id(admin: Caller) -> str:
    return await admin.made("/api/destinations", A_DESTINATION)


@pytest_asyncio.fixture
async def sync_id(admin: Caller, source_id: str, destination_id: str) -> str:
    return await admin.made("/api/reverse-etl/syncs", a_sync(destination_id))


@pytest.fixture
def engine(gateway: Gateway) -> Engine:
    return Engine(gateway.stores.database)


@pytest_asyncio.fixture
async def another_sync_id(admin: Caller, sync_id: str, destination_id: str) -> str:
    return await admin.made("/api/reverse-etl/syncs", a_sync(destination_id, name="another"))


@pytest.fixture
def warehouse_settings(empty_database_url: str) -> dict[str, str]:
    """Settings of a source that answers."""
    return {"url": empty_database_url}
