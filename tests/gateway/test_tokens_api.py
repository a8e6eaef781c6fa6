"""Tokens, made, listed and revoked over the API."""

from dataclasses import replace

import pytest

from tailrace.store.tokens import Role
from tests.gateway.caller import Caller, Json

PATH = "/api/tokens"


@pytest.mark.parametrize("role", list(Role))
async def test_new_token_opens_what_its_role_covers(admin: Caller, role: Role) -> None:
    made = await admin.post(PATH, {"name": "ci", "role": role})
    holder = replace(admin, token=made.attributes["token"])

    listed, managed = await holder.get("/api/sources"), await holder.get(PATH)

    assert (made.status, listed.status) == (201, 200)
    assert managed.status == (200 if role is Role.ADMIN else 403)


async def test_text_of_a_token_is_shown_once(admin: Caller) -> None:
    made = await admin.post(PATH, {"name": "ci", "role": "viewer", "expiresAt": "2999-01-01T00:00:00Z"})

    listed = await admin.get(PATH)

    shown = {each["id"]: each["attributes"] for each in listed.json["data"]}
    assert shown[made.json["data"]["id"]].items() >= {"name": "ci", "expires_at": "2999-01-01T00:00:00Z"}.items()
    assert made.attributes["token"].encode() not in listed.raw


async def test_revoked_token_opens_nothing(admin: Caller) -> None:
    made = await admin.post(PATH, {"name": "ci", "role": "viewer"})
    path = f"{PATH}/{made.json['data']['id']}"

    revoked, again = await admin.delete(path), await admin.delete(path)
    refused = await replace(admin, token=made.attributes["token"]).get("/api/sources")

    assert (revoked.attributes, again.status, refused.status) == ({"revoked": True}, 200, 401)


async def test_token_of_another_workspace_is_like_an_unknown_one(admin: Caller, stranger: Caller) -> None:
    made = await admin.post(PATH, {"name": "ci", "role": "viewer"})

    foreign = await stranger.delete(f"{PATH}/{made.json['data']['id']}")
    unknown = await stranger.delete(f"{PATH}/00000000")
    still = await replace(admin, token=made.attributes["token"]).get("/api/sources")

    assert (foreign.status, foreign.json["code"]) == (unknown.status, unknown.json["code"]) == (404, "TOKEN_NOT_FOUND")
    assert made.json["data"]["id"].encode() not in (await stranger.get(PATH)).raw
    assert still.status == 200


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [({"role": "owner"}, "/role"), ({"name": ""}, "/name"), ({"expiresAt": "2020-01-01T00:00:00Z"}, "/expiresAt")],
)
async def test_token_that_cannot_work_is_refused(admin: Caller, changes: Json, pointer: str) -> None:
    refused = await admin.post(PATH, {"name": "ci", "role": "viewer"} | changes)

    assert (refused.status, refused.json["errors"][0]["pointer"]) == (422, pointer)
