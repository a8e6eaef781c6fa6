"""A start that is sent again under its `Idempotency-Key`."""

import asyncio

import pytest

from tailrace.core.ids import WorkspaceId
from tailrace.store.tokens import Role
from tests.gateway.caller import Caller
from tests.gateway.conftest import Gateway
from tests.gateway.engine import Engine

RUN = "/api/reverse-etl/sync/run"
KEY = {"Idempotency-Key": "dag_task_run-1"}


async def test_replay_gives_the_same_answer(gateway: Gateway, admin: Caller, sync_id: str) -> None:
    first = await admin.post(RUN, {"syncId": sync_id}, headers=KEY)

    again = await admin.post(RUN, {"syncId": sync_id}, headers=KEY)

    assert (again.status, again.json) == (first.status, first.json)
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert await gateway.stores.database.fetchval("SELECT count(*) FROM runs") == 1


async def test_replay_survives_the_end_of_the_run(admin: Caller, engine: Engine, sync_id: str) -> None:
    first = await admin.post(RUN, {"syncId": sync_id}, headers=KEY)
    await engine.begin(first.json["data"]["id"])
    await engine.end(first.json["data"]["id"], "succeeded")
    await admin.get(f"/api/runs/{first.json['data']['id']}")

    again = await admin.post(RUN, {"syncId": sync_id}, headers=KEY)

    assert again.json == first.json


async def test_same_key_with_another_body_is_refused(admin: Caller, sync_id: str, another_sync_id: str) -> None:
    await admin.post(RUN, {"syncId": sync_id}, headers=KEY)

    refused = await admin.post(RUN, {"syncId": another_sync_id}, headers=KEY)

    assert (refused.status, refused.json["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")


async def test_same_key_on_another_route_is_refused(admin: Caller, sync_id: str) -> None:
    await admin.post(RUN, {"syncId": sync_id}, headers=KEY)

    refused = await admin.post(f"/v2/retl-connections/{sync_id}/start", headers=KEY)

    assert refused.status == 422


async def test_key_of_another_token_is_another_key(
    gateway: Gateway, admin: Caller, workspace_id: WorkspaceId, sync_id: str
) -> None:
    other = await gateway.caller(workspace_id, Role.EDITOR)
    await admin.post(RUN, {"syncId": sync_id}, headers=KEY)

    refused = await other.post(RUN, {"syncId": sync_id}, headers=KEY)

    assert refused.status == 409


async def test_refusal_is_not_remembered(admin: Caller, engine: Engine, sync_id: str) -> None:
    active = await admin.post(RUN, {"syncId": sync_id})
    refused = await admin.post(RUN, {"syncId": sync_id}, headers=KEY)
    await engine.begin(active.json["data"]["id"])
    await engine.end(active.json["data"]["id"], "succeeded")

    later = await admin.post(RUN, {"syncId": sync_id}, headers=KEY)

    assert (refused.status, later.status) == (409, 200)


async def test_fifty_at_once_are_one_run(admin: Caller, sync_id: str) -> None:
    answers = await asyncio.gather(*(admin.post(RUN, {"syncId": sync_id}, headers=KEY) for _ in range(50)))

    assert {answered.status for answered in answers} == {200}
    assert len({answered.raw for answered in answers}) == 1


async def test_start_of_the_other_contract_is_replayed_too(admin: Caller, sync_id: str) -> None:
    first = await admin.post(f"/v2/retl-connections/{sync_id}/start", headers=KEY)

    again = await admin.post(f"/retl-connections/{sync_id}/start", {}, headers=KEY)

    assert (again.status, again.json) == (200, first.json)
    assert again.headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize("key", ["", "two words", "é", "x" * 201])
async def test_key_that_cannot_be_one_is_400(admin: Caller, sync_id: str, key: str) -> None:
    refused = await admin.post(RUN, {"syncId": sync_id}, headers={"Idempotency-Key": key})

    assert (refused.status, refused.json["errors"][0]["parameter"]) == (400, "Idempotency-Key")
