"""The RudderStack contract, as published and as its official clients use it."""

import asyncio
import re

import pytest

from tailrace.core.ids import WorkspaceId
from tailrace.store.tokens import Role
from tests.gateway.caller import Caller
from tests.gateway.conftest import Gateway
from tests.gateway.engine import Engine

_MILLISECONDS = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z")
_NO_SUCH = "retl_sync_00000000000000000000000000"

PREFIXES = pytest.mark.parametrize("prefix", ["/v2", ""], ids=["with /v2", "without"])


@PREFIXES
async def test_start_answers_200_with_the_id_of_the_sync(admin: Caller, sync_id: str, prefix: str) -> None:
    started = await admin.post(f"{prefix}/retl-connections/{sync_id}/start", {"syncType": "full"})

    assert (started.status, list(started.json)) == (200, ["syncId"])
    assert started.json["syncId"].startswith("retl_run_")
    assert started.headers["Content-Type"].startswith("application/json")


@pytest.mark.parametrize("body", [None, b"", {}, {"syncType": None}], ids=["none", "empty", "{}", "null"])
async def test_sync_type_may_be_left_out(admin: Caller, sync_id: str, body: object) -> None:
    started = await admin.post(f"/v2/retl-connections/{sync_id}/start", body)
    run = await admin.get(f"/api/runs/{started.json['syncId']}")

    assert (started.status, run.attributes["kind"]) == (200, "incremental")


async def test_full_sync_type_makes_a_full_run(admin: Caller, sync_id: str) -> None:
    started = await admin.post(f"/v2/retl-connections/{sync_id}/start", {"syncType": "full"})

    run = await admin.get(f"/api/runs/{started.json['syncId']}")

    assert run.attributes["kind"] == "full"


@pytest.mark.parametrize("given", ["everything", 1, ["full"]], ids=["word", "number", "list"])
async def test_unknown_sync_type_is_refused_with_400(admin: Caller, sync_id: str, given: object) -> None:
    refused = await admin.post(f"/v2/retl-connections/{sync_id}/start", {"syncType": given})

    assert refused.status == 400
    assert refused.json["errors"][0]["pointer"] == "/syncType"
    assert "incremental, full" in refused.json["error"]


async def test_start_touches_neither_warehouse_nor_destination(gateway: Gateway, admin: Caller, sync_id: str) -> None:
    gateway.http.requests.clear()

    await admin.post(f"/v2/retl-connections/{sync_id}/start")

    assert gateway.http.requests == []


async def test_start_of_another_body_while_a_sync_runs_is_refused_with_its_id(admin: Caller, sync_id: str) -> None:
    first = await admin.post(f"/v2/retl-connections/{sync_id}/start", {"syncType": "incremental"})

    second = await admin.post(f"/v2/retl-connections/{sync_id}/start", {"syncType": "full"})

    assert (second.status, second.json["existing_id"]) == (409, first.json["syncId"])
    assert isinstance(second.json["error"], str)
    assert isinstance(second.json["message"], str)


async def test_start_by_another_token_while_a_sync_runs_is_refused_with_its_id(
    gateway: Gateway, admin: Caller, workspace_id: WorkspaceId, sync_id: str
) -> None:
    other = await gateway.caller(workspace_id, Role.EDITOR)
    first = await admin.post(f"/v2/retl-connections/{sync_id}/start")

    second = await other.post(f"/v2/retl-connections/{sync_id}/start")

    assert (second.status, second.json["existing_id"]) == (409, first.json["syncId"])


async def test_identical_repeat_is_answered_with_the_same_id(admin: Caller, sync_id: str) -> None:
    first = await admin.post(f"/v2/retl-connections/{sync_id}/start", {})

    again = await admin.post(f"/v2/retl-connections/{sync_id}/start", {})

    assert (again.status, again.json) == (200, first.json)


async def test_repeat_of_a_run_that_ended_unseen_is_answered_with_the_same_id(
    admin: Caller, engine: Engine, sync_id: str
) -> None:
    first = await admin.post(f"/v2/retl-connections/{sync_id}/start")
    await engine.begin(first.json["syncId"])
    await engine.end(first.json["syncId"], "succeeded")

    again = await admin.post(f"/v2/retl-connections/{sync_id}/start")

    assert again.json == first.json


async def test_start_after_the_end_was_read_is_a_new_sync(admin: Caller, engine: Engine, sync_id: str) -> None:
    first = await admin.post(f"/v2/retl-connections/{sync_id}/start")
    await engine.begin(first.json["syncId"])
    await engine.end(first.json["syncId"], "succeeded")
    await admin.get(f"/v2/retl-connections/{sync_id}/syncs/{first.json['syncId']}")

    again = await admin.post(f"/v2/retl-connections/{sync_id}/start")

    assert again.status == 200
    assert again.json != first.json


async def test_repeat_is_one_also_when_somebody_else_has_read_the_end(
    gateway: Gateway, admin: Caller, workspace_id: WorkspaceId, engine: Engine, sync_id: str
) -> None:
    first = await admin.post(f"/v2/retl-connections/{sync_id}/start")
    await engine.begin(first.json["syncId"])
    await engine.end(first.json["syncId"], "succeeded")
    viewer = await gateway.caller(workspace_id, Role.VIEWER)
    await viewer.get(f"/v2/retl-connections/{sync_id}/syncs/{first.json['syncId']}")

    again = await admin.post(f"/v2/retl-connections/{sync_id}/start")

    assert again.json == first.json


async def test_start_after_stop_is_a_new_sync(admin: Caller, sync_id: str) -> None:
    first = await admin.post(f"/v2/retl-connections/{sync_id}/start")
    await admin.post(f"/v2/retl-connections/{sync_id}/stop")

    again = await admin.post(f"/v2/retl-connections/{sync_id}/start")

    assert again.status == 200
    assert again.json != first.json


async def test_repeat_after_a_timeout_of_the_client_is_the_run_that_goes_on(
    gateway: Gateway, admin: Caller, sync_id: str
) -> None:
    first = await admin.post(f"/v2/retl-connections/{sync_id}/start")
    await gateway.stores.database.execute("UPDATE idempotency_keys SET created_at = created_at - interval '31 s'")

    late = await admin.post(f"/v2/retl-connections/{sync_id}/start")

    assert (late.status, late.json) == (200, first.json)


async def test_start_ten_seconds_after_a_run_that_has_ended_is_another_run(
    gateway: Gateway, admin: Caller, engine: Engine, sync_id: str
) -> None:
    first = await admin.post(f"/v2/retl-connections/{sync_id}/start")
    await engine.end(first.json["syncId"], "succeeded")
    await gateway.stores.database.execute("UPDATE idempotency_keys SET created_at = created_at - interval '11 s'")

    late = await admin.post(f"/v2/retl-connections/{sync_id}/start")

    assert late.status == 200
    assert late.json != first.json


async def test_repeat_after_more_than_a_timeout_is_refused(gateway: Gateway, admin: Caller, sync_id: str) -> None:
    first = await admin.post(f"/v2/retl-connections/{sync_id}/start")
    await gateway.stores.database.execute("UPDATE idempotency_keys SET created_at = created_at - interval '36 s'")

    late = await admin.post(f"/v2/retl-connections/{sync_id}/start")

    assert (late.status, late.json["existing_id"]) == (409, first.json["syncId"])


async def test_fifty_identical_starts_at_once_are_one_sync(gateway: Gateway, admin: Caller, sync_id: str) -> None:
    answers = await asyncio.gather(*(admin.post(f"/v2/retl-connections/{sync_id}/start") for _ in range(50)))

    assert {answered.status for answered in answers} == {200}
    assert len({answered.json["syncId"] for answered in answers}) == 1
    assert await gateway.stores.database.fetchval("SELECT count(*) FROM runs") == 1


async def test_fifty_starts_by_fifty_callers_are_one_200_and_409_with_its_id(
    gateway: Gateway, workspace_id: WorkspaceId, sync_id: str
) -> None:
    callers = [await gateway.caller(workspace_id, Role.EDITOR) for _ in range(50)]

    answers = await asyncio.gather(*(each.post(f"/v2/retl-connections/{sync_id}/start") for each in callers))

    [won] = [answered for answered in answers if answered.status == 200]
    lost = [(answered.status, answered.json["existing_id"]) for answered in answers if answered is not won]
    assert lost == [(409, won.json["syncId"])] * 49


async def test_paused_connection_is_refused_with_the_words_that_clients_know(admin: Caller, sync_id: str) -> None:
    await admin.post("/api/reverse-etl/sync/toggle", {"syncId": sync_id, "enabled": False})

    refused = await admin.post(f"/v2/retl-connections/{sync_id}/start")

    assert refused.status == 422
    assert "Pipeline is paused" in refused.json["message"]


async def test_sync_shows_every_field_of_the_contract(admin: Caller, engine: Engine, sync_id: str) -> None:
    run_id = (await admin.post(f"/v2/retl-connections/{sync_id}/start")).json["syncId"]
    await engine.begin(run_id, at="2024-04-20T05:41:18.871Z")
    await engine.count(run_id, (100, 60, 35, 5), change__added=45, change__changed=18, rejected__NULL_KEY=2)
    await engine.end(run_id, "succeeded")

    shown = (await admin.get(f"/v2/retl-connections/{sync_id}/syncs/{run_id}")).json

    assert _MILLISECONDS.fullmatch(shown.pop("finishedAt"))
    assert shown == {
        "id": run_id,
        "status": "succeeded",
        "startedAt": "2024-04-20T05:41:18.871Z",
        "error": None,
        "rowsStillFailing": 0,
        "metrics": {"succeeded": {"total": 60}, "failed": {"total": 5}, "changed": {"total": 65}, "total": 100},
    }


async def test_waiting_sync_is_running_and_has_started(admin: Caller, sync_id: str) -> None:
    run_id = (await admin.post(f"/v2/retl-connections/{sync_id}/start")).json["syncId"]

    shown = (await admin.get(f"/v2/retl-connections/{sync_id}/syncs/{run_id}")).json

    assert (shown["status"], shown["finishedAt"], shown["error"]) == ("running", None, None)
    assert _MILLISECONDS.fullmatch(shown["startedAt"])


async def test_failed_sync_tells_why_in_a_string(admin: Caller, engine: Engine, sync_id: str) -> None:
    run_id = (await admin.post(f"/v2/retl-connections/{sync_id}/start")).json["syncId"]
    await engine.begin(run_id)
    await engine.end(run_id, "failed", code="SOURCE_QUERY", message="no such column")

    shown = (await admin.get(f"/v2/retl-connections/{sync_id}/syncs/{run_id}")).json

    assert (shown["status"], shown["error"]) == ("failed", "no such column")


async def test_stopped_sync_is_failed_and_tells_who_stopped_it(admin: Caller, sync_id: str) -> None:
    run_id = (await admin.post(f"/v2/retl-connections/{sync_id}/start")).json["syncId"]
    await admin.post(f"/v2/retl-connections/{sync_id}/stop")

    shown = (await admin.get(f"/v2/retl-connections/{sync_id}/syncs/{run_id}")).json

    assert shown["status"] == "failed"
    assert shown["error"].startswith("cancelled by token:")


@PREFIXES
async def test_stop_answers_204_without_a_body_also_when_nothing_runs(admin: Caller, sync_id: str, prefix: str) -> None:
    stopped = await admin.post(f"{prefix}/retl-connections/{sync_id}/stop")

    assert (stopped.status, stopped.raw) == (204, b"")


async def test_stop_of_a_running_sync_asks_its_executor(admin: Caller, engine: Engine, sync_id: str) -> None:
    run_id = (await admin.post(f"/v2/retl-connections/{sync_id}/start")).json["syncId"]
    await engine.begin(run_id)

    stopped = await admin.post(f"/v2/retl-connections/{sync_id}/stop")
    again = await admin.post(f"/v2/retl-connections/{sync_id}/stop")

    status = await engine.database.fetchval("SELECT status FROM runs WHERE id = $1", run_id)
    assert (stopped.status, again.status, status) == (204, 204, "cancelling")


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "start"), ("POST", "stop"), ("GET", "syncs"), ("GET", "syncs/retl_run_0")],
    ids=["start", "stop", "list", "get"],
)
async def test_unknown_connection_is_404(admin: Caller, method: str, path: str) -> None:
    missing = await admin.call(method, f"/v2/retl-connections/{_NO_SUCH}/{path}")

    assert (missing.status, missing.json["code"]) == (404, "SYNC_NOT_FOUND")


async def test_sync_of_another_connection_is_404(
    admin: Caller, sync_id: str, destination_id: str, another_sync_id: str
) -> None:
    run_id = (await admin.post(f"/v2/retl-connections/{another_sync_id}/start")).json["syncId"]

    missing = await admin.get(f"/v2/retl-connections/{sync_id}/syncs/{run_id}")

    assert missing.status == 404
