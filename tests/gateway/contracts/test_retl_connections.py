"""RudderStack's connections, by the requests of its Go client (rudder-iac 0.18 and 0.24) and Terraform provider."""

from typing import Any

import pytest

from tests.gateway.caller import Caller, a_retl_connection, a_retl_source, a_sync
from tests.gateway.conftest import Gateway
from tests.gateway.contracts.connections import AN_EVENT, CONNECTIONS, MANUAL, made_connection, made_elsewhere

_TIMES = {"createdAt", "updatedAt"}


@pytest.mark.parametrize("prefix", ["/v2", ""], ids=["with /v2", "without prefix"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"externalId": "crm", "constants": [{"key": "Origin__c", "value": "warehouse"}], "enabled": False},
        {"schedule": {"type": "cron", "cronExpression": "30 13 * * *"}, "cursorColumn": "updated_at"},
        MANUAL | {"syncBehaviour": "full"},
        {
            "syncSettings": {
                "syncLogsConfig": {"enabled": True, "logRetentionInDays": 30, "snapshotsToRetain": 5},
                "failedKeysConfig": {"enableFailedKeysRetry": True},
            }
        },
    ],
    ids=["plain", "owned", "cron", "full", "settings"],
)
async def test_connection_is_shown_as_it_wasmade_connection(
    admin: Caller, model_id: str, destination_id: str, prefix: str, changes: dict[str, Any]
) -> None:
    asked = a_retl_connection(model_id, destination_id, **changes)

    made = await admin.post(f"{prefix}/retl-connections", asked)
    shown = await admin.get(f"{prefix}/retl-connections/{made.json['id']}")

    told = {name: value for name, value in shown.json.items() if name not in _TIMES}
    assert (made.status, made.json) == (200, shown.json)
    assert told == {"externalId": None, "constants": [], **asked, "id": made.json["id"]}


@pytest.mark.parametrize(
    "event",
    [{"type": "identify"}, {"type": "track", "name": "Paid"}, {"type": "track", "nameColumn": "kind"}],
    ids=["identify", "named", "by column"],
)
async def test_rows_become_events_where_there_is_no_object(
    admin: Caller, model_id: str, destination_id: str, event: dict[str, str]
) -> None:
    told = await made_connection(admin, model_id, destination_id, **AN_EVENT | {"event": event})

    assert told["event"] == event
    assert "object" not in told
    assert (told["identifiers"], told["mappings"]) == (AN_EVENT["identifiers"], AN_EVENT["mappings"])
    assert told["constants"] == []


async def test_name_of_an_event_is_a_field_of_its_rows(admin: Caller, model_id: str, destination_id: str) -> None:
    told = await made_connection(
        admin, model_id, destination_id, **AN_EVENT | {"event": {"type": "track", "name": "Paid"}}
    )

    sync = await admin.get(f"/api/reverse-etl/syncs/{told['id']}")

    assert sync.attributes["object_name"] == "track"
    assert sync.attributes["field_mappings"] == [
        {"source": "email", "destination": "user_id", "key": True},
        {"source": "name", "destination": "first_name"},
        {"value": "Paid", "destination": "event"},
    ]


async def test_connection_is_a_sync_of_the_other_contract(
    admin: Caller, source_id: str, model_id: str, destination_id: str
) -> None:
    told = await made_connection(admin, model_id, destination_id, constants=[{"key": "Origin__c", "value": "w"}])

    sync = await admin.get(f"/api/reverse-etl/syncs/{told['id']}")

    said = {
        "name": "CRM accounts to CRM",
        "source_id": source_id,
        "source_query": "SELECT account_id, name FROM dim_crm_account",
        "destination_id": destination_id,
        "object_name": "Account",
        "sync_mode": "upsert",
        "enabled": True,
        "schedule": {"type": "interval", "every_minutes": 60},
        "field_mappings": [
            {"source": "account_id", "destination": "External_Id__c", "key": True},
            {"source": "name", "destination": "Name"},
            {"value": "w", "destination": "Origin__c"},
        ],
    }
    assert sync.attributes == sync.attributes | said
    assert sync.attributes["next_run_at"] is not None


async def test_sync_of_the_other_contract_is_shown_as_a_connection(
    admin: Caller, source_id: str, destination_id: str
) -> None:
    sync_id = await admin.made("/api/reverse-etl/syncs", a_sync(destination_id))

    shown = await admin.get(f"{CONNECTIONS}/{sync_id}")

    told = {name: value for name, value in shown.json.items() if name not in _TIMES}
    assert told == {
        "id": sync_id,
        "sourceId": source_id,
        "destinationId": destination_id,
        "enabled": True,
        "externalId": None,
        "schedule": {"type": "cron", "cronExpression": "15 */4 * * *"},
        "syncBehaviour": "upsert",
        "identifiers": [{"from": "account_id", "to": "External_Id__c"}],
        "mappings": [{"from": "name", "to": "Name"}],
        "constants": [],
        "object": "Account",
    }


@pytest.mark.usefixtures("source_id")
async def test_constant_is_as_long_as_both_contracts_can_show(admin: Caller, destination_id: str) -> None:
    key, text = {"source": "account_id", "destination": "External_Id__c", "key": True}, "x" * 65_536
    too_long = a_sync(destination_id, fieldMappings=[key, {"value": f"{text}x", "destination": "Name"}])

    await made_elsewhere(admin, destination_id, [key, {"value": text, "destination": "Name"}])
    refused = await admin.post("/api/reverse-etl/syncs", too_long)

    listed = await admin.get(CONNECTIONS)
    assert [shown["constants"] for shown in listed.json["data"]] == [[{"key": "Name", "value": text}]]
    assert (refused.status, refused.json["errors"][0]["pointer"]) == (422, "/fieldMappings/1/value")


async def test_texts_are_kept_with_their_spaces(admin: Caller, model_id: str, destination_id: str) -> None:
    constants = [{"key": "c", "value": " pad "}, {"key": "nl", "value": "line\n"}, {"key": "space", "value": " "}]

    made = await made_connection(admin, model_id, destination_id, constants=constants)

    assert made["constants"] == constants


async def test_query_of_a_model_is_not_changed_through_one_of_its_syncs(
    admin: Caller, model_id: str, connection_id: str
) -> None:
    path = f"/api/reverse-etl/syncs/{connection_id}"

    refused = await admin.put(path, {"sourceQuery": "SELECT 1 AS account_id, 2 AS name"})
    renamed = await admin.put(path, {"name": "renamed"})

    assert (refused.status, refused.json["errors"][0]["pointer"]) == (422, "/sourceQuery")
    assert f"PUT /v2/retl-sources/{model_id}" in refused.json["detail"]
    assert (renamed.status, renamed.attributes["name"]) == (200, "renamed")


async def test_every_run_of_a_full_connection_is_a_full_one(
    gateway: Gateway, admin: Caller, model_id: str, destination_id: str
) -> None:
    told = await made_connection(admin, model_id, destination_id, syncBehaviour="full")

    await admin.post(f"{CONNECTIONS}/{told['id']}/start", {"syncType": "incremental"})

    assert await gateway.stores.database.fetchval("SELECT kind FROM runs") == "full"


async def test_mirror_connection_is_a_mirror_sync(admin: Caller, model_id: str, destination_id: str) -> None:
    told = await made_connection(admin, model_id, destination_id, syncBehaviour="mirror")

    sync = await admin.get(f"/api/reverse-etl/syncs/{told['id']}")

    assert (told["syncBehaviour"], sync.attributes["sync_mode"]) == ("mirror", "mirror")


class TestList:
    async def test_pages_lead_to_each_other_by_paths(self, admin: Caller, model_id: str, destination_id: str) -> None:
        made = [(await made_connection(admin, model_id, destination_id, object=name))["id"] for name in ("A", "B", "C")]

        first = (await admin.get(f"{CONNECTIONS}?destinationId={destination_id}&page=1&pageSize=2")).json
        last = (await admin.get(first["paging"]["next"])).json

        assert first["paging"]["next"].startswith("/v2/retl-connections?")
        assert [each["id"] for each in first["data"] + last["data"]] == made
        assert last["paging"] == {"total": 3}

    async def test_filters(self, admin: Caller, source_id: str, model_id: str, destination_id: str) -> None:
        other_model = (await admin.post("/v2/retl-sources", a_retl_source(source_id))).json["id"]
        one = (await made_connection(admin, model_id, destination_id, externalId="mine"))["id"]
        two = (await made_connection(admin, other_model, destination_id))["id"]
        three = await admin.made("/api/reverse-etl/syncs", a_sync(destination_id))

        found = {
            query: [each["id"] for each in (await admin.get(f"{CONNECTIONS}?{query}")).json["data"]]
            for query in (
                "",
                f"sourceId={model_id}",
                f"sourceId={source_id}",
                "hasExternalId=true",
                "hasExternalId=false",
                "destinationId=conn_none",
            )
        }

        assert list(found.values()) == [[one, two, three], [one], [three], [one], [two, three], []]


async def test_deleted_connection_is_gone_and_its_run_is_cancelled(
    gateway: Gateway, admin: Caller, connection_id: str
) -> None:
    await admin.post(f"{CONNECTIONS}/{connection_id}/start")

    deleted = await admin.delete(f"{CONNECTIONS}/{connection_id}")

    again = await admin.delete(f"{CONNECTIONS}/{connection_id}")
    listed = await admin.get(CONNECTIONS)
    assert (deleted.status, deleted.raw, again.status) == (204, b"", 404)
    assert listed.json == {"data": [], "paging": {"total": 0}}
    assert await gateway.stores.database.fetchval("SELECT status FROM runs") == "cancelled"


async def test_external_id_is_set_and_cleared(admin: Caller, sync_id: str) -> None:
    owned = await admin.put(f"{CONNECTIONS}/{sync_id}/external-id", {"externalId": "ext-123"})
    shown = await admin.get(f"{CONNECTIONS}/{sync_id}")
    cleared = await admin.put(f"{CONNECTIONS}/{sync_id}/external-id", {"externalId": ""})

    assert (owned.status, owned.json) == (200, {"id": sync_id, "externalId": "ext-123"})
    assert (shown.json["externalId"], cleared.json["externalId"]) == ("ext-123", None)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"schedule": None}, "must be an object"),
        ({"schedule": {"type": "basic"}}, "a basic schedule needs everyMinutes"),
        ({"schedule": {"type": "cron"}}, "a cron schedule needs cronExpression"),
        ({"schedule": {"type": "cron", "cronExpression": "often"}}, "/schedule/cronExpression"),
        ({"syncBehaviour": "replace"}, "must be one of 'upsert', 'mirror' or 'full'"),
        ({"identifiers": []}, "must have at least 1 item(s)"),
        ({"object": None}, "/object: is required, or event in its place"),
        ({"event": {"type": "identify"}}, "/event: goes with no object"),
        ({"object": None, "event": {"type": "track"}}, "a track event needs name or nameColumn"),
        ({"mappings": [{"from": "a", "to": "External_Id__c"}]}, "destination fields mapped twice"),
        ({"destinationConfig": {"audienceId": "1"}}, "/destinationConfig: no destination takes any"),
        ({"syncBehaviour": "full", "cursorColumn": "updated_at"}, "/cursorColumn"),
        ({"id": "retl_sync_mine"}, "unknown"),
    ],
    ids=str,
)
async def test_connection_that_cannot_work_is_refused(
    admin: Caller, model_id: str, destination_id: str, change: dict[str, Any], told: str
) -> None:
    refused = await admin.post(CONNECTIONS, a_retl_connection(model_id, destination_id) | change)

    assert refused.status == 422
    assert told in refused.json["error"]


async def test_connection_of_unknown_things_is_404(
    admin: Caller, stranger: Caller, model_id: str, destination_id: str
) -> None:
    answers = [
        await admin.post(CONNECTIONS, a_retl_connection("retl_source_none", destination_id)),
        await admin.post(CONNECTIONS, a_retl_connection(model_id, "conn_none")),
        await stranger.post(CONNECTIONS, a_retl_connection(model_id, destination_id)),
    ]

    assert {answered.status for answered in answers} == {404}


async def test_connection_of_another_workspace_is_404(admin: Caller, stranger: Caller, connection_id: str) -> None:
    path = f"{CONNECTIONS}/{connection_id}"

    answers = [
        await stranger.get(path),
        await stranger.put(path, {"enabled": False} | MANUAL),
        await stranger.put(f"{path}/external-id", {"externalId": "mine"}),
        await stranger.delete(path),
    ]

    assert {answered.status for answered in answers} == {404}
    assert (await admin.get(path)).json["enabled"] is True
