"""The Planasonix contract: starting and listing runs; and one run with its books."""

import asyncio
import re
from typing import Any

import pytest

from tests.gateway.caller import Caller
from tests.gateway.conftest import Gateway
from tests.gateway.engine import Engine

RUN = "/api/reverse-etl/sync/run"
RUNS = "/api/reverse-etl/runs"
_SECONDS = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")
_NO_RUN_IS_KEPT = """
CREATE FUNCTION keep_none() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER no_run BEFORE INSERT ON runs FOR EACH ROW EXECUTE FUNCTION keep_none()
"""

PREFIXES = pytest.mark.parametrize("prefix", ["", "/v1"], ids=["without prefix", "with /v1"])


@PREFIXES
@pytest.mark.parametrize("full", [False, True], ids=["incremental", "full"])
async def test_start_answers_as_the_contract_shows(admin: Caller, sync_id: str, prefix: str, *, full: bool) -> None:
    started = await admin.post(prefix + RUN, {"syncId": sync_id, "fullRefresh": full})

    data = started.json["data"]
    assert (started.status, data["type"], data["id"][:9]) == (200, "reverse_etl_run", "retl_run_")
    assert _SECONDS.fullmatch(data["attributes"].pop("created_at"))
    assert data["attributes"] == {"sync_id": sync_id, "status": "queued", "full_refresh": full}


async def test_start_writes_run_shard_and_event_together(gateway: Gateway, admin: Caller, sync_id: str) -> None:
    started = await admin.post(RUN, {"syncId": sync_id})

    database, run_id = gateway.stores.database, started.json["data"]["id"]
    event = await database.fetchrow("SELECT topic, key, convert_from(body, 'UTF8') AS body FROM outbox")
    assert event is not None
    assert (event["topic"], event["key"]) == ("tailrace.run.queued.v1", sync_id)
    assert run_id in event["body"]
    assert await database.fetchval("SELECT run_id FROM run_shards") == run_id


async def test_start_touches_neither_warehouse_nor_destination(gateway: Gateway, admin: Caller, sync_id: str) -> None:
    gateway.http.requests.clear()

    await admin.post(RUN, {"syncId": sync_id, "fullRefresh": True})

    assert gateway.http.requests == []


async def test_several_syncs_give_a_list_in_their_order(admin: Caller, sync_id: str, another_sync_id: str) -> None:
    started = await admin.post(RUN, {"syncIds": [another_sync_id, sync_id]})

    assert [run["attributes"]["sync_id"] for run in started.json["data"]] == [another_sync_id, sync_id]


async def test_list_of_one_sync_gives_an_object(admin: Caller, sync_id: str) -> None:
    started = await admin.post(RUN, {"syncIds": [sync_id]})

    assert started.attributes["sync_id"] == sync_id


async def test_sync_that_cannot_be_started_is_told_of_at_its_place(
    gateway: Gateway, admin: Caller, sync_id: str, another_sync_id: str
) -> None:
    active = await admin.post(RUN, {"syncId": another_sync_id})

    answered = await admin.post(RUN, {"syncIds": ["retl_sync_unknown", another_sync_id, sync_id]})

    unknown, refused, queued = answered.json["data"]
    assert answered.status == 200
    assert (queued["type"], queued["attributes"]["status"]) == ("reverse_etl_run", "queued")
    assert unknown["type"] == refused["type"] == "reverse_etl_run_refusal"
    assert (unknown["attributes"]["http_status"], unknown["attributes"]["error_code"]) == (404, "SYNC_NOT_FOUND")
    assert refused["attributes"] == {
        "sync_id": another_sync_id,
        "http_status": 409,
        "error_code": "RUN_ACTIVE",
        "message": f"run {active.json['data']['id']} of this sync is active;"
        " wait for its end, or POST /api/runs/{run_id}/cancel",
        "existing_id": active.json["data"]["id"],
    }
    assert await gateway.stores.database.fetchval("SELECT count(*) FROM runs") == 2


async def test_start_that_others_overtake_each_time_is_to_be_tried_again(
    gateway: Gateway, admin: Caller, sync_id: str
) -> None:
    await gateway.stores.database.execute(_NO_RUN_IS_KEPT)

    refused = await admin.post(RUN, {"syncId": sync_id})

    assert (refused.status, refused.json["code"], "existing_id" in refused.json) == (409, "CONFLICT", False)
    assert refused.json["detail"] == "runs of this sync come and go too fast: try again"


async def test_request_of_which_nothing_can_be_started_fails_and_tells_of_each(
    gateway: Gateway, admin: Caller, sync_id: str
) -> None:
    active = await admin.post(RUN, {"syncId": sync_id})

    refused = await admin.post(RUN, {"syncIds": [sync_id, "retl_sync_unknown"]})

    assert (refused.status, refused.json["existing_id"]) == (409, active.json["data"]["id"])
    assert "retl_sync_unknown: no such sync" in refused.json["message"]
    assert await gateway.stores.database.fetchval("SELECT count(*) FROM runs") == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"syncId": "a", "syncIds": ["a"]}, 400),
        ({"syncIds": []}, 422),
        ({"syncIds": ["a", "a"]}, 422),
        ({"syncIds": ["a"] * 101}, 422),
        ({"syncId": 5}, 422),
        ({"syncId": "a", "fullRefresh": "yes"}, 422),
        ({"syncId": "a", "full": True}, 422),
        ({"syncId": "retl_sync_unknown"}, 404),
        ({"syncIds": ["retl_sync_unknown"]}, 404),
    ],
    ids=str,
)
async def test_bad_start_is_refused(admin: Caller, sync_id: str, body: dict[str, Any], status: int) -> None:
    refused = await admin.post(RUN, body)

    assert refused.status == status


async def test_paused_sync_is_not_started(admin: Caller, sync_id: str) -> None:
    await admin.post("/api/reverse-etl/sync/toggle", {"syncId": sync_id, "enabled": False})

    refused = await admin.post(RUN, {"syncId": sync_id})

    assert (refused.status, refused.json["code"]) == (422, "SYNC_PAUSED")


async def test_fifty_starts_at_once_are_one_200_and_409_with_its_id(
    gateway: Gateway, admin: Caller, sync_id: str
) -> None:
    answers = await asyncio.gather(*(admin.post(RUN, {"syncId": sync_id}) for _ in range(50)))

    [won] = [answered for answered in answers if answered.status == 200]
    lost = [(answered.status, answered.json["existing_id"]) for answered in answers if answered is not won]
    assert lost == [(409, won.json["data"]["id"])] * 49
    assert await gateway.stores.database.fetchval("SELECT count(*) FROM outbox") == 1


async def test_callers_with_the_same_syncs_in_other_orders_do_not_wait_for_each_other(
    admin: Caller, sync_id: str, another_sync_id: str
) -> None:
    one_way, other_way = [sync_id, another_sync_id], [another_sync_id, sync_id]

    answers = await asyncio.gather(*(admin.post(RUN, {"syncIds": ids}) for ids in [one_way, other_way] * 10))

    started = [item for answered in answers if answered.status == 200 for item in answered.json["data"]]
    assert {answered.status for answered in answers} == {200, 409}
    assert sum(item["type"] == "reverse_etl_run" for item in started) == 2


class TestListing:
    @PREFIXES
    async def test_run_shows_every_field_of_the_contract(
        self, admin: Caller, engine: Engine, sync_id: str, prefix: str
    ) -> None:
        run_id = await _finished(admin, engine, sync_id)

        listed = await admin.get(prefix + RUNS)

        [run] = listed.json["data"]
        assert listed.json["meta"] == {"page": {"limit": 50, "cursor": None}}
        assert (run["id"], run["type"]) == (run_id, "reverse_etl_run")
        assert (
            run["attributes"].items()
            >= {
                "sync_id": sync_id,
                "status": "succeeded",
                "rows_read": 12840,
                "rows_written": 12795,
                "rows_failed": 45,
                "started_at": "2025-03-27T12:15:01Z",
            }.items()
        )
        assert _SECONDS.fullmatch(run["attributes"]["finished_at"])

    async def test_filter_by_sync(self, admin: Caller, sync_id: str, another_sync_id: str) -> None:
        await admin.post(RUN, {"syncIds": [sync_id, another_sync_id]})

        listed = await admin.get(f"{RUNS}?sync_id={another_sync_id}")

        assert [run["attributes"]["sync_id"] for run in listed.json["data"]] == [another_sync_id]

    @pytest.mark.parametrize(("status", "count"), [("queued", 1), ("running", 0), ("cancelled", 0)])
    async def test_filter_by_status(self, admin: Caller, sync_id: str, status: str, count: int) -> None:
        await admin.post(RUN, {"syncId": sync_id})

        listed = await admin.get(f"{RUNS}?status={status}")

        assert [run["attributes"]["status"] for run in listed.json["data"]] == [status] * count

    async def test_run_that_is_being_cancelled_is_running(self, admin: Caller, engine: Engine, sync_id: str) -> None:
        run_id = (await admin.post(RUN, {"syncId": sync_id})).json["data"]["id"]
        await engine.begin(run_id)
        await admin.post(f"/api/runs/{run_id}/cancel")

        listed = await admin.get(f"{RUNS}?status=running")

        assert [run["id"] for run in listed.json["data"]] == [run_id]

    async def test_cursor_walks_newest_first_to_the_end(
        self, admin: Caller, sync_id: str, another_sync_id: str
    ) -> None:
        await admin.post(RUN, {"syncId": sync_id})
        await admin.post(RUN, {"syncId": another_sync_id})

        first = await admin.get(f"{RUNS}?limit=1")
        second = await admin.get(f"{RUNS}?limit=1&cursor={first.json['meta']['page']['cursor']}")

        pages = [run["attributes"]["sync_id"] for page in (first, second) for run in page.json["data"]]
        assert pages == [another_sync_id, sync_id]
        assert second.json["meta"]["page"]["cursor"] is None


class TestOneRun:
    @PREFIXES
    async def test_run_shows_its_books_by_reason(
        self, admin: Caller, engine: Engine, sync_id: str, prefix: str
    ) -> None:
        run_id = await _finished(admin, engine, sync_id)

        shown = await admin.get(f"{prefix}/api/runs/{run_id}")

        assert shown.attributes["books"] == {
            "read": 12840,
            "delivered": 12795,
            "skipped": 0,
            "rejected": 45,
            "removed": 0,
            "deleted": 0,
            "kept": 0,
            "undeleted": 0,
            "balanced": True,
            "reasons": {"change.added": 12840, "rejected.DESTINATION_VALIDATION": 45},
        }

    async def test_books_that_do_not_balance_say_so(self, admin: Caller, engine: Engine, sync_id: str) -> None:
        run_id = (await admin.post(RUN, {"syncId": sync_id})).json["data"]["id"]
        await engine.count(run_id, (10, 9, 0, 0))

        shown = await admin.get(f"/api/runs/{run_id}")

        assert shown.attributes["books"]["balanced"] is False

    async def test_cancel_ends_a_waiting_run_at_once(self, admin: Caller, sync_id: str) -> None:
        run_id = (await admin.post(RUN, {"syncId": sync_id})).json["data"]["id"]

        cancelled = await admin.post(f"/api/runs/{run_id}/cancel")

        assert (cancelled.status, cancelled.attributes["status"]) == (200, "cancelled")
        assert cancelled.attributes["cancel_requested_by"].startswith("token:")

    async def test_cancel_of_an_ended_run_leaves_it_and_its_successor_alone(
        self, admin: Caller, engine: Engine, sync_id: str
    ) -> None:
        ended = await _finished(admin, engine, sync_id)
        successor = (await admin.post(RUN, {"syncId": sync_id})).json["data"]["id"]

        cancelled = await admin.post(f"/api/runs/{ended}/cancel")

        shown = await admin.get(f"/api/runs/{successor}")
        assert (cancelled.status, cancelled.attributes["status"]) == (200, "succeeded")
        assert shown.attributes["status"] == "queued"


async def _finished(admin: Caller, engine: Engine, sync_id: str) -> str:
    """The run of the contract's example."""
    run_id = str((await admin.post(RUN, {"syncId": sync_id})).json["data"]["id"])
    await engine.begin(run_id, at="2025-03-27T12:15:01Z")
    await engine.count(run_id, (12840, 12795, 0, 45), change__added=12840, rejected__DESTINATION_VALIDATION=45)
    await engine.end(run_id, "succeeded")
    return run_id
