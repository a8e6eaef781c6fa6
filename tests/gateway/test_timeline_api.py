"""What happened to a run, looked up and followed live."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import orjson
import pytest
from aiohttp import ClientResponse

from tailrace.core.ids import TokenId, WorkspaceId
from tailrace.core.runs import Lease
from tailrace.store.shards import Shards
from tailrace.store.tokens import Role
from tailrace.testing.eventually import eventually
from tailrace_gateway.app import STREAMS
from tailrace_gateway.streams import STREAMS_PER_TOKEN
from tests.gateway.caller import Caller, Json
from tests.gateway.conftest import Gateway
from tests.gateway.engine import Engine

_ADVANCE = """
UPDATE run_shards SET checkpoint_seq = checkpoint_seq + 1, rows_read = 5, rows_delivered = 5
WHERE run_id = $1
"""
_SILENT = """
UPDATE run_shards SET lease_token = gen_random_uuid(), lease_owner = 'executor-b' WHERE run_id = $1
"""


@dataclass(frozen=True, slots=True)
class Got:
    """An event as a client reads it."""

    id: str
    name: str
    data: Json


@pytest.fixture
async def run_id(admin: Caller, sync_id: str) -> str:
    started = await admin.post("/api/reverse-etl/sync/run", {"syncId": sync_id})
    return str(started.json["data"]["id"])


async def _claimed(gateway: Gateway) -> Lease:
    claim = await Shards(gateway.stores.database).claim(owner="executor-a", ttl_s=30, grace_s=5)
    assert claim is not None
    return claim.lease


async def test_timeline_tells_who_had_the_run(gateway: Gateway, admin: Caller, engine: Engine, run_id: str) -> None:
    shards = Shards(gateway.stores.database)
    await shards.hand_back(await _claimed(gateway))
    await _claimed(gateway)
    await gateway.stores.database.execute(_SILENT, run_id)
    await admin.post(f"/api/runs/{run_id}/cancel")
    await engine.end(run_id, "cancelled", code="CANCELLED", message="cancelled by somebody")

    told = (await admin.get(f"/api/runs/{run_id}/timeline")).attributes

    moments = [(moment["what"], (moment["by"] or "").partition(":")[0]) for moment in told["moments"]]
    assert moments == [
        ("queued", "token"),
        ("claimed", "executor-a"),
        ("handed_back", "executor-a"),
        ("claimed", "executor-a"),
        ("taken_over", "executor-b"),
        ("cancel_requested", "token"),
        ("cancelled", ""),
    ]
    assert (told["whole"], told["status"], told["moments"][-1]["code"]) == (True, "cancelled", "CANCELLED")


async def test_timeline_of_a_waiting_run_is_whole(admin: Caller, run_id: str) -> None:
    told = (await admin.get(f"/api/runs/{run_id}/timeline")).attributes

    assert [moment["what"] for moment in told["moments"]] == ["queued"]
    assert (told["whole"], told["shards"][0]["state"], told["shards"][0]["checkpoint"]) == (True, "queued", 0)


async def test_checkpoints_and_heartbeats_are_no_moments(gateway: Gateway, run_id: str) -> None:
    lease = await _claimed(gateway)
    await Shards(gateway.stores.database).heartbeat(lease, ttl_s=30)
    await gateway.stores.database.execute(_ADVANCE, run_id)

    assert await gateway.stores.database.fetchval("SELECT count(*) FROM run_moments") == 1


class TestEvents:
    async def test_run_is_followed_to_its_end(
        self, gateway: Gateway, admin: Caller, engine: Engine, run_id: str
    ) -> None:
        async with asyncio.timeout(30), _following(admin, run_id) as events:
            queued = await anext(events)
            await _claimed(gateway)
            claimed, running = await anext(events), await anext(events)
            await gateway.stores.database.execute(_ADVANCE, run_id)
            advanced = await anext(events)
            await engine.end(run_id, "succeeded")
            rest = [event async for event in events]

        assert [event.name for event in (queued, claimed, running, advanced)] == [
            "progress",
            "moment",
            *["progress"] * 2,
        ]
        assert claimed.data["what"] == "claimed"
        assert advanced.data["attributes"]["books"]["delivered"] == 5
        assert [(event.name, event.data["attributes"]["status"]) for event in rest] == [("end", "succeeded")]

    async def test_listener_that_comes_back_misses_nothing_and_hears_nothing_twice(
        self, gateway: Gateway, admin: Caller, engine: Engine, run_id: str
    ) -> None:
        async with asyncio.timeout(30):
            async with _following(admin, run_id) as events:
                last = await anext(events)
            await _claimed(gateway)
            async with _following(admin, run_id, last_id=last.id) as events:
                first, second = await anext(events), await anext(events)
            await engine.end(run_id, "failed", code="X", message="x")
            async with _following(admin, run_id, last_id=second.id) as events:
                rest = [event async for event in events]

        assert [event.name for event in (first, second, *rest)] == ["moment", "progress", "end"]

    @pytest.mark.parametrize("last_id", ["nonsense", "", "9" * 40])
    async def test_id_that_is_none_begins_anew(self, admin: Caller, run_id: str, last_id: str) -> None:
        async with asyncio.timeout(30), _following(admin, run_id, last_id=last_id) as events:
            assert (await anext(events)).name == "progress"

    async def test_run_of_others_is_404(self, stranger: Caller, run_id: str) -> None:
        assert (await stranger.get(f"/api/runs/{run_id}/events")).status == 404

    async def test_token_has_so_many_streams_and_no_more(self, gateway: Gateway, admin: Caller, run_id: str) -> None:
        async with asyncio.timeout(60):
            opened = [await _opened(admin, run_id) for _ in range(STREAMS_PER_TOKEN)]
            refused = await admin.get(f"/api/runs/{run_id}/events")
            for response in opened:
                response.close()
            await eventually(lambda: _open_count(gateway), 0)
            again = await _opened(admin, run_id)
            again.close()

        assert {response.status for response in (*opened, again)} == {200}
        assert (refused.status, refused.json["code"], refused.headers["Retry-After"]) == (429, "TOO_MANY", "5")

    async def test_stream_ends_soon_after_its_token_was_revoked(
        self, gateway: Gateway, workspace_id: WorkspaceId, run_id: str
    ) -> None:
        listener = await gateway.caller(workspace_id, Role.VIEWER)

        async with asyncio.timeout(60), _following(listener, run_id) as events:
            await anext(events)
            await gateway.stores.tokens.revoke(workspace_id, TokenId(listener.token[4:12]))
            rest = [event async for event in events]

        assert rest == []
        assert (await listener.get(f"/api/runs/{run_id}/events")).status == 401

    async def test_stream_ends_when_the_gateway_does(self, gateway: Gateway, admin: Caller, run_id: str) -> None:
        async with asyncio.timeout(30), _following(admin, run_id) as events:
            await anext(events)
            await gateway.app[STREAMS].close(gateway.app)
            rest = [event async for event in events]

        assert rest == []


async def _open_count(gateway: Gateway) -> int:
    return gateway.app[STREAMS].open_count


async def _opened(caller: Caller, run_id: str, last_id: str | None = None) -> ClientResponse:
    headers = {"Authorization": f"Bearer {caller.token}"} | ({} if last_id is None else {"Last-Event-ID": last_id})
    return await caller.session.get(f"{caller.url}/api/runs/{run_id}/events", headers=headers)


@asynccontextmanager
async def _following(caller: Caller, run_id: str, *, last_id: str | None = None) -> AsyncIterator[AsyncIterator[Got]]:
    response = await _opened(caller, run_id, last_id)
    assert (response.status, response.content_type) == (200, "text/event-stream")
    try:
        yield _read(response)
    finally:
        response.close()


async def _read(response: ClientResponse) -> AsyncIterator[Got]:
    fields: dict[str, str] = {}
    async for line in response.content:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name:
            fields[name] = value
        elif "id" in fields:
            yield Got(fields["id"], fields["event"], orjson.loads(fields["data"]))
            fields = {}
