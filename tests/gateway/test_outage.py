"""What the gateway does while the store is away, and how it comes and goes."""

import asyncio
from dataclasses import replace

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from tailrace.embedded.ports import free_port
from tailrace.runtime.health import Health
from tailrace.runtime.service import Chassis
from tailrace.store.database import Database, Waits
from tailrace.store.tokens import NewToken, Role, Tokens
from tailrace.store.workspaces import Workspaces
from tailrace.testing.fake_http import FakeHttp
from tailrace_gateway.__main__ import serve
from tailrace_gateway.app import make_app
from tailrace_gateway.routes import ROUTES
from tailrace_gateway.stores import open_stores
from tests.gateway.caller import Caller
from tests.gateway.conftest import Gateway

_NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"


async def test_store_that_is_away_is_503_with_a_time_to_come_back(gateway: Gateway, admin: Caller) -> None:
    async with Database.open(_NOWHERE, application_name="test", waits=Waits(1, 1)) as away:
        stores = open_stores(replace(gateway.chassis, database=away), FakeHttp())
        async with TestServer(make_app(stores, ROUTES)) as server:
            caller = Caller(admin.session, str(server.make_url("")).rstrip("/"), admin.token)

            refused = await caller.post("/v2/retl-connections/retl_sync_x/start")

    assert (refused.status, refused.json["code"]) == (503, "STORE_UNAVAILABLE")
    assert int(refused.headers["Retry-After"]) > 0


async def test_lost_connections_are_503_until_the_store_is_back(gateway: Gateway, admin: Caller) -> None:
    await admin.get("/api/sources")
    await gateway.stores.database.execute("ALTER TABLE tokens RENAME TO away")
    crashed = await admin.get("/api/sources")
    await gateway.stores.database.execute("ALTER TABLE away RENAME TO tokens")

    back = await admin.get("/api/sources")

    assert (crashed.status, crashed.json["code"], back.status) == (500, "INTERNAL", 200)
    assert b"relation" not in crashed.raw


class TestService:
    @pytest.fixture
    def port(self) -> int:
        return free_port()

    @pytest.fixture
    def listening(self, chassis: Chassis, port: int) -> Chassis:
        return replace(chassis, settings=chassis.settings.model_copy(update={"port": port}))

    async def test_it_answers_until_told_to_stop(self, listening: Chassis, port: int) -> None:
        workspace = await Workspaces(listening.database).create("w")
        _, token = await Tokens(listening.database, listening.box).create(NewToken(workspace.id, "t", Role.VIEWER))
        listening.health.opening("gateway")
        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks, ClientSession() as session:
            tasks.create_task(serve(listening))
            await _ready(listening.health)

            answered = (await Caller(session, f"http://127.0.0.1:{port}", token).get("/api/sources")).status
            listening.stopping.set()

        assert answered == 200
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)

    async def test_port_that_is_taken_is_told(self, listening: Chassis, port: int) -> None:
        listening.health.opening("gateway")
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", port)
        async with server:
            with pytest.raises(Exception, match="TAILRACE_PORT"):
                await serve(listening)

        assert not (await listening.health.ready()).is_well


async def _ready(health: Health) -> None:
    while not (await health.ready()).is_well:  # noqa: ASYNC110 - whoever waits asks, as a probe does
        await asyncio.sleep(0.01)
