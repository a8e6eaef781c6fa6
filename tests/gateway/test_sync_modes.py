"""The Planasonix contract: how a sync reads and what it does with rows."""

from tests.gateway.caller import Caller, a_sync

SYNCS = "/api/reverse-etl/syncs"


async def test_mirror_says_how_much_of_it_one_run_may_delete(
    admin: Caller, source_id: str, destination_id: str
) -> None:
    created = await admin.post(SYNCS, a_sync(destination_id, syncMode="mirror"))
    sync_id = created.json["data"]["id"]

    changed = await admin.put(f"{SYNCS}/{sync_id}", {"maxDeleteRatio": 1})

    assert (created.attributes["sync_mode"], created.attributes["max_delete_ratio"]) == ("mirror", 0.1)
    assert (changed.attributes["max_delete_ratio"], changed.attributes["version"]) == (1, 2)


async def test_sync_may_read_by_a_cursor(admin: Caller, source_id: str, destination_id: str) -> None:
    cursor = {"type": "cursor", "column": "updated_at", "lookBackS": 60}

    created = await admin.post(SYNCS, a_sync(destination_id, reading=cursor))
    sync_id = created.json["data"]["id"]
    changed = await admin.put(f"{SYNCS}/{sync_id}", {"reading": {"type": "snapshot"}})

    assert created.attributes["reading"] == {"type": "cursor", "column": "updated_at", "look_back_s": 60}
    assert (changed.attributes["reading"], changed.attributes["version"]) == ({"type": "snapshot"}, 2)


async def test_sync_may_read_by_versions(admin: Caller, source_id: str, destination_id: str) -> None:
    version = {"type": "version", "column": "updated_at"}

    created = await admin.post(SYNCS, a_sync(destination_id, syncMode="mirror", reading=version))
    refused = await admin.post(SYNCS, a_sync(destination_id, syncMode="append", reading=version))

    assert (created.status, created.attributes["reading"]) == (201, version)
    assert refused.status == 422
    assert "append compares no row with what was delivered" in str(refused.json)


async def test_append_needs_no_key(admin: Caller, source_id: str, destination_id: str) -> None:
    mappings = [{"source": "account_id", "destination": "Id"}]

    created = await admin.post(SYNCS, a_sync(destination_id, syncMode="append", fieldMappings=mappings))

    assert (created.status, created.attributes["reading"]) == (201, {"type": "snapshot"})


async def test_mirror_by_a_cursor_is_refused_and_told_why(admin: Caller, source_id: str, destination_id: str) -> None:
    cursor = {"type": "cursor", "column": "updated_at"}

    refused = await admin.post(SYNCS, a_sync(destination_id, syncMode="mirror", reading=cursor))

    assert refused.status == 422
    assert "a cursor cannot see which rows left the query" in str(refused.json)
