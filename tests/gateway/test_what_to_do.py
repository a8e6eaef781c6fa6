"""Whoever sends a wrong request learns from the answer what to send instead."""

import pytest

from tests.gateway.caller import Caller, Json, a_sync

SYNCS = "/api/reverse-etl/syncs"


async def test_body_that_breaks_off_tells_where(admin: Caller) -> None:
    refused = await admin.post(SYNCS, b'{"name": "a",\n "sourceQuery": }')

    assert refused.status == 400
    assert refused.json["detail"] == "the body is not JSON: it goes wrong at line 2, column 17"


async def test_empty_body_tells_what_is_wanted(admin: Caller) -> None:
    refused = await admin.post(SYNCS)

    assert (refused.status, refused.json["code"]) == (400, "NOT_JSON")
    assert refused.json["detail"].startswith("the body is empty: send a JSON object")


async def test_wrong_method_tells_those_that_the_path_takes(admin: Caller) -> None:
    refused = await admin.call("PATCH", f"{SYNCS}/retl_sync_x", {})

    assert (refused.status, refused.headers["Allow"]) == (405, "DELETE,GET,HEAD,PUT")
    assert refused.json["detail"] == "this path takes DELETE, GET, HEAD, PUT"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": None}, "must be text"),
        ({"name": ""}, "must not be empty"),
        ({"name": " \t"}, "must not be empty"),
        ({"name": "x" * 257}, "must have at most 256 characters"),
        ({"sourceQuery": "  "}, "must not be empty"),
        ({"enabled": "yes"}, "must be true or false"),
        ({"fieldMappings": {}}, "must be a list"),
        ({"fieldMappings": []}, "must have at least 1 item(s)"),
        ({"syncMode": "replace"}, "must be one of 'upsert', 'insert', 'update', 'delete', 'mirror' or 'append'"),
        ({"schedule": {"type": "interval", "everyMinutes": 0}}, "must be at least 1"),
        ({"schedule": {"type": "hourly"}}, "must be one of 'manual', 'interval', 'cron'"),
        ({"schedule": {}}, "needs a member 'type'"),
        ({"schedule": "hourly"}, "must be an object"),
    ],
    ids=lambda part: part if isinstance(part, str) else None,
)
async def test_value_that_cannot_work_is_told_in_plain_words(
    admin: Caller, source_id: str, destination_id: str, change: Json, told: str
) -> None:
    refused = await admin.post(SYNCS, a_sync(destination_id) | change)

    assert (refused.status, [fault["detail"] for fault in refused.json["errors"]]) == (422, [told])


async def test_member_that_is_missing_is_told_with_its_place(admin: Caller) -> None:
    refused = await admin.post("/api/reverse-etl/sync/toggle", {"enabled": True})

    assert refused.json["message"] == refused.json["error"] == "/syncId: is required"


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("limit=many", "must be a whole number"),
        ("limit=0", "must be at least 1"),
        ("status=done", "must be one of 'queued', 'running', 'succeeded', 'failed' or 'cancelled'"),
    ],
)
async def test_parameter_that_cannot_work_is_told_in_plain_words(admin: Caller, query: str, told: str) -> None:
    refused = await admin.get(f"/api/reverse-etl/runs?{query}")

    assert (refused.status, [fault["detail"] for fault in refused.json["errors"]]) == (422, [told])


@pytest.mark.parametrize("since", ["yesterday", "2026-99-01", "2026-01-01T25:00:00Z"])
async def test_time_that_cannot_be_read_is_told_by_an_example(admin: Caller, since: str) -> None:
    refused = await admin.get(f"/api/reverse-etl/dlq/stats?since={since}")

    assert "such as 20" in refused.json["errors"][0]["detail"]


async def test_connection_that_nobody_tested_does_not_claim_to_work(admin: Caller, destination_id: str) -> None:
    listed = await admin.get("/api/reverse-etl/destinations")

    assert [each["attributes"]["status"] for each in listed.json["data"]] == ["untested"]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/api/reverse-etl/syncs/retl_sync_x", "GET /api/reverse-etl/syncs or /v2/retl-connections lists them"),
        ("/v2/retl-connections/retl_sync_x/syncs", "GET /api/reverse-etl/syncs or /v2/retl-connections lists them"),
        ("/v2/retl-sources/retl_source_x", "GET /v2/retl-sources lists them"),
        ("/api/reverse-etl/objects?destination_id=conn_x", "GET /api/sources and /api/destinations list them"),
        ("/api/runs/retl_run_x", "GET /api/reverse-etl/runs lists them"),
        ("/api/v1/jobs/retl_run_x", "GET /api/reverse-etl/runs lists them"),
    ],
)
async def test_thing_that_is_not_there_is_told_with_where_to_look(admin: Caller, path: str, told: str) -> None:
    missing = await admin.get(path)

    assert missing.status == 404
    assert told in missing.json["detail"]


async def test_part_of_a_thing_that_is_not_there_is_told_with_where_to_look(admin: Caller, sync_id: str) -> None:
    version = await admin.get(f"/api/syncs/{sync_id}/versions/7")
    token = await admin.delete("/api/tokens/aaaaaaaa")
    letter = await admin.post("/api/reverse-etl/dlq/resolve", {"entryIds": ["retl_dlq_x"], "resolution": "skipped"})

    assert [each.status for each in (version, token, letter)] == [404, 404, 404]
    assert "GET /api/syncs/{sync_id}/versions lists them" in version.json["detail"]
    assert "GET /api/tokens lists them" in token.json["detail"]
    assert "GET /api/reverse-etl/dlq lists them" in letter.json["detail"]


async def test_start_that_cannot_be_is_told_with_what_would_make_it_possible(admin: Caller, sync_id: str) -> None:
    start = {"syncId": sync_id}
    await admin.post("/api/reverse-etl/sync/run", start)
    active = await admin.post("/api/reverse-etl/sync/run", start)
    await admin.post(f"/api/runs/{active.json['existing_id']}/cancel")
    await admin.post(f"/api/syncs/{sync_id}/pause")
    paused = await admin.post("/api/reverse-etl/sync/run", start)

    assert "POST /api/runs/{run_id}/cancel" in active.json["detail"]
    assert "POST /api/syncs/{sync_id}/resume" in paused.json["detail"]
