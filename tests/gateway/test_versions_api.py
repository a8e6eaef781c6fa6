"""What a sync was before, going back to it, and pausing."""

import pytest

from tests.gateway.caller import Caller, Json
from tests.gateway.conftest import Gateway


@pytest.fixture
def path(sync_id: str) -> str:
    return f"/api/syncs/{sync_id}"


async def _change(admin: Caller, sync_id: str, **changes: Json) -> None:
    assert (await admin.put(f"/api/reverse-etl/syncs/{sync_id}", changes)).status == 200


async def test_every_definition_is_a_version_and_nothing_else_is(admin: Caller, sync_id: str, path: str) -> None:
    await _change(admin, sync_id, objectName="Contact")
    await _change(admin, sync_id, name="renamed", enabled=False)

    listed = (await admin.get(f"{path}/versions")).json["data"]

    told = [(each["attributes"]["version"], each["attributes"]["current"]) for each in listed]
    assert told == [(2, True), (1, False)]
    assert [each["attributes"]["definition"]["object_name"] for each in listed] == ["Contact", "Account"]


async def test_versions_come_page_by_page(admin: Caller, sync_id: str, path: str) -> None:
    await _change(admin, sync_id, objectName="Contact")
    await _change(admin, sync_id, objectName="Lead")

    first = (await admin.get(f"{path}/versions?limit=2")).json
    second = (await admin.get(f"{path}/versions?limit=2&cursor={first['meta']['page']['cursor']}")).json

    assert [each["id"] for each in (*first["data"], *second["data"])] == ["3", "2", "1"]
    assert second["meta"]["page"]["cursor"] is None


async def test_one_version_is_shown(admin: Caller, sync_id: str, path: str) -> None:
    await _change(admin, sync_id, objectName="Contact")

    shown = (await admin.get(f"{path}/versions/1")).attributes

    assert (shown["version"], shown["current"], shown["definition"]["object_name"]) == (1, False, "Account")


@pytest.mark.parametrize("version", ["0", "3", "99999999999999999999", "x", "-1"])
@pytest.mark.parametrize("operation", ["GET {}", "GET {}/diff", "POST {}/rollback"])
async def test_version_that_never_was_is_404(admin: Caller, path: str, version: str, operation: str) -> None:
    method, _, place = operation.partition(" ")

    answered = await admin.call(method, place.format(f"{path}/versions/{version}"))

    assert (answered.status, answered.json["code"]) == (404, "SYNC_VERSION_NOT_FOUND")


class TestDiff:
    async def test_it_names_each_place_with_what_was_and_what_is(self, admin: Caller, sync_id: str, path: str) -> None:
        mappings = [
            {"source": "account_id", "destination": "External_Id__c", "key": True},
            {"source": "full_name", "destination": "Name"},
            {"value": "CH", "destination": "Country"},
        ]
        await _change(admin, sync_id, objectName="Contact", fieldMappings=mappings)

        told = (await admin.get(f"{path}/versions/2/diff")).attributes

        by_place = {each["pointer"]: (each["before"], each["after"]) for each in told["differences"]}
        assert (told["from_version"], told["to_version"]) == (1, 2)
        assert by_place.keys() == {"/object_name", "/field_mappings/Name", "/field_mappings/Country"}
        assert by_place["/object_name"] == ("Account", "Contact")
        assert [side["source"] for side in by_place["/field_mappings/Name"]] == ["name", "full_name"]
        assert by_place["/field_mappings/Country"][0] is None

    async def test_any_two_can_be_compared(self, admin: Caller, sync_id: str, path: str) -> None:
        await _change(admin, sync_id, objectName="Contact")
        await _change(admin, sync_id, objectName="Account")

        first_and_last = (await admin.get(f"{path}/versions/3/diff?against=1")).attributes
        backwards = (await admin.get(f"{path}/versions/1/diff?against=2")).attributes

        assert first_and_last["differences"] == []
        assert backwards["differences"] == [{"pointer": "/object_name", "before": "Contact", "after": "Account"}]

    async def test_first_one_has_none_before(self, admin: Caller, path: str) -> None:
        refused = await admin.get(f"{path}/versions/1/diff")

        assert (refused.status, refused.json["code"]) == (404, "NO_VERSION_BEFORE")


class TestRollback:
    async def test_old_definition_is_a_new_version(self, admin: Caller, sync_id: str, path: str) -> None:
        await _change(admin, sync_id, objectName="Contact", name="renamed", enabled=False)

        rolled = await admin.post(f"{path}/versions/1/rollback")

        whole = rolled.attributes
        assert (rolled.status, whole["version"], whole["object_name"]) == (200, 3, "Account")
        assert (whole["name"], whole["enabled"]) == ("renamed", False)
        assert (await admin.get(f"{path}/versions/3/diff?against=1")).attributes["differences"] == []

    async def test_to_what_it_is_makes_no_version(self, admin: Caller, path: str) -> None:
        assert (await admin.post(f"{path}/versions/1/rollback")).attributes["version"] == 1

    async def test_to_a_destination_that_is_gone_is_refused(
        self, admin: Caller, sync_id: str, destination_id: str, path: str
    ) -> None:
        other = (await admin.get(f"/api/destinations/{destination_id}")).attributes
        settings = {"url": other["settings"]["url"]}
        other_id = await admin.made("/api/destinations", {"name": "other", "connector": "http", "settings": settings})
        await _change(admin, sync_id, destinationId=other_id)
        await admin.delete(f"/api/destinations/{destination_id}")

        refused = await admin.post(f"{path}/versions/1/rollback")

        assert refused.status == 404
        assert (await admin.get(f"/api/reverse-etl/syncs/{sync_id}")).attributes["version"] == 2

    async def test_it_heeds_what_the_caller_has_seen(self, admin: Caller, sync_id: str, path: str) -> None:
        seen = (await admin.get(f"/api/reverse-etl/syncs/{sync_id}")).headers["ETag"]
        await _change(admin, sync_id, objectName="Contact")

        refused = await admin.post(f"{path}/versions/1/rollback", headers={"If-Match": seen})

        assert (refused.status, refused.json["code"]) == (412, "STALE")


class TestPause:
    async def test_paused_sync_takes_no_start_until_it_is_resumed(self, admin: Caller, sync_id: str, path: str) -> None:
        start = ("/api/reverse-etl/sync/run", {"syncId": sync_id})

        paused = await admin.post(f"{path}/pause")
        refused = await admin.post(*start)
        resumed = await admin.post(f"{path}/resume")
        started = await admin.post(*start)

        assert [(each.attributes["enabled"], bool(each.attributes["next_run_at"])) for each in (paused, resumed)] == [
            (False, False),
            (True, True),
        ]
        assert (refused.json["code"], started.status) == ("SYNC_PAUSED", 200)

    async def test_pausing_twice_is_harmless(self, admin: Caller, path: str) -> None:
        answers = [await admin.post(f"{path}/pause") for _ in range(2)]

        assert [(each.status, each.attributes["enabled"]) for each in answers] == [(200, False)] * 2

    async def test_run_under_way_is_not_touched(self, gateway: Gateway, admin: Caller, sync_id: str, path: str) -> None:
        await admin.post("/api/reverse-etl/sync/run", {"syncId": sync_id})

        await admin.post(f"{path}/pause")

        assert await gateway.stores.database.fetchval("SELECT status FROM runs") == "queued"

    async def test_it_heeds_what_the_caller_has_seen(self, admin: Caller, sync_id: str, path: str) -> None:
        seen = (await admin.get(f"/api/reverse-etl/syncs/{sync_id}")).headers["ETag"]
        await _change(admin, sync_id, name="other")

        refused = await admin.post(f"{path}/pause", headers={"If-Match": seen})

        assert refused.status == 412
