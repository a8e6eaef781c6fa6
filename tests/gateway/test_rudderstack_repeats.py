"""A start that is sent again without an `Idempotency-Key`: whether it is a repeat, or meant as a new one."""

import pytest

from tests.gateway.caller import Caller, Json
from tests.gateway.engine import Engine


async def started(caller: Caller, sync_id: str, body: Json = None) -> str:
    answer = await caller.post(f"/v2/retl-connections/{sync_id}/start", body)
    assert answer.status == 200, answer.raw
    return str(answer.json["syncId"])


async def ended(caller: Caller, engine: Engine, sync_id: str, body: Json = None) -> str:
    """A run that its caller started, and has not looked at since."""
    run_id = await started(caller, sync_id, body)
    await engine.begin(run_id)
    await engine.end(run_id, "succeeded")
    return run_id


@pytest.mark.parametrize(
    "list_of",
    [
        "/v2/retl-connections/{}/syncs",
        "/v2/retl-connections/{}/syncs?status=succeeded",
        "/api/reverse-etl/runs?sync_id={}",
    ],
)
async def test_start_after_the_end_was_seen_in_a_list_is_a_new_sync(
    admin: Caller, engine: Engine, sync_id: str, list_of: str
) -> None:
    first = await ended(admin, engine, sync_id)
    await admin.get(list_of.format(sync_id))

    assert await started(admin, sync_id) != first


async def test_list_that_shows_a_run_under_way_ends_no_repeat(admin: Caller, sync_id: str) -> None:
    first = await started(admin, sync_id)
    await admin.get(f"/v2/retl-connections/{sync_id}/syncs")

    assert await started(admin, sync_id) == first


async def test_start_of_a_sync_that_was_changed_since_is_a_new_one(admin: Caller, engine: Engine, sync_id: str) -> None:
    first = await ended(admin, engine, sync_id)
    await admin.put(f"/api/reverse-etl/syncs/{sync_id}", {"sourceQuery": "SELECT account_id, name FROM others"})

    assert await started(admin, sync_id) != first


async def test_start_of_a_sync_that_was_paused_since_is_refused(admin: Caller, engine: Engine, sync_id: str) -> None:
    await ended(admin, engine, sync_id)
    await admin.post("/api/reverse-etl/sync/toggle", {"syncId": sync_id, "enabled": False})

    refused = await admin.post(f"/v2/retl-connections/{sync_id}/start")

    assert (refused.status, refused.json["code"]) == (422, "SYNC_PAUSED")


async def test_start_beside_a_run_that_began_since_is_refused_with_its_id(
    admin: Caller, engine: Engine, sync_id: str
) -> None:
    await ended(admin, engine, sync_id)
    other = await admin.post("/api/reverse-etl/sync/run", {"syncId": sync_id})

    refused = await admin.post(f"/v2/retl-connections/{sync_id}/start")

    assert (refused.status, refused.json["existing_id"]) == (409, other.json["data"]["id"])


async def test_look_at_an_older_run_does_not_end_the_repeat_of_the_newest(
    admin: Caller, engine: Engine, sync_id: str
) -> None:
    older = await ended(admin, engine, sync_id)
    newest = await ended(admin, engine, sync_id, {"syncType": "full"})
    await admin.get(f"/v2/retl-connections/{sync_id}/syncs/{older}")

    assert await started(admin, sync_id, {"syncType": "full"}) == newest
