"""Changes of RudderStack's connections: what is named changes, and nothing else."""

import pytest

from tests.gateway.caller import Caller, a_sync
from tests.gateway.contracts.connections import (
    AN_EVENT,
    CONNECTIONS,
    MANUAL,
    OF_THE_OTHER_CONTRACT,
    made_connection,
    made_elsewhere,
)


async def test_what_is_left_out_stays_and_an_empty_list_clears(
    admin: Caller, model_id: str, destination_id: str
) -> None:
    before = await made_connection(
        admin,
        model_id,
        destination_id,
        externalId="crm",
        constants=[{"key": "Origin__c", "value": "w"}],
        syncSettings={"syncLogsConfig": {"enabled": False}},
    )
    said = MANUAL | {"constants": [], "mappings": [{"from": "phone", "to": "Phone"}]}

    updated = await admin.put(f"{CONNECTIONS}/{before['id']}", said)

    changed = {name for name in before if updated.json[name] != before[name]}
    assert updated.status == 200
    assert changed == {"schedule", "constants", "mappings", "updatedAt"}
    assert updated.json == updated.json | said


@pytest.mark.usefixtures("source_id")
async def test_what_the_other_contract_made_stays_as_it_is_unless_it_is_named(
    admin: Caller, destination_id: str
) -> None:
    path = await made_elsewhere(admin, destination_id, OF_THE_OTHER_CONTRACT)
    shown = (await admin.get(f"{CONNECTIONS}/{path.rpartition('/')[2]}")).json
    before = (await admin.get(path)).attributes

    for said in ({}, {name: shown[name] for name in ("identifiers", "mappings", "constants")}):
        await admin.put(f"{CONNECTIONS}/{path.rpartition('/')[2]}", MANUAL | said)

    after = (await admin.get(path)).attributes
    assert (after["version"], after["field_mappings"]) == (before["version"], before["field_mappings"])


@pytest.mark.usefixtures("source_id")
async def test_part_that_is_named_is_replaced_where_it_stands(admin: Caller, destination_id: str) -> None:
    path = await made_elsewhere(admin, destination_id, OF_THE_OTHER_CONTRACT)
    said = [{"key": "Score__c", "value": "5"}, {"key": "Vip__c", "value": "no"}]

    await admin.put(f"{CONNECTIONS}/{path.rpartition('/')[2]}", MANUAL | {"constants": said})

    after = (await admin.get(path)).attributes
    name, score, _, key, *_ = OF_THE_OTHER_CONTRACT
    assert after["field_mappings"] == [name, score, {"value": "no", "destination": "Vip__c"}, key]


@pytest.mark.usefixtures("source_id")
async def test_zone_that_a_client_does_not_know_of_stays_with_its_expression(
    admin: Caller, destination_id: str
) -> None:
    cron = {"type": "cron", "expression": "0 6 * * *", "timezone": "Europe/Zurich"}
    sync_id = await admin.made("/api/reverse-etl/syncs", a_sync(destination_id, schedule=cron))

    same = await admin.put(f"{CONNECTIONS}/{sync_id}", {"schedule": {"type": "cron", "cronExpression": "0 6 * * *"}})
    other = await admin.put(f"{CONNECTIONS}/{sync_id}", {"schedule": {"type": "cron", "cronExpression": "0 7 * * *"}})

    assert same.json["schedule"]["timezone"] == "Europe/Zurich"
    assert "timezone" not in other.json["schedule"]


async def test_settings_that_are_not_named_stay(admin: Caller, model_id: str, destination_id: str) -> None:
    logs, keys = {"syncLogsConfig": {"enabled": True}}, {"failedKeysConfig": {"enableFailedKeysRetry": True}}
    before = await made_connection(admin, model_id, destination_id, syncSettings=logs)

    updated = await admin.put(f"{CONNECTIONS}/{before['id']}", MANUAL | {"syncSettings": keys})

    assert updated.json["syncSettings"] == logs | keys


async def test_event_that_the_other_contract_took_away_is_none(
    admin: Caller, model_id: str, destination_id: str
) -> None:
    event = {"type": "track", "name": "Signed Up"}
    connection_id = (await made_connection(admin, model_id, destination_id, **AN_EVENT | {"event": event}))["id"]
    mappings = [{"source": "email", "destination": "user_id", "key": True}]
    await admin.put(f"/api/reverse-etl/syncs/{connection_id}", {"objectName": "contacts", "fieldMappings": mappings})

    shown = await admin.put(f"{CONNECTIONS}/{connection_id}", MANUAL)

    sync = await admin.get(f"/api/reverse-etl/syncs/{connection_id}")
    assert ("event" in shown.json, shown.json["object"]) == (False, "contacts")
    assert sync.attributes["field_mappings"] == mappings


async def test_identifiers_of_an_event_can_change_and_its_name_stays(
    admin: Caller, model_id: str, destination_id: str
) -> None:
    event = {"type": "track", "nameColumn": "kind"}
    before = await made_connection(admin, model_id, destination_id, **AN_EVENT | {"event": event})

    said = {"identifiers": [{"from": "id", "to": "anonymous_id"}]}
    updated = await admin.put(f"{CONNECTIONS}/{before['id']}", said | MANUAL)

    assert updated.json.items() >= said.items()
    assert (updated.json["event"], updated.json["mappings"]) == (event, before["mappings"])


async def test_required_schedule_is_effective_at_the_next_tick(admin: Caller, connection_id: str) -> None:
    before = await admin.get(f"/api/reverse-etl/syncs/{connection_id}")

    unsaid = await admin.put(f"{CONNECTIONS}/{connection_id}", {"enabled": False})
    await admin.put(f"{CONNECTIONS}/{connection_id}", {"schedule": {"type": "basic", "everyMinutes": 5}})

    after = await admin.get(f"/api/reverse-etl/syncs/{connection_id}")
    assert (unsaid.status, unsaid.json["details"]) == (422, {"schedule": "is required"})
    assert after.attributes["next_run_at"] < before.attributes["next_run_at"]


@pytest.mark.parametrize(
    "name", ["sourceId", "destinationId", "syncBehaviour", "event", "object", "cursorColumn", "destinationConfig"]
)
async def test_what_cannot_change_is_refused_with_what_to_do(admin: Caller, connection_id: str, name: str) -> None:
    refused = await admin.put(f"{CONNECTIONS}/{connection_id}", MANUAL | {name: "x"})

    assert refused.status == 422
    assert f"/{name}: cannot be changed: delete the connection" in refused.json["error"]


async def test_pause_and_resume(admin: Caller, connection_id: str) -> None:
    paused = await admin.put(f"{CONNECTIONS}/{connection_id}", {"enabled": False} | MANUAL)
    refused = await admin.post(f"{CONNECTIONS}/{connection_id}/start")
    resumed = await admin.put(f"{CONNECTIONS}/{connection_id}", {"enabled": True} | MANUAL)
    started = await admin.post(f"{CONNECTIONS}/{connection_id}/start")

    assert (paused.json["enabled"], resumed.json["enabled"]) == (False, True)
    assert (refused.status, started.status) == (422, 200)


async def test_connection_switched_on_under_a_source_that_is_off_waits_for_it(
    admin: Caller, model_id: str, connection_id: str
) -> None:
    await admin.put(f"{CONNECTIONS}/{connection_id}", {"enabled": False} | MANUAL)
    await admin.put(f"/v2/retl-sources/{model_id}", {"enabled": False})
    waiting = await admin.put(f"{CONNECTIONS}/{connection_id}", {"enabled": True} | MANUAL)
    held = await admin.get(f"/api/reverse-etl/syncs/{connection_id}")
    await admin.put(f"/v2/retl-sources/{model_id}", {"enabled": True})

    now = await admin.get(f"/api/reverse-etl/syncs/{connection_id}")

    assert (waiting.json["enabled"], held.attributes["enabled"], now.attributes["enabled"]) == (True, False, True)
