"""The Planasonix contract: destinations, and what they say of themselves when asked."""

from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from tailrace.testing.fake_http import answer
from tests.gateway.caller import A_DESTINATION, HTTP_SETTINGS, Caller, a_sync
from tests.gateway.conftest import Gateway

RETL = "/api/reverse-etl"
PREFIXES = pytest.mark.parametrize("prefix", ["", "/v1"], ids=["without prefix", "with /v1"])

_TABLES = """
CREATE TABLE accounts (external_id text PRIMARY KEY, name text NOT NULL, revenue numeric);
CREATE TABLE contacts (email text);
REVOKE UPDATE, DELETE ON contacts FROM CURRENT_USER;
"""
ACCOUNT = [
    {"source": "a", "destination": "external_id", "key": True},
    {"source": "b", "destination": "name"},
]


@pytest_asyncio.fixture
async def crm_id(admin: Caller, empty_database_url: str) -> str:
    """A real PostgreSQL with two tables to write to."""
    connection = await asyncpg.connect(empty_database_url)
    await connection.execute(_TABLES)
    await connection.close()
    settings = {"url": empty_database_url}
    return await admin.made("/api/destinations", {"name": "tables", "connector": "postgres", "settings": settings})


@PREFIXES
async def test_destinations_show_every_field_of_the_contract(admin: Caller, destination_id: str, prefix: str) -> None:
    listed = await admin.get(f"{prefix}{RETL}/destinations")

    assert listed.json == {
        "data": [
            {
                "id": destination_id,
                "type": "reverse_etl_destination",
                "attributes": {
                    "name": "CRM",
                    "connector": "http",
                    "status": "untested",
                    "objects_discoverable": False,
                },
            }
        ]
    }


async def test_destinations_can_be_restricted_to_a_connector(admin: Caller, destination_id: str, crm_id: str) -> None:
    listed = await admin.get(f"{RETL}/destinations?connector=postgres")

    assert [each["id"] for each in listed.json["data"]] == [crm_id]
    assert listed.json["data"][0]["attributes"]["objects_discoverable"] is True


@PREFIXES
async def test_objects_show_every_field_of_the_contract(admin: Caller, crm_id: str, prefix: str) -> None:
    listed = await admin.get(f"{prefix}{RETL}/objects?destination_id={crm_id}")

    first = listed.json["data"][0]
    assert (first["id"], first["type"]) == ("public.accounts", "destination_object")
    assert (
        first["attributes"].items()
        >= {
            "label": "public.accounts",
            "api_name": "public.accounts",
            "supports_upsert": True,
            "writable": True,
            "has_members": False,
        }.items()
    )


@pytest.mark.parametrize(("search", "found"), [("CONT", ["public.contacts"]), ("nothing", [])])
async def test_objects_can_be_searched_in_any_case(admin: Caller, crm_id: str, search: str, found: list[str]) -> None:
    listed = await admin.get(f"{RETL}/objects?destination_id={crm_id}&search={search}")

    assert [each["id"] for each in listed.json["data"]] == found


@PREFIXES
async def test_fields_show_every_field_of_the_contract(admin: Caller, crm_id: str, prefix: str) -> None:
    listed = await admin.get(f"{prefix}{RETL}/fields?destination_id={crm_id}&object_name=public.accounts")

    fields = {each["id"]: each for each in listed.json["data"]}
    assert fields["external_id"] == {
        "id": "external_id",
        "type": "destination_field",
        "attributes": {
            "label": "external_id",
            "data_type": "text",
            "required": True,
            "updateable": True,
            "external_id": True,
        },
    }
    assert fields["name"]["attributes"]["external_id"] is False


@pytest.mark.parametrize("path", ["objects?", "fields?object_name=x", "fields?destination_id=conn_x"])
async def test_needed_parameters_are_named(admin: Caller, path: str) -> None:
    refused = await admin.get(f"{RETL}/{path}")

    assert refused.status == 422
    assert refused.json["errors"][0]["code"] == "missing"


@pytest.mark.parametrize("path", ["objects?destination_id=conn_x", "fields?destination_id=conn_x&object_name=o"])
async def test_unknown_destination_is_404(admin: Caller, path: str) -> None:
    assert (await admin.get(f"{RETL}/{path}")).status == 404


async def test_unknown_object_is_422_and_says_so(admin: Caller, crm_id: str) -> None:
    refused = await admin.get(f"{RETL}/fields?destination_id={crm_id}&object_name=nothing")

    assert (refused.status, refused.json["code"]) == (422, "DESTINATION_INVALID")


async def test_destination_that_is_away_is_no_outage_of_ours(admin: Caller) -> None:
    settings = {"host": "127.0.0.1", "port": 1, "user": "u"}
    away_id = await admin.made("/api/destinations", {"name": "away", "connector": "postgres", "settings": settings})

    refused = await admin.get(f"{RETL}/objects?destination_id={away_id}")

    assert (refused.status, refused.json["code"]) == (424, "DESTINATION_UNAVAILABLE")


class TestSyncAgainstDiscovery:
    @pytest.mark.parametrize(
        ("change", "pointer"),
        [
            ({"objectName": "public.nothing"}, "/objectName"),
            ({"objectName": "public.contacts"}, "/syncMode"),
            (
                {"fieldMappings": [*ACCOUNT, {"source": "c", "destination": "nothing"}]},
                "/fieldMappings/2/destination",
            ),
        ],
        ids=["object", "mode", "field"],
    )
    async def test_what_the_destination_does_not_have_is_refused(
        self, admin: Caller, source_id: str, crm_id: str, change: dict[str, Any], pointer: str
    ) -> None:
        fits: dict[str, Any] = {"objectName": "public.accounts", "fieldMappings": ACCOUNT}

        taken = await admin.post(f"{RETL}/syncs", a_sync(crm_id, **fits))
        refused = await admin.post(f"{RETL}/syncs", a_sync(crm_id, **fits | change))

        assert (taken.status, refused.status) == (201, 422)
        assert [fault["pointer"] for fault in refused.json["errors"]] == [pointer]

    async def test_update_is_checked_too(self, gateway: Gateway, admin: Caller, sync_id: str) -> None:
        settings = HTTP_SETTINGS | {"objects": ["contacts"]}
        picky_id = await admin.made("/api/destinations", A_DESTINATION | {"settings": settings})
        gateway.http.then(answer(200))

        refused = await admin.put(f"{RETL}/syncs/{sync_id}", {"destinationId": picky_id})

        assert (refused.status, refused.json["errors"][0]["pointer"]) == (422, "/objectName")


async def test_objects_are_remembered_until_the_destination_is_changed(
    admin: Caller, crm_id: str, empty_database_url: str
) -> None:
    path = f"{RETL}/objects?destination_id={crm_id}&search=contacts"
    before = await admin.get(path)
    connection = await asyncpg.connect(empty_database_url)
    await connection.execute("DROP TABLE contacts")
    await connection.close()

    remembered = await admin.get(path)
    await admin.put(f"/api/destinations/{crm_id}", {"name": "renamed"})
    asked_anew = await admin.get(path)

    assert before.json == remembered.json
    assert [len(listed.json["data"]) for listed in (remembered, asked_anew)] == [1, 0]
