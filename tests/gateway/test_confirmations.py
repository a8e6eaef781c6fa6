"""Deletes that the guard stopped, confirmed once by somebody who has looked at them."""

import pytest
import pytest_asyncio

from tailrace.core.ids import WorkspaceId
from tailrace.store.tokens import Role
from tests.gateway.caller import Caller
from tests.gateway.conftest import Gateway
from tests.gateway.engine import Engine

_START = "/api/reverse-etl/sync/run"
_CONFIRMED = "SELECT confirms_run, deletes_confirmed FROM runs WHERE id = $1"


@pytest_asyncio.fixture
async def stopped(admin: Caller, engine: Engine, sync_id: str) -> str:
    """A run that the guard stopped."""
    run_id = str((await admin.post(_START, {"syncId": sync_id})).json["data"]["id"])
    await engine.begin(run_id)
    await engine.end(run_id, "failed", code="DELETE_GUARD", message="812 of the 1000 rows delivered are gone")
    return run_id


async def test_confirmed_deletes_are_those_of_the_next_run(
    gateway: Gateway, admin: Caller, workspace_id: WorkspaceId, stopped: str, sync_id: str
) -> None:
    confirmed = await admin.post(f"/api/runs/{stopped}/confirm-deletes", {"deletes": 812})

    run_id = confirmed.json["data"]["id"]
    row = await gateway.stores.database.fetchrow(_CONFIRMED, run_id)
    assert (confirmed.status, confirmed.attributes["status"]) == (200, "queued")
    assert row is not None
    assert tuple(row) == (stopped, 812)
    [newest, *_] = await gateway.stores.audit.list(workspace_id)
    assert (newest.deed.action, newest.deed.object_id) == ("confirmDeletes", run_id)
    assert newest.deed.after == {"confirms_run": stopped, "deletes": 812, "sync_id": sync_id}


async def test_deletes_are_confirmed_once(admin: Caller, engine: Engine, stopped: str) -> None:
    first = await admin.post(f"/api/runs/{stopped}/confirm-deletes", {"deletes": 812})
    await engine.begin(first.json["data"]["id"])
    await engine.end(first.json["data"]["id"], "succeeded")

    again = await admin.post(f"/api/runs/{stopped}/confirm-deletes", {"deletes": 812})

    assert (again.status, again.json["code"]) == (409, "DELETES_CONFIRMED")
    assert again.json["existing_id"] == first.json["data"]["id"]


async def test_repeat_by_its_key_is_one_confirmation(admin: Caller, stopped: str) -> None:
    key = {"Idempotency-Key": "k"}
    answers = [
        await admin.post(f"/api/runs/{stopped}/confirm-deletes", {"deletes": 812}, headers=key) for _ in range(2)
    ]

    assert [answered.status for answered in answers] == [200, 200]
    assert answers[0].raw == answers[1].raw


async def test_run_that_failed_otherwise_has_no_deletes_to_confirm(admin: Caller, engine: Engine, sync_id: str) -> None:
    run_id = str((await admin.post(_START, {"syncId": sync_id})).json["data"]["id"])
    await engine.end(run_id, "failed", code="SOURCE_DOWN", message="it is down")

    refused = await admin.post(f"/api/runs/{run_id}/confirm-deletes", {"deletes": 1})

    assert (refused.status, refused.json["code"]) == (409, "NOT_GUARDED")


async def test_deletes_of_a_run_that_was_overtaken_are_not_confirmed(
    admin: Caller, engine: Engine, stopped: str, sync_id: str
) -> None:
    newer = str((await admin.post(_START, {"syncId": sync_id})).json["data"]["id"])
    await engine.end(newer, "succeeded")

    refused = await admin.post(f"/api/runs/{stopped}/confirm-deletes", {"deletes": 812})

    assert (refused.status, refused.json["code"]) == (409, "RUN_OVERTAKEN")


async def test_viewers_strangers_and_nonsense_confirm_nothing(
    gateway: Gateway, admin: Caller, stranger: Caller, workspace_id: WorkspaceId, stopped: str
) -> None:
    viewer = await gateway.caller(workspace_id, Role.VIEWER)
    path = f"/api/runs/{stopped}/confirm-deletes"

    answers = [
        await viewer.post(path, {"deletes": 1}),
        await stranger.post(path, {"deletes": 1}),
        await admin.post(path, {"deletes": 0}),
        await admin.post(path, {}),
    ]

    assert [answered.status for answered in answers] == [403, 404, 422, 422]


@pytest.mark.parametrize("deletes", [True, 1.5, "1", 2**31])
async def test_number_of_deletes_is_a_whole_number(admin: Caller, stopped: str, deletes: object) -> None:
    assert (await admin.post(f"/api/runs/{stopped}/confirm-deletes", {"deletes": deletes})).status == 422
