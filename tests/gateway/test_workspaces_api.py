"""Workspaces: made with the platform's token, seen and named by their own."""

from dataclasses import replace

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from tailrace.core.ids import WorkspaceId
from tailrace.store.tokens import Role
from tailrace_gateway.app import make_app
from tailrace_gateway.routes import ROUTES
from tests.gateway.caller import A_SOURCE, Caller
from tests.gateway.conftest import PLATFORM_TOKEN, Gateway

PATH = "/api/workspaces"


@pytest.fixture
def platform(gateway: Gateway) -> Caller:
    return Caller(gateway.session, gateway.url, PLATFORM_TOKEN)


async def test_first_workspace_comes_with_its_first_token(platform: Caller) -> None:
    made = await platform.post(PATH, {"name": "Marketing"})
    admin = replace(platform, token=made.attributes["token"])

    source = await admin.post("/api/sources", A_SOURCE)
    listed = await admin.get("/api/tokens")

    assert (made.status, made.attributes["name"], source.status) == (201, "Marketing", 201)
    [token] = listed.json["data"]
    assert (token["id"], token["attributes"]["role"]) == (made.attributes["token_id"], "admin")
    assert made.attributes["token"].encode() not in listed.raw


async def test_making_one_is_recorded_in_its_own_chain(gateway: Gateway, platform: Caller) -> None:
    made = await platform.post(PATH, {"name": "Marketing"})

    records = await gateway.stores.audit.list(WorkspaceId(made.json["data"]["id"]), limit=10)

    assert [(record.deed.action, record.deed.actor) for record in records] == [("createWorkspace", "token:*platform*")]
    assert made.attributes["token"] not in str(records)


async def test_repeat_by_its_key_makes_one(platform: Caller) -> None:
    key = {"Idempotency-Key": "k"}

    answers = [await platform.post(PATH, {"name": "Marketing"}, headers=key) for _ in range(2)]
    other = await platform.post(PATH, {"name": "Sales"}, headers=key)

    assert answers[0].json == answers[1].json
    assert (other.status, other.json["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert len((await platform.get(PATH)).json["data"]) == 1


async def test_platform_lists_all_and_a_token_its_own(
    platform: Caller, admin: Caller, stranger: Caller, workspace_id: WorkspaceId
) -> None:
    first = (await platform.get(f"{PATH}?limit=1")).json
    second = (await platform.get(f"{PATH}?limit=1&cursor={first['meta']['page']['cursor']}")).json
    mine = (await admin.get(PATH)).json

    assert [each["id"] for each in mine["data"]] == [workspace_id]
    assert len({each["id"] for each in (*first["data"], *second["data"])}) == 2
    assert second["meta"]["page"]["cursor"] is None


@pytest.mark.parametrize("role", list(Role))
async def test_token_of_a_workspace_makes_none(gateway: Gateway, workspace_id: WorkspaceId, role: Role) -> None:
    caller = await gateway.caller(workspace_id, role)

    refused = await caller.post(PATH, {"name": "mine"})

    assert refused.status == 403
    assert "TAILRACE_PLATFORM_TOKEN" in refused.json["detail"]
    assert await gateway.stores.database.fetchval("SELECT count(*) FROM workspaces") == 1


async def test_without_the_setting_nobody_is_the_platform(gateway: Gateway) -> None:
    async with TestServer(make_app(gateway.stores, ROUTES)) as server, ClientSession() as session:
        nobody = Caller(session, str(server.make_url("")).rstrip("/"), PLATFORM_TOKEN)

        assert (await nobody.post(PATH, {"name": "mine"})).status == 401


@pytest.mark.parametrize("changed", [PLATFORM_TOKEN[:-1], PLATFORM_TOKEN + "x", PLATFORM_TOKEN.upper(), "é"])
async def test_nearly_the_platforms_token_opens_nothing(platform: Caller, changed: str) -> None:
    assert (await replace(platform, token=changed).get(PATH)).status == 401


async def test_name_changes_for_who_has_seen_the_last_one(admin: Caller, workspace_id: WorkspaceId) -> None:
    path = f"{PATH}/{workspace_id}"
    seen = (await admin.get(path)).headers["ETag"]

    renamed = await admin.call("PUT", path, {"name": "Growth"}, headers={"If-Match": seen})
    stale = await admin.call("PUT", path, {"name": "Other"}, headers={"If-Match": seen})

    assert (renamed.status, renamed.attributes["name"], stale.status) == (200, "Growth", 412)
    assert (await admin.get(path)).headers["ETag"] == renamed.headers["ETag"] != seen


async def test_workspace_of_others_is_like_an_unknown_one(admin: Caller, stranger: Caller) -> None:
    theirs = (await stranger.get(PATH)).json["data"][0]["id"]

    answers = [
        await admin.call(method, f"{PATH}/{name}", {"name": "mine"} if method == "PUT" else None)
        for name in (theirs, "ws_unknown")
        for method in ("GET", "PUT")
    ]

    assert {(answered.status, answered.json["code"]) for answered in answers} == {(404, "WORKSPACE_NOT_FOUND")}
