"""The Planasonix contract: syncs, field by field as its examples show them."""

import asyncio
import re
from typing import Any

import pytest

from tailrace.testing.eventually import eventually
from tailrace.testing.fake_http import answer
from tests.gateway.caller import A_DESTINATION, A_SOURCE, HTTP_SETTINGS, Caller, a_sync
from tests.gateway.conftest import Gateway
from tests.gateway.engine import Engine

SYNCS = "/api/reverse-etl/syncs"
_WAITING = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
_SECONDS = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")

PREFIXES = pytest.mark.parametrize("prefix", ["", "/v1"], ids=["without prefix", "with /v1"])


@PREFIXES
async def test_created_sync_shows_every_field_of_the_contract(
    admin: Caller, source_id: str, destination_id: str, prefix: str
) -> None:
    created = await admin.post(prefix + SYNCS, a_sync(destination_id))

    data = created.json["data"]
    assert created.status == 201
    assert (data["type"], data["id"][:10]) == ("reverse_etl_sync", "retl_sync_")
    assert (
        data["attributes"].items()
        >= {
            "name": "crm_accounts_warehouse_to_salesforce",
            "source_query": "SELECT account_id, name FROM analytics.dim_crm_account WHERE is_active = true",
            "destination_id": destination_id,
            "object_name": "Account",
            "sync_mode": "upsert",
            "enabled": True,
        }.items()
    )
    assert data["attributes"]["field_mappings"] == [
        {"source": "account_id", "destination": "External_Id__c", "key": True},
        {"source": "name", "destination": "Name"},
    ]
    assert data["attributes"]["schedule"] == {"type": "cron", "expression": "15 */4 * * *", "timezone": "UTC"}
    assert _SECONDS.fullmatch(data["attributes"]["created_at"])
    assert _SECONDS.fullmatch(data["attributes"]["updated_at"])


async def test_fields_may_be_named_in_snake_case(admin: Caller, source_id: str, destination_id: str) -> None:
    body = {
        "name": "n",
        "source_query": "SELECT 1 AS id",
        "destination_id": destination_id,
        "source_id": source_id,
        "object_name": "o",
        "field_mappings": [{"source": "id", "destination": "id", "key": True}],
        "sync_mode": "delete",
        "schedule": {"type": "interval", "every_minutes": 15},
    }

    created = await admin.post(SYNCS, body)

    assert created.status == 201
    assert created.attributes["schedule"] == {"type": "interval", "every_minutes": 15}


@PREFIXES
async def test_sync_can_be_read_back(admin: Caller, sync_id: str, prefix: str) -> None:
    shown = await admin.get(f"{prefix}{SYNCS}/{sync_id}")

    assert (shown.status, shown.json["data"]["id"]) == (200, sync_id)
    assert shown.attributes["last_run"] is None


async def test_sync_shows_how_its_last_run_stands(admin: Caller, engine: Engine, sync_id: str) -> None:
    run_id = (await admin.post("/api/reverse-etl/sync/run", {"syncId": sync_id})).json["data"]["id"]
    await engine.begin(run_id)
    await engine.end(run_id, "failed")

    shown = await admin.get(f"{SYNCS}/{sync_id}")

    assert shown.attributes["last_run"].items() >= {"id": run_id, "status": "failed"}.items()


async def test_update_changes_only_what_it_names(admin: Caller, sync_id: str) -> None:
    before = await admin.get(f"{SYNCS}/{sync_id}")

    updated = await admin.put(f"{SYNCS}/{sync_id}", {"schedule": {"type": "cron", "expression": "0 */2 * * *"}})

    changed = {"schedule", "next_run_at", "updated_at"}
    assert updated.attributes["schedule"] == {"type": "cron", "expression": "0 */2 * * *", "timezone": "UTC"}
    assert updated.attributes.keys() == before.attributes.keys()
    assert _without(updated.attributes, changed) == _without(before.attributes, changed)


@pytest.mark.parametrize(
    ("change", "version"),
    [
        ({"name": "renamed"}, 1),
        ({"schedule": {"type": "manual"}}, 1),
        ({"sourceQuery": "SELECT 2 AS account_id"}, 2),
        ({"syncMode": "upsert"}, 1),
    ],
    ids=["name", "schedule", "query", "mode as it was"],
)
async def test_only_a_new_definition_is_a_new_version(
    admin: Caller, sync_id: str, change: dict[str, Any], version: int
) -> None:
    updated = await admin.put(f"{SYNCS}/{sync_id}", change)

    assert (updated.status, updated.attributes["version"]) == (200, version)


async def test_deleted_sync_says_so_and_is_gone(admin: Caller, sync_id: str) -> None:
    deleted = await admin.delete(f"{SYNCS}/{sync_id}")
    after = await admin.get(f"{SYNCS}/{sync_id}")

    assert deleted.json["data"].items() >= {"id": sync_id, "type": "reverse_etl_sync"}.items()
    assert deleted.attributes["deleted"] is True
    assert _SECONDS.fullmatch(deleted.attributes["deleted_at"])
    assert after.status == 404


async def test_delete_cancels_the_run_and_keeps_its_history(admin: Caller, sync_id: str) -> None:
    await admin.post("/api/reverse-etl/sync/run", {"syncId": sync_id})

    await admin.delete(f"{SYNCS}/{sync_id}")

    runs = await admin.get(f"/api/reverse-etl/runs?sync_id={sync_id}")
    assert [run["attributes"]["status"] for run in runs.json["data"]] == ["cancelled"]


async def test_repeat_of_a_start_after_delete_is_404(admin: Caller, sync_id: str) -> None:
    await admin.post(f"/v2/retl-connections/{sync_id}/start")
    await admin.delete(f"{SYNCS}/{sync_id}")

    missing = await admin.post(f"/v2/retl-connections/{sync_id}/start")

    assert missing.status == 404


async def test_delete_waits_for_a_start_and_cancels_its_run(gateway: Gateway, admin: Caller, sync_id: str) -> None:
    database = gateway.stores.database
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks, database.transaction() as connection:
        await connection.execute("LOCK TABLE run_shards IN ACCESS EXCLUSIVE MODE")
        tasks.create_task(admin.post("/api/reverse-etl/sync/run", {"syncId": sync_id}))
        await eventually(lambda: database.fetchval(_WAITING), 1)
        tasks.create_task(admin.delete(f"{SYNCS}/{sync_id}"))
        await eventually(lambda: database.fetchval(_WAITING), 2)

    assert await database.fetchval("SELECT status FROM runs") == "cancelled"


@PREFIXES
async def test_toggle_answers_as_the_contract_shows(admin: Caller, sync_id: str, prefix: str) -> None:
    toggled = await admin.post(f"{prefix}/api/reverse-etl/sync/toggle", {"syncId": sync_id, "enabled": False})

    assert (toggled.status, toggled.json["data"]["id"]) == (200, sync_id)
    assert toggled.attributes.keys() == {"enabled", "updated_at"}
    assert toggled.attributes["enabled"] is False


async def test_paused_sync_has_no_next_run(admin: Caller, sync_id: str) -> None:
    running = await admin.get(f"{SYNCS}/{sync_id}")

    await admin.post("/api/reverse-etl/sync/toggle", {"syncId": sync_id, "enabled": False})

    paused = await admin.get(f"{SYNCS}/{sync_id}")
    assert running.attributes["next_run_at"].endswith(":15:00Z")
    assert paused.attributes["next_run_at"] is None


class TestListing:
    @PREFIXES
    async def test_list_has_the_envelope_of_the_contract(self, admin: Caller, sync_id: str, prefix: str) -> None:
        listed = await admin.get(prefix + SYNCS)

        [sync] = listed.json["data"]
        assert listed.json["meta"] == {"page": {"limit": 50, "cursor": None}}
        assert (sync["id"], sync["type"]) == (sync_id, "reverse_etl_sync")
        assert sync["attributes"].keys() >= {
            *("name", "destination_id", "object_name", "sync_mode", "enabled", "schedule", "updated_at")
        }

    async def test_filter_by_destination(self, admin: Caller, sync_id: str, destination_id: str) -> None:
        other_id = await admin.made("/api/destinations", A_DESTINATION)

        of_this = await admin.get(f"{SYNCS}?destination_id={destination_id}")
        of_other = await admin.get(f"{SYNCS}?destinationId={other_id}")

        assert [sync["id"] for sync in of_this.json["data"]] == [sync_id]
        assert of_other.json["data"] == []

    @pytest.mark.parametrize(("enabled", "at"), [("true", 0), ("false", 1)])
    async def test_filter_by_enabled(
        self, admin: Caller, sync_id: str, another_sync_id: str, enabled: str, at: int
    ) -> None:
        await admin.post("/api/reverse-etl/sync/toggle", {"syncId": another_sync_id, "enabled": False})

        listed = await admin.get(f"{SYNCS}?enabled={enabled}")

        assert [sync["id"] for sync in listed.json["data"]] == [[sync_id, another_sync_id][at]]

    async def test_cursor_walks_to_the_end(self, admin: Caller, sync_id: str, another_sync_id: str) -> None:
        first = await admin.get(f"{SYNCS}?limit=1")
        second = await admin.get(f"{SYNCS}?limit=1&cursor={first.json['meta']['page']['cursor']}")

        assert [sync["id"] for page in (first, second) for sync in page.json["data"]] == [sync_id, another_sync_id]
        assert second.json["meta"] == {"page": {"limit": 1, "cursor": None}}


class TestSource:
    async def test_only_source_is_meant_where_none_is_named(
        self, admin: Caller, source_id: str, destination_id: str
    ) -> None:
        created = await admin.post(SYNCS, a_sync(destination_id))

        assert created.attributes["source_id"] == source_id

    async def test_several_sources_ask_for_a_choice(self, admin: Caller, source_id: str, destination_id: str) -> None:
        await admin.made("/api/sources", A_SOURCE)

        refused = await admin.post(SYNCS, a_sync(destination_id))

        assert (refused.status, refused.json["errors"][0]["pointer"]) == (422, "/sourceId")

    async def test_no_source_asks_for_one(self, admin: Caller, destination_id: str) -> None:
        refused = await admin.post(SYNCS, a_sync(destination_id))

        assert (refused.status, refused.json["errors"][0]["pointer"]) == (422, "/sourceId")
        assert "POST /api/sources" in refused.json["message"]


class TestRefused:
    @pytest.mark.parametrize(
        ("change", "pointer"),
        [
            ({"name": ""}, "/name"),
            ({"name": 5}, "/name"),
            ({"sourceQuery": "x" * 65_537}, "/sourceQuery"),
            ({"fieldMappings": []}, "/fieldMappings"),
            ({"fieldMappings": [{"source": "a", "destination": "b"}]}, "/fieldMappings"),
            (
                {
                    "fieldMappings": [
                        {"source": "a", "destination": "b", "key": True},
                        {"source": "c", "destination": "b"},
                    ]
                },
                "/fieldMappings",
            ),
            ({"fieldMappings": [{"destination": "b", "key": True}]}, "/fieldMappings/0"),
            ({"fieldMappings": [{"source": "a", "destination": "b", "kee": True}]}, "/fieldMappings/0/kee"),
            ({"maxDeleteRatio": 1.1}, "/maxDeleteRatio"),
            ({"reading": {"type": "cursor"}}, "/reading/column"),
            ({"reading": {"type": "version"}}, "/reading/column"),
            ({"reading": {"type": "version", "column": "at", "lookBackS": 1}}, "/reading/lookBackS"),
            ({"reading": {"type": "cursor", "column": "at", "lookBackS": -1}}, "/reading/lookBackS"),
            ({"reading": {"type": "guess"}}, "/reading"),
            ({"syncMode": "merge"}, "/syncMode"),
            ({"schedule": {"type": "cron", "expression": "* * * *"}}, "/schedule"),
            ({"schedule": {"type": "cron", "expression": "0 0 30 2 *"}}, "/schedule"),
            ({"schedule": {"type": "cron", "expression": "@daily", "timezone": "Mars/Base"}}, "/schedule"),
            ({"schedule": {"type": "cron"}}, "/schedule/expression"),
            ({"schedule": {"type": "interval", "everyMinutes": 0}}, "/schedule/everyMinutes"),
            ({"schedule": {"type": "hourly"}}, "/schedule"),
            ({"workspaceId": "ws_other"}, "/workspaceId"),
            ({"version": 7}, "/version"),
            ({"a/b~c": 1}, "/a~1b~0c"),
        ],
        ids=str,
    )
    async def test_bad_value_is_422_with_its_place(
        self, admin: Caller, source_id: str, destination_id: str, change: dict[str, Any], pointer: str
    ) -> None:
        refused = await admin.post(SYNCS, a_sync(destination_id, **change))

        assert (refused.status, refused.headers["Content-Type"]) == (422, "application/problem+json")
        assert [fault["pointer"] for fault in refused.json["errors"]] == [pointer]

    async def test_every_missing_field_is_named(self, admin: Caller) -> None:
        refused = await admin.post(SYNCS, {})

        assert [fault["pointer"] for fault in refused.json["errors"]] == [
            *("/name", "/sourceQuery", "/destinationId", "/objectName", "/fieldMappings", "/syncMode")
        ]

    @pytest.mark.parametrize("field", ["sourceId", "destinationId"])
    async def test_unknown_connection_is_404(
        self, admin: Caller, source_id: str, destination_id: str, field: str
    ) -> None:
        missing = await admin.post(SYNCS, a_sync(destination_id, **{field: "conn_unknown"}))

        assert missing.status == 404

    async def test_destination_cannot_stand_for_a_source(
        self, admin: Caller, source_id: str, destination_id: str
    ) -> None:
        missing = await admin.post(SYNCS, a_sync(destination_id, sourceId=destination_id))

        assert (missing.status, missing.json["code"]) == (404, "SOURCE_NOT_FOUND")

    async def test_object_that_the_destination_does_not_offer(self, admin: Caller, source_id: str) -> None:
        settings = HTTP_SETTINGS | {"objects": ["contacts", "accounts"]}
        picky_id = await admin.made("/api/destinations", A_DESTINATION | {"settings": settings})

        refused = await admin.post(SYNCS, a_sync(picky_id))

        assert (refused.status, refused.json["errors"][0]["pointer"]) == (422, "/objectName")
        assert "accounts, contacts" in refused.json["message"]


async def test_silent_destination_does_not_stop_the_making_of_a_sync(
    gateway: Gateway, admin: Caller, source_id: str
) -> None:
    gateway.http.then(answer(503))
    settings = {"host": "127.0.0.1", "port": 1, "user": "u", "database": "d"}
    away_id = await admin.made("/api/destinations", {"name": "away", "connector": "postgres", "settings": settings})

    created = await admin.post(SYNCS, a_sync(away_id))

    assert created.status == 201


def _without(attributes: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if name not in names}
