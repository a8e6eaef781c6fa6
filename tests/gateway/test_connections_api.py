"""Sources and destinations: made, shown without secrets, changed, tested, deleted."""

from typing import Any

import pytest

from tailrace.core.ids import WorkspaceId
from tailrace.store.connections import ConnectionKind
from tailrace.testing.fake_http import answer
from tests.gateway.caller import A_DESTINATION, A_SOURCE, HTTP_SETTINGS, Caller
from tests.gateway.conftest import Gateway

PREFIXES = pytest.mark.parametrize("prefix", ["", "/v1"], ids=["without prefix", "with /v1"])
KINDS = pytest.mark.parametrize(
    ("path", "body"),
    [("/api/sources", A_SOURCE), ("/api/destinations", A_DESTINATION)],
    ids=["source", "destination"],
)


@PREFIXES
async def test_created_destination_shows_everything_but_secrets(admin: Caller, prefix: str) -> None:
    limits = {"requestsPerSecond": 2.5, "maxInFlight": 4}

    created = await admin.post(f"{prefix}/api/destinations", A_DESTINATION | limits)

    assert (created.status, created.json["data"]["type"]) == (201, "destination")
    assert created.attributes["settings"] == {"url": "http://127.0.0.1:9/rows", "bearer_token": "***"}
    assert (
        created.attributes.items()
        >= {
            "name": "CRM",
            "connector": "http",
            "status": "untested",
            "requests_per_second": 2.5,
            "max_in_flight": 4,
        }.items()
    )


async def test_created_source_has_no_limits(admin: Caller) -> None:
    created = await admin.post("/api/sources", A_SOURCE)

    assert (created.status, created.json["data"]["type"]) == (201, "source")
    assert created.attributes["settings"]["password"] == "***"
    assert "max_in_flight" not in created.attributes


@KINDS
async def test_secret_is_in_no_answer_and_not_in_the_database(
    gateway: Gateway, admin: Caller, path: str, body: dict[str, Any]
) -> None:
    created = await admin.post(path, body)
    connection_id = created.json["data"]["id"]

    answers = [
        created.raw,
        (await admin.get(path)).raw,
        (await admin.get(f"{path}/{connection_id}")).raw,
        (await admin.put(f"{path}/{connection_id}", {"name": "other"})).raw,
        (await admin.post(f"{path}/{connection_id}/test")).raw,
        (await admin.delete(f"{path}/{connection_id}")).raw,
    ]

    kept = await gateway.stores.database.fetchval("SELECT string_agg(connections::text, '') FROM connections")
    assert [answered for answered in answers if b"canary" in answered] == []
    assert "canary" not in kept


async def test_executor_gets_the_secret(gateway: Gateway, destination_id: str) -> None:
    _, settings = await gateway.stores.connections.open_settings(destination_id)

    assert settings == HTTP_SETTINGS


@KINDS
async def test_list_shows_those_of_its_kind_page_by_page(admin: Caller, path: str, body: dict[str, Any]) -> None:
    await admin.made("/api/sources", A_SOURCE)
    await admin.made("/api/destinations", A_DESTINATION)
    second_id = await admin.made(path, body)

    first = await admin.get(f"{path}?limit=1")
    second = await admin.get(f"{path}?limit=1&cursor={first.json['meta']['page']['cursor']}")

    assert [shown["id"] for shown in second.json["data"]] == [second_id]
    assert second.json["meta"] == {"page": {"limit": 1, "cursor": None}}


async def test_list_can_be_restricted_to_a_connector(admin: Caller, destination_id: str) -> None:
    of_http = await admin.get("/api/destinations?connector=http")
    of_postgres = await admin.get("/api/destinations?connector=postgres")

    assert [shown["id"] for shown in of_http.json["data"]] == [destination_id]
    assert of_postgres.json["data"] == []


class TestUpdate:
    async def test_hidden_secret_given_back_is_kept(self, gateway: Gateway, admin: Caller, destination_id: str) -> None:
        settings = {"url": "http://127.0.0.1:9/new", "bearer_token": "***"}

        updated = await admin.put(f"/api/destinations/{destination_id}", {"settings": settings})

        _, opened = await gateway.stores.connections.open_settings(destination_id)
        assert updated.attributes["settings"] == settings
        assert opened == {"url": "http://127.0.0.1:9/new", "bearer_token": "t0ken-canary"}

    async def test_new_secret_takes_the_place_of_the_old(
        self, gateway: Gateway, admin: Caller, destination_id: str
    ) -> None:
        await admin.put(f"/api/destinations/{destination_id}", {"settings": HTTP_SETTINGS | {"bearer_token": "new"}})

        _, opened = await gateway.stores.connections.open_settings(destination_id)
        assert opened["bearer_token"] == "new"

    async def test_secret_left_out_is_gone(self, gateway: Gateway, admin: Caller, destination_id: str) -> None:
        await admin.put(f"/api/destinations/{destination_id}", {"settings": {"url": "http://127.0.0.1:9/rows"}})

        _, opened = await gateway.stores.connections.open_settings(destination_id)
        assert opened == {"url": "http://127.0.0.1:9/rows"}

    async def test_settings_left_out_stay(self, gateway: Gateway, admin: Caller, destination_id: str) -> None:
        updated = await admin.put(f"/api/destinations/{destination_id}", {"name": "renamed"})

        _, opened = await gateway.stores.connections.open_settings(destination_id)
        assert updated.attributes["name"] == "renamed"
        assert opened == HTTP_SETTINGS

    async def test_secret_deep_in_settings_is_kept_too(self, gateway: Gateway, admin: Caller) -> None:
        settings = {"url": "http://127.0.0.1:9/rows", "headers": {"X-Key~1": "deep-canary", "X-Other": "other-canary"}}
        made_id = await admin.made("/api/destinations", A_DESTINATION | {"settings": settings})
        hidden = settings | {"headers": {"X-Key~1": "***", "X-Other": "fresh"}}

        updated = await admin.put(f"/api/destinations/{made_id}", {"settings": hidden})

        _, opened = await gateway.stores.connections.open_settings(made_id)
        assert updated.attributes["settings"]["headers"] == {"X-Key~1": "***", "X-Other": "***"}
        assert opened["headers"] == {"X-Key~1": "deep-canary", "X-Other": "fresh"}

    async def test_null_lifts_a_limit_and_silence_keeps_it(self, admin: Caller) -> None:
        limits = {"requestsPerSecond": 5, "maxInFlight": 3}
        made_id = await admin.made("/api/destinations", A_DESTINATION | limits)

        updated = await admin.put(f"/api/destinations/{made_id}", {"maxInFlight": None})

        assert updated.attributes["requests_per_second"] == 5
        assert updated.attributes["max_in_flight"] is None

    @pytest.mark.parametrize(
        ("settings", "pointer"),
        [
            ({"url": "***"}, "/settings/url"),
            ({"url": "http://127.0.0.1:9/rows", "signing_secret": "***"}, "/settings/signing_secret"),
        ],
        ids=["no secret", "no secret kept"],
    )
    async def test_stars_for_what_is_not_kept_are_refused(
        self, admin: Caller, destination_id: str, settings: dict[str, str], pointer: str
    ) -> None:
        refused = await admin.put(f"/api/destinations/{destination_id}", {"settings": settings})

        assert (refused.status, refused.json["errors"][0]["pointer"]) == (422, pointer)

    async def test_connector_cannot_change(self, admin: Caller, destination_id: str) -> None:
        refused = await admin.put(f"/api/destinations/{destination_id}", {"connector": "postgres"})

        assert (refused.status, refused.json["errors"][0]["pointer"]) == (422, "/connector")


class TestRefused:
    @pytest.mark.parametrize(
        ("change", "pointer"),
        [
            ({"name": ""}, "/name"),
            ({"connector": "carrier-pigeon"}, "/connector"),
            ({"settings": {}}, "/settings/url"),
            ({"settings": []}, "/settings"),
            ({"settings": {"url": "gopher://canary-host/"}}, "/settings/url"),
            ({"settings": HTTP_SETTINGS | {"bearer_token": "canary\nvalue"}}, "/settings/bearer_token"),
            ({"settings": HTTP_SETTINGS | {"unknown": "canary"}}, "/settings/unknown"),
            ({"settings": HTTP_SETTINGS | {"bearer_token": "***"}}, "/settings/bearer_token"),
            ({"requestsPerSecond": 0}, "/requestsPerSecond"),
            ({"maxInFlight": 0}, "/maxInFlight"),
            ({"maxInFlight": 1.5}, "/maxInFlight"),
            ({"kind": "source"}, "/kind"),
        ],
        ids=str,
    )
    async def test_bad_value_is_422_with_its_place_and_is_not_repeated(
        self, admin: Caller, change: dict[str, Any], pointer: str
    ) -> None:
        refused = await admin.post("/api/destinations", A_DESTINATION | change)

        assert (refused.status, [fault["pointer"] for fault in refused.json["errors"]]) == (422, [pointer])
        assert b"canary" not in refused.raw

    async def test_message_of_a_connector_that_repeats_a_value_is_replaced(self, admin: Caller) -> None:
        headers = {"Content-Type": "x"}

        refused = await admin.post(
            "/api/destinations", A_DESTINATION | {"settings": HTTP_SETTINGS | {"headers": headers}}
        )

        assert (refused.status, refused.json["errors"][0]["pointer"]) == (422, "/settings/headers")

    async def test_unknown_connector_names_those_there_are(self, admin: Caller) -> None:
        refused = await admin.post("/api/destinations", A_DESTINATION | {"connector": "x"})

        assert "postgres, salesforce" in refused.json["message"]

    async def test_limits_are_none_of_a_source(self, admin: Caller) -> None:
        refused = await admin.post("/api/sources", A_SOURCE | {"maxInFlight": 1})

        assert refused.status == 422


class TestDelete:
    @KINDS
    async def test_deleted_is_gone(self, admin: Caller, path: str, body: dict[str, Any]) -> None:
        made_id = await admin.made(path, body)

        deleted = await admin.delete(f"{path}/{made_id}")

        assert (deleted.status, deleted.attributes["deleted"]) == (200, True)
        assert (await admin.get(f"{path}/{made_id}")).status == 404

    async def test_secrets_are_gone_at_once(self, gateway: Gateway, admin: Caller, destination_id: str) -> None:
        await admin.delete(f"/api/destinations/{destination_id}")

        kept = await gateway.stores.database.fetchval("SELECT secrets FROM connections WHERE id = $1", destination_id)
        assert kept == b""

    @pytest.mark.parametrize("path", ["/api/sources", "/api/destinations"])
    async def test_used_by_a_sync_stays(
        self, admin: Caller, sync_id: str, source_id: str, destination_id: str, path: str
    ) -> None:
        used_id = {"/api/sources": source_id, "/api/destinations": destination_id}[path]

        refused = await admin.delete(f"{path}/{used_id}")

        assert (refused.status, refused.json["existing_id"]) == (409, sync_id)

    async def test_kinds_are_kept_apart(self, admin: Caller, source_id: str) -> None:
        missing = await admin.delete(f"/api/destinations/{source_id}")

        assert missing.status == 404


class TestTest:
    async def test_destination_that_answers_is_connected(
        self, gateway: Gateway, admin: Caller, destination_id: str
    ) -> None:
        tested = await admin.post(f"/api/destinations/{destination_id}/test")

        assert (tested.status, tested.json["data"]["type"]) == (200, "connection_test")
        assert tested.attributes == {"status": "connected", "code": None, "message": None}
        assert [request.method for request in gateway.http.requests] == ["OPTIONS"]

    async def test_failing_destination_says_why_until_a_test_succeeds(
        self, gateway: Gateway, admin: Caller, destination_id: str
    ) -> None:
        path = f"/api/destinations/{destination_id}"
        gateway.http.then(answer(401))
        failed = await admin.post(f"{path}/test")
        listed = await admin.get("/api/reverse-etl/destinations")
        gateway.http.then(answer(200))
        mended = await admin.post(f"{path}/test")
        shown = await admin.get(path)

        assert (failed.status, failed.attributes["code"]) == (200, "CREDENTIALS_REFUSED")
        assert failed.attributes["message"]
        assert [each["attributes"]["status"] for each in listed.json["data"]] == ["failing"]
        assert mended.attributes["status"] == shown.attributes["status"] == "connected"
        assert shown.attributes["checked_at"] is not None

    async def test_change_forgets_the_last_test(self, gateway: Gateway, admin: Caller, destination_id: str) -> None:
        gateway.http.then(answer(401))
        await admin.post(f"/api/destinations/{destination_id}/test")

        updated = await admin.put(f"/api/destinations/{destination_id}", {"name": "mended"})

        assert (updated.attributes["status"], updated.attributes["checked_at"]) == ("untested", None)

    async def test_source_that_is_away_says_so(self, admin: Caller, source_id: str) -> None:
        tested = await admin.post(f"/api/sources/{source_id}/test")

        assert (tested.status, tested.attributes["code"]) == (200, "SOURCE_UNAVAILABLE")

    async def test_source_that_answers_is_connected(
        self, admin: Caller, gateway: Gateway, workspace_id: WorkspaceId, warehouse_settings: dict[str, Any]
    ) -> None:
        made_id = await admin.made("/api/sources", A_SOURCE | {"settings": warehouse_settings})

        tested = await admin.post(f"/api/sources/{made_id}/test")

        assert tested.attributes == {"status": "connected", "code": None, "message": None}
        stored = await gateway.stores.connections.get(workspace_id, made_id, kind=ConnectionKind.SOURCE)
        assert stored.check_code is None


async def test_catalogue_holds_each_connector_with_a_schema_of_its_settings(admin: Caller) -> None:
    listed = await admin.get("/api/connectors")

    found = {(each["attributes"]["kind"], each["id"]): each["attributes"] for each in listed.json["data"]}
    assert {("destination", "http"), ("destination", "postgres"), ("source", "postgres")} <= found.keys()
    http = found["destination", "http"]
    assert http["settings_schema"]["properties"]["url"]["type"] == "string"
    assert "bearer_token" in http["secret_fields"]
    assert (http["level"], found["source", "postgres"]["level"]) == ("bronze", "gold")
    assert [each for each in found.values() if not each["verified_against"]] == []
