"""RudderStack's orchestrator packages, by the requests that they send: none may be misled about a sync."""

from collections.abc import Mapping
from dataclasses import dataclass

import orjson
import pytest

from tests.gateway.caller import Answered, Caller, Json
from tests.gateway.conftest import Gateway
from tests.gateway.documented import require_documented
from tests.gateway.engine import Engine

TRIES = 4
"""One request and three retries, on any failure at all, 404 as well as 503."""


class SyncFailed(Exception):
    """What a package raises, with the text that it shows."""


@dataclass(frozen=True, slots=True)
class Orchestrator:
    """A package at work: starts a sync and polls it until it has succeeded or failed."""

    gateway: Gateway
    token: str
    agent: str
    start_body: Json

    async def start(self, connection_id: str) -> str:
        """The id of the sync, from the first answer that is a success with JSON."""
        answered = await self._request("POST", f"/v2/retl-connections/{connection_id}/start", self.start_body)
        return str(answered["syncId"])

    async def poll(self, connection_id: str, sync_id: str) -> Json:
        """How the sync stands; None while it runs."""
        told = await self._request("GET", f"/v2/retl-connections/{connection_id}/syncs/{sync_id}")
        if told["status"] == "failed":
            raise SyncFailed(str(told.get("error", None)))
        return told if told["status"] == "succeeded" else None

    async def _request(self, method: str, path: str, body: Json = None) -> Json:
        for _ in range(TRIES):
            answered = await self._send(method, path, body)
            if answered.status < 400:
                return answered.json
        raise SyncFailed("Exceeded max number of retries")

    async def _send(self, method: str, path: str, body: Json) -> Answered:
        headers: Mapping[str, str] = {
            "authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
            "User-Agent": self.agent,
        }
        raw = b"" if body is None else orjson.dumps(body)
        async with self.gateway.session.request(method, self.gateway.url + path, data=raw, headers=headers) as got:
            answered = Answered(got.status, dict(got.headers), await got.read())
        require_documented(method, path, answered.status, answered.headers, answered.raw)
        return answered


# As recorded from the packages: the first sends no type unless told to, the second always one.
_PACKAGES = [
    pytest.param(("RudderAirflow/2.4.3", {}), id="rudderstack-airflow-provider 2.4.3"),
    pytest.param(("RudderDagster/1.3.0", {"syncType": "incremental"}), id="dagster-rudderstack 1.3.0"),
]


@pytest.fixture(params=_PACKAGES)
def orchestrator(request: pytest.FixtureRequest, gateway: Gateway, admin: Caller) -> Orchestrator:
    agent, start_body = request.param
    return Orchestrator(gateway, admin.token, agent, start_body)


async def test_sync_that_succeeds_is_seen_to(orchestrator: Orchestrator, engine: Engine, sync_id: str) -> None:
    run_id = await orchestrator.start(sync_id)
    waiting = await orchestrator.poll(sync_id, run_id)
    await engine.begin(run_id)
    running = await orchestrator.poll(sync_id, run_id)
    await engine.count(run_id, (100, 100, 0, 0), change__added=100)
    await engine.end(run_id, "succeeded")

    ended = await orchestrator.poll(sync_id, run_id)

    assert (waiting, running) == (None, None)
    assert ended["metrics"]["succeeded"]["total"] == 100


async def test_sync_with_rejected_rows_succeeds_and_counts_them(
    orchestrator: Orchestrator, engine: Engine, sync_id: str
) -> None:
    run_id = await orchestrator.start(sync_id)
    await engine.begin(run_id)
    await engine.count(run_id, (12840, 12795, 0, 45), change__added=12840)
    await engine.end(run_id, "succeeded")

    ended = await orchestrator.poll(sync_id, run_id)

    assert (ended["metrics"]["succeeded"]["total"], ended["metrics"]["failed"]["total"]) == (12795, 45)


async def test_sync_that_fails_fails_the_task_with_its_reason(
    orchestrator: Orchestrator, engine: Engine, sync_id: str
) -> None:
    run_id = await orchestrator.start(sync_id)
    await engine.begin(run_id)
    await engine.end(run_id, "failed", code="SOURCE_QUERY", message="no such column")

    with pytest.raises(SyncFailed, match=r"^no such column$"):
        await orchestrator.poll(sync_id, run_id)


async def test_sync_that_is_stopped_fails_the_task_and_says_by_whom(
    orchestrator: Orchestrator, admin: Caller, sync_id: str
) -> None:
    run_id = await orchestrator.start(sync_id)
    await admin.post(f"/v2/retl-connections/{sync_id}/stop")

    with pytest.raises(SyncFailed, match=r"^cancelled by token:"):
        await orchestrator.poll(sync_id, run_id)


async def test_sync_that_is_stopping_is_still_running(
    orchestrator: Orchestrator, admin: Caller, engine: Engine, sync_id: str
) -> None:
    run_id = await orchestrator.start(sync_id)
    await engine.begin(run_id)
    await admin.post(f"/v2/retl-connections/{sync_id}/stop")

    assert await orchestrator.poll(sync_id, run_id) is None


async def test_unknown_connection_fails_the_task_and_starts_nothing(
    orchestrator: Orchestrator, gateway: Gateway, sync_id: str
) -> None:
    with pytest.raises(SyncFailed, match="retries"):
        await orchestrator.start("retl_sync_unknown")

    assert await gateway.stores.database.fetchval("SELECT count(*) FROM runs") == 0


async def test_paused_connection_fails_the_task_and_starts_nothing(
    orchestrator: Orchestrator, gateway: Gateway, admin: Caller, sync_id: str
) -> None:
    await admin.post("/api/reverse-etl/sync/toggle", {"syncId": sync_id, "enabled": False})

    with pytest.raises(SyncFailed, match="retries"):
        await orchestrator.start(sync_id)

    assert await gateway.stores.database.fetchval("SELECT count(*) FROM runs") == 0


async def test_start_whose_answer_was_lost_is_found_again(
    orchestrator: Orchestrator, gateway: Gateway, sync_id: str
) -> None:
    lost = await orchestrator.start(sync_id)

    found = await orchestrator.start(sync_id)

    assert found == lost
    assert await gateway.stores.database.fetchval("SELECT count(*) FROM runs") == 1


async def test_start_whose_answer_was_lost_is_found_again_though_its_sync_has_ended(
    orchestrator: Orchestrator, engine: Engine, sync_id: str
) -> None:
    lost = await orchestrator.start(sync_id)
    await engine.end(lost, "failed", message="no such column")

    found = await orchestrator.start(sync_id)

    assert found == lost
    with pytest.raises(SyncFailed, match="no such column"):
        await orchestrator.poll(sync_id, found)


async def test_task_that_is_tried_again_after_it_saw_the_failure_starts_anew(
    orchestrator: Orchestrator, engine: Engine, sync_id: str
) -> None:
    first = await orchestrator.start(sync_id)
    await engine.end(first, "failed", message="no such column")
    with pytest.raises(SyncFailed):
        await orchestrator.poll(sync_id, first)

    again = await orchestrator.start(sync_id)

    assert again != first


async def test_sync_that_somebody_else_started_fails_the_task(
    orchestrator: Orchestrator, gateway: Gateway, admin: Caller, sync_id: str
) -> None:
    await admin.post("/api/reverse-etl/sync/run", {"syncId": sync_id})

    with pytest.raises(SyncFailed, match="retries"):
        await orchestrator.start(sync_id)

    assert await gateway.stores.database.fetchval("SELECT count(*) FROM runs") == 1
