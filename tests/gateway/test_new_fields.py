"""Fields that are made at a destination: once, by admins, and told in the audit."""

from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from tailrace.core.ids import WorkspaceId
from tailrace.store.tokens import Role
from tests.gateway.caller import A_DESTINATION, Caller
from tests.gateway.conftest import Gateway

FIELD = {"objectName": "public.contacts", "name": "tier", "label": "Tier", "kind": "text"}
KEY = {"Idempotency-Key": "a-field"}


@pytest_asyncio.fixture
async def target_id(admin: Caller, empty_database_url: str) -> str:
    """A destination with a table of contacts."""
    connection = await asyncpg.connect(empty_database_url, timeout=10, command_timeout=30)
    await connection.execute("CREATE TABLE contacts (id int PRIMARY KEY, name text)")
    await connection.close(timeout=10)
    settings = {"url": empty_database_url}
    return await admin.made("/api/destinations", {"name": "c", "connector": "postgres", "settings": settings})


async def fields_of(caller: Caller, target_id: str) -> set[str]:
    listed = await caller.get(f"/api/reverse-etl/fields?destination_id={target_id}&object_name=public.contacts")
    return {each["id"] for each in listed.json["data"]}


async def test_field_is_made_and_shown_at_once(admin: Caller, target_id: str) -> None:
    before = await fields_of(admin, target_id)

    made = await admin.post(f"/api/destinations/{target_id}/fields", FIELD)

    assert (made.status, made.json["data"]["id"], made.attributes["data_type"]) == (200, "tier", "text")
    assert await fields_of(admin, target_id) - before == {"tier"}


async def test_field_that_is_there_stays_as_it_is(admin: Caller, target_id: str) -> None:
    made = await admin.post(f"/api/destinations/{target_id}/fields", FIELD)

    again = await admin.post(f"/api/destinations/{target_id}/fields", FIELD | {"kind": "number"})

    assert (again.status, again.json) == (200, made.json)


async def test_repeat_with_the_same_key_gets_the_same_answer(admin: Caller, target_id: str) -> None:
    made = await admin.post(f"/api/destinations/{target_id}/fields", FIELD, headers=KEY)

    again = await admin.post(f"/api/destinations/{target_id}/fields", FIELD, headers=KEY)
    other = await admin.post(f"/api/destinations/{target_id}/fields", FIELD | {"name": "x"}, headers=KEY)

    assert (again.raw, other.status) == (made.raw, 422)
    assert "x" not in await fields_of(admin, target_id)


async def test_deed_is_in_the_audit(admin: Caller, target_id: str) -> None:
    await admin.post(f"/api/destinations/{target_id}/fields", FIELD)

    listed = await admin.get("/api/audit")

    attributes = next(each for each in listed.json["data"] if "ensureField" in str(each))["attributes"]
    assert target_id in str(attributes)
    assert "public.contacts" in str(attributes)


async def test_editor_may_not(gateway: Gateway, workspace_id: WorkspaceId, target_id: str) -> None:
    editor = await gateway.caller(workspace_id, Role.EDITOR)

    made = await editor.post(f"/api/destinations/{target_id}/fields", FIELD)

    assert made.status == 403


@pytest.mark.parametrize(
    ("field", "status", "told"),
    [
        (FIELD | {"kind": "shoe size"}, 422, "kind"),
        (FIELD | {"name": ""}, 422, "name"),
        (FIELD | {"objectName": "public.nowhere"}, 422, "public.contacts"),
    ],
)
async def test_field_that_cannot_be_is_refused_with_the_reason(
    admin: Caller, target_id: str, field: dict[str, Any], status: int, told: str
) -> None:
    made = await admin.post(f"/api/destinations/{target_id}/fields", field)

    assert made.status == status
    assert told in str(made.json)


async def test_destination_that_makes_no_fields_says_so(admin: Caller) -> None:
    http_id = await admin.made("/api/destinations", A_DESTINATION)

    made = await admin.post(f"/api/destinations/{http_id}/fields", FIELD)

    assert (made.status, "makes no fields" in str(made.json)) == (422, True)


async def test_destination_of_another_workspace_is_not_found(stranger: Caller, target_id: str) -> None:
    made = await stranger.post(f"/api/destinations/{target_id}/fields", FIELD)

    assert made.status == 404
