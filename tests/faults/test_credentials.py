"""The access token ends in the middle of two runs by two executors: one refreshes it for both, or both stop."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from aiohttp import web

from tailrace.core.runs import RunStatus
from tailrace.core.syncs import ManualSchedule
from tailrace.embedded.ports import LOOPBACK
from tailrace.store.connections import ConnectionDraft
from tailrace.store.runs import Run
from tailrace.store.syncs import NewSync, Syncs
from tests.executor.yard import Yard, definition_of, make_sync
from tests.faults.ground import CALM, PATIENCE_S, Ground
from tests.fixtures.trials import Count, Outcome
from tests.runtime.certificates import self_signed

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

PEOPLE = 200
ROWS_PER_REQUEST = 10
OBJECTS = {"one", "two"}
# Room for one run each; the first waits for the other to begin.
_PATIENT: dict[str, object] = CALM | {"executor_max_runs": 1, "request_timeout_s": 40, "shutdown_grace_s": 60}
_QUERY = "SELECT id, email FROM people"
_OPEN = "SELECT count(*) FROM dead_letters"
_OWNERS = "SELECT count(DISTINCT lease_owner) FROM run_shards"


@dataclass(slots=True)
class Vendor:
    """Takes rows from whoever shows the last access token it gave, and a refresh token once.

    The first access token ends once each sync has sent a batch, which the others wait for; then `may_refresh` says
    whether there is another.
    """

    may_refresh: bool
    url: str = ""
    grants: int = 0
    refused: int = 0
    begun: set[str] = field(default_factory=set)
    has_ended: asyncio.Event = field(default_factory=asyncio.Event)
    rows: Counter[tuple[str, int]] = field(default_factory=Counter)

    async def grant(self, request: web.Request) -> web.Response:
        """Change a refresh token for the next one and an access token."""
        told = (await request.post())["refresh_token"]
        if told != f"refresh-{self.grants}" or (self.grants and not self.may_refresh):
            return web.json_response({"error": "invalid_grant"}, status=400)
        self.grants += 1
        given = {"access_token": f"access-{self.grants}", "refresh_token": f"refresh-{self.grants}"}
        return web.json_response(given | {"expires_in": 3600})

    async def take(self, request: web.Request) -> web.Response:
        """Take a batch of a sync."""
        batch, name = await request.json(), request.match_info["name"]
        is_first = name not in self.begun
        self.begun.add(name)
        if not is_first:
            await self.has_ended.wait()
        elif self.begun == OBJECTS:
            self.has_ended.set()
        shown = request.headers["Authorization"].removeprefix("Bearer ")
        if not is_first and (shown == "access-1" or shown != f"access-{self.grants}"):
            self.refused += 1
            return web.Response(status=401)
        self.rows.update((name, row["id"]) for row in batch["rows"])
        return web.json_response({"results": [{"status": "ok"} for _ in batch["rows"]]})


@dataclass(frozen=True, slots=True)
class Scene:
    """Two syncs into one connection, each with an executor that has room for one run."""

    ground: Ground
    yards: tuple[Yard, Yard]

    async def runs(self) -> list[Run]:
        """Both at once, to their ends."""
        executors = [await self.ground.executor("", **_PATIENT) for _ in self.yards]
        await asyncio.gather(*(executor.ready() for executor in executors))
        started = [await yard.start() for yard in self.yards]
        await asyncio.gather(*(self.ground.ended(run_id) for run_id in started))
        return [await yard.look(run_id) for yard, run_id in zip(self.yards, started, strict=True)]


@asynccontextmanager
async def open_vendor(folder: Path, *, may_refresh: bool) -> AsyncIterator[Vendor]:
    """A vendor that listens on loopback, by TLS."""
    vendor = Vendor(may_refresh)
    app = web.Application()
    app.router.add_post("/token", vendor.grant)
    app.router.add_post("/{name}", vendor.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK, 0, ssl_context=self_signed(folder)).start()
        vendor.url = f"https://{LOOPBACK}:{runner.addresses[0][1]}"
        yield vendor
    finally:
        await runner.cleanup()


@pytest_asyncio.fixture(params=[True, False], ids=["refreshed", "refused"])
async def vendor(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Vendor]:
    """A vendor whose certificate the services trust."""
    async with open_vendor(tmp_path, may_refresh=request.param) as opened:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
        yield opened


@pytest_asyncio.fixture
async def scene(ground: Ground, vendor: Vendor, empty_database_url: str) -> AsyncIterator[Scene]:
    """Two syncs of the same people into objects of their own."""
    warehouse = await asyncpg.connect(empty_database_url, timeout=10, command_timeout=30)
    try:
        await warehouse.execute("CREATE TABLE people (id int, email text)")
        source = ConnectionDraft("warehouse", {"url": "***", "allow_superuser": True}, {"/url": empty_database_url})
        definition = definition_of(_QUERY, ("id", "email")).model_copy(update={"object_name": "one"})
        one = await make_sync(ground.chassis, source, _connection(vendor), definition, ("postgres", "webhook"))
        other = one.definition.model_copy(update={"object_name": "two"})
        new = NewSync(one.workspace_id, "two", other, ManualSchedule())
        two = await Syncs(ground.chassis.database).create(new)
        yards = [Yard(ground.chassis, warehouse, sync, patience_s=PATIENCE_S) for sync in (one, two)]
        await yards[0].add_people(1, PEOPLE)
        yield Scene(ground, (yards[0], yards[1]))
    finally:
        await warehouse.close(timeout=10)


def _connection(vendor: Vendor) -> ConnectionDraft:
    results = {"kind": "aligned", "results": "results", "status": "status", "ok": ["ok"]}
    write: dict[str, Any] = {"path": "/{object}", "rows_at": "rows", "rows_per_request": ROWS_PER_REQUEST}
    settings = {
        "base_url": vendor.url,
        "auth": {"kind": "refresh_token", "token_url": f"{vendor.url}/token"},
        "credentials": {"client_id": "us", "client_secret": "***", "refresh_token": "***"},
        "objects": {"known": [{"name": "one"}, {"name": "two"}]},
        "operations": {"upsert": write | {"attribution": results}},
    }
    secrets = {"/credentials/client_secret": "canary", "/credentials/refresh_token": "refresh-0"}
    return ConnectionDraft("crm", settings, secrets)


async def test_token_that_ends_in_mid_run_is_refreshed_once_for_all_or_stops_them(
    scene: Scene, vendor: Vendor, count: Count
) -> None:
    runs = await scene.runs()

    database = scene.ground.chassis.database
    wanted = (RunStatus.SUCCEEDED, None) if vendor.may_refresh else (RunStatus.FAILED, "CREDENTIALS_REFUSED")
    everybody = {(name, person): 1 for name in OBJECTS for person in range(1, PEOPLE + 1)}
    assert [(run.status, run.error_code) for run in runs] == [wanted] * 2, runs[0].error_message
    assert (vendor.grants, vendor.refused > 0) == (2 if vendor.may_refresh else 1, True)
    assert set(vendor.rows.values()) == {1}
    assert (dict(vendor.rows) == everybody) is vendor.may_refresh
    # What comes behind a request that was refused is not settled, and will be sent again.
    unsettled = len(vendor.rows) - sum(run.books.delivered for run in runs)
    assert 0 <= unsettled <= (0 if vendor.may_refresh else len(OBJECTS) * ROWS_PER_REQUEST)
    assert (await database.fetchval(_OPEN), await database.fetchval(_OWNERS)) == (0, 2)
    count([Outcome("credentials refreshed" if vendor.may_refresh else "credentials refused in mid-run")])
    assert await scene.ground.breaches() == []
