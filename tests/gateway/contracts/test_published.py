"""Every example of the published contracts: the answer has all of its members, each of its type and form."""

import pytest

from tests.gateway.caller import Caller, Json, a_sync
from tests.gateway.contracts import published
from tests.gateway.contracts.published import lacks
from tests.gateway.engine import Engine

RETL = "/api/reverse-etl"
PREFIXES = pytest.mark.parametrize("prefix", ["", "/v1"], ids=["without prefix", "with /v1"])
V2 = pytest.mark.parametrize("prefix", ["/v2", ""], ids=["with /v2", "without prefix"])


@PREFIXES
class TestSyncs:
    async def test_list(self, admin: Caller, sync_id: str, prefix: str) -> None:
        listed = await admin.get(f"{prefix}{RETL}/syncs")

        assert (listed.status, lacks(published.LIST_SYNCS, listed.json)) == (200, [])

    @pytest.mark.parametrize(
        "names",
        [
            ("sourceQuery", "destinationId", "objectName", "fieldMappings", "syncMode"),
            ("source_query", "destination_id", "object_name", "field_mappings", "sync_mode"),
        ],
        ids=["camelCase", "snake_case"],
    )
    async def test_create(
        self, admin: Caller, source_id: str, destination_id: str, prefix: str, names: tuple[str, ...]
    ) -> None:
        said = a_sync(destination_id)
        camel = ("sourceQuery", "destinationId", "objectName", "fieldMappings", "syncMode")
        body = said | {name: said.pop(old) for name, old in zip(names, camel, strict=True)}

        made = await admin.post(f"{prefix}{RETL}/syncs", body)

        wanted = published.SYNC["attributes"] | {"destination_id": destination_id}
        told = {name: made.attributes[name] for name in wanted if not name.endswith("_at")}
        assert (made.status, lacks(published.ONE_SYNC, made.json)) == (201, [])
        assert told == {name: value for name, value in wanted.items() if not name.endswith("_at")}

    async def test_get(self, admin: Caller, sync_id: str, prefix: str) -> None:
        shown = await admin.get(f"{prefix}{RETL}/syncs/{sync_id}")

        assert (shown.status, lacks(published.ONE_SYNC, shown.json)) == (200, [])

    async def test_update(self, admin: Caller, sync_id: str, prefix: str) -> None:
        schedule = {"type": "cron", "expression": "0 */2 * * *", "timezone": "UTC"}

        updated = await admin.put(f"{prefix}{RETL}/syncs/{sync_id}", {"schedule": schedule})

        assert (updated.status, lacks(published.UPDATED_SYNC, updated.json)) == (200, [])
        assert updated.attributes["schedule"] == schedule

    async def test_delete(self, admin: Caller, sync_id: str, prefix: str) -> None:
        deleted = await admin.delete(f"{prefix}{RETL}/syncs/{sync_id}")

        assert (deleted.status, lacks(published.DELETED_SYNC, deleted.json)) == (200, [])

    async def test_toggle(self, admin: Caller, sync_id: str, prefix: str) -> None:
        toggled = await admin.post(f"{prefix}{RETL}/sync/toggle", {"syncId": sync_id, "enabled": False})

        assert (toggled.status, lacks(published.TOGGLED_SYNC, toggled.json)) == (200, [])


@PREFIXES
class TestRuns:
    @pytest.mark.parametrize("several", [False, True], ids=["syncId", "syncIds"])
    async def test_trigger(self, admin: Caller, sync_id: str, prefix: str, *, several: bool) -> None:
        body: Json = {"syncIds": [sync_id]} if several else {"syncId": sync_id}

        started = await admin.post(f"{prefix}{RETL}/sync/run", body)

        assert (started.status, lacks(published.QUEUED_RUN, started.json)) == (200, [])

    async def test_list(self, admin: Caller, engine: Engine, sync_id: str, prefix: str) -> None:
        run_id = (await admin.post(f"{RETL}/sync/run", {"syncId": sync_id})).json["data"]["id"]
        await engine.begin(run_id)
        await engine.count(run_id, (12840, 12795, 0, 45))
        await engine.end(run_id, "succeeded")

        listed = await admin.get(f"{prefix}{RETL}/runs?sync_id={sync_id}&status=succeeded")

        [run] = listed.json["data"]
        counted = {name: run["attributes"][name] for name in ("status", "rows_read", "rows_written", "rows_failed")}
        assert (listed.status, lacks(published.RUNS, listed.json)) == (200, [])
        assert counted == {"status": "succeeded", "rows_read": 12840, "rows_written": 12795, "rows_failed": 45}


@PREFIXES
async def test_destinations(admin: Caller, destination_id: str, prefix: str) -> None:
    listed = await admin.get(f"{prefix}{RETL}/destinations?connector=http")

    assert (listed.status, lacks(published.DESTINATIONS, listed.json)) == (200, [])


@PREFIXES
class TestDiscovery:
    @pytest.fixture
    async def crm_id(self, admin: Caller, empty_database_url: str) -> str:
        settings = {"url": empty_database_url}
        return await admin.made("/api/destinations", {"name": "crm", "connector": "postgres", "settings": settings})

    async def test_objects_and_fields(self, admin: Caller, crm_id: str, crm_table: str, prefix: str) -> None:
        objects = await admin.get(f"{prefix}{RETL}/objects?destination_id={crm_id}")
        fields = await admin.get(f"{prefix}{RETL}/fields?destination_id={crm_id}&object_name={crm_table}")

        assert (objects.status, lacks(published.OBJECTS, objects.json)) == (200, [])
        assert (fields.status, lacks(published.FIELDS, fields.json)) == (200, [])


@PREFIXES
class TestDeadLetters:
    @pytest.fixture
    async def letter_id(self, admin: Caller, engine: Engine, sync_id: str) -> str:
        started = await admin.post(f"{RETL}/sync/run", {"syncId": sync_id})
        run_id = started.json["data"]["id"]
        letter_id = await engine.bury(run_id, "acc_88291")
        await engine.end(run_id, "succeeded")
        return letter_id

    async def test_list(self, admin: Caller, letter_id: str, sync_id: str, prefix: str) -> None:
        listed = await admin.get(f"{prefix}{RETL}/dlq?sync_id={sync_id}")
        resolved = await admin.get(f"{prefix}{RETL}/dlq?sync_id={sync_id}&resolved=true")

        assert (listed.status, lacks(published.LETTERS, listed.json)) == (200, [])
        assert resolved.json["data"] == []

    async def test_stats(self, admin: Caller, letter_id: str, prefix: str) -> None:
        stats = await admin.get(f"{prefix}{RETL}/dlq/stats?since=2025-03-27T00:00:00Z")

        assert (stats.status, lacks(published.STATS, stats.json)) == (200, [])
        assert (stats.attributes["open_count"], stats.attributes["by_error_code"]) == (1, {"DESTINATION_VALIDATION": 1})

    async def test_resolve(self, admin: Caller, letter_id: str, prefix: str) -> None:
        said = {"entryIds": [letter_id], "resolution": "fixed_upstream"}

        resolved = await admin.post(f"{prefix}{RETL}/dlq/resolve", said)

        assert (resolved.status, lacks(published.RESOLVED, resolved.json)) == (200, [])
        assert resolved.attributes["resolved_ids"] == [letter_id]

    async def test_resolve_with_replay_names_its_run(self, admin: Caller, letter_id: str, prefix: str) -> None:
        said = {"entryIds": [letter_id], "resolution": "fixed_upstream", "replay": True}

        resolved = await admin.post(f"{prefix}{RETL}/dlq/resolve", said)

        run = await admin.get(f"/api/runs/{resolved.attributes['replay_run_id']}")
        assert (resolved.status, run.attributes["kind"], run.attributes["trigger"]) == (200, "replay", "replay")


@V2
class TestRudderStack:
    async def test_start(self, admin: Caller, sync_id: str, prefix: str) -> None:
        started = await admin.post(f"{prefix}/retl-connections/{sync_id}/start", {"syncType": "full"})

        assert (started.status, lacks(published.STARTED, started.json)) == (200, [])

    async def test_list_and_get(self, admin: Caller, engine: Engine, sync_id: str, prefix: str) -> None:
        path = f"{prefix}/retl-connections/{sync_id}"
        run_id = (await admin.post(f"{path}/start")).json["syncId"]
        await engine.begin(run_id)
        await engine.end(run_id, "failed", message="no such column")
        await admin.get(f"{path}/syncs/{run_id}")
        await admin.post(f"{path}/start")

        listed = await admin.get(f"{path}/syncs?per_page=1&page=2")
        paged = await admin.get(f"{path}/syncs?per_page=1")
        shown = await admin.get(f"{path}/syncs/{run_id}")

        assert [lacks(published.CONNECTION_SYNC, each) for each in (shown.json, *listed.json["syncs"])] == [[], []]
        assert lacks(published.CONNECTION_SYNCS["paging"], paged.json["paging"]) == []
        assert paged.json["paging"]["next"].startswith(f"{path}/syncs?")

    async def test_stop(self, admin: Caller, sync_id: str, prefix: str) -> None:
        stopped = await admin.post(f"{prefix}/retl-connections/{sync_id}/stop")

        assert (stopped.status, stopped.raw) == (204, b"")


class TestLacks:
    """The comparison that these tests stand on."""

    @pytest.mark.parametrize(
        ("told", "places"),
        [
            ({"id": "retl_run_x", "at": "2025-03-27T12:15:01Z", "n": 1, "more": True}, []),
            ({"id": "retl_sync_x", "at": "2025-03-27T12:15:01Z", "n": 1}, ["/id"]),
            ({"id": "retl_run_x", "at": "2025-03-27T12:15:01.123Z", "n": 1}, ["/at"]),
            ({"id": "retl_run_x", "at": None, "n": "1"}, ["/at", "/n"]),
            ([], [""]),
        ],
    )
    def test_it_tells_members_types_and_forms(self, told: Json, places: list[str]) -> None:
        assert lacks({"id": "retl_run_y", "at": "2024-03-27T12:15:01Z", "n": 5}, told) == places
