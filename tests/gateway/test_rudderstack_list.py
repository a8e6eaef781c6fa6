"""The RudderStack contract: the list of a connection's syncs."""

import pytest
import pytest_asyncio

from tests.gateway.caller import Caller
from tests.gateway.engine import Engine

_MANY_RUNS = """
WITH many AS (INSERT INTO runs (id, workspace_id, sync_id, sync_version, kind, trigger, requested_by, status)
SELECT id || number, workspace_id, sync_id, sync_version, kind, trigger, requested_by, status
  FROM runs, generate_series(1, 100000) number WHERE id = $1 RETURNING id)
INSERT INTO run_shards (run_id, shard) SELECT id, 0 FROM many
"""

PREFIXES = pytest.mark.parametrize("prefix", ["/v2", ""], ids=["with /v2", "without"])
BEHIND = pytest.mark.parametrize(
    "page", ["9", "201", "99999999999999999999999999"], ids=["near", "far", "out of sight"]
)


@pytest_asyncio.fixture
async def run_ids(admin: Caller, engine: Engine, sync_id: str) -> list[str]:
    """Five runs, oldest first: succeeded, failed, cancelled, succeeded, running."""
    return [
        await _a_run(admin, engine, sync_id, status, at=f"2024-04-20T0{hour}:00:00Z")
        for hour, status in enumerate(["succeeded", "failed", "cancelled", "succeeded", "running"])
    ]


async def test_newest_come_first(admin: Caller, sync_id: str, run_ids: list[str]) -> None:
    listed = await admin.get(f"/v2/retl-connections/{sync_id}/syncs")

    assert [shown["id"] for shown in listed.json["syncs"]] == run_ids[::-1]
    assert listed.json["paging"] == {"total": 5}


@pytest.mark.parametrize(("status", "expected"), [("running", [4]), ("succeeded", [3, 0]), ("failed", [2, 1])], ids=str)
async def test_filter_by_status_uses_the_words_of_the_contract(
    admin: Caller, sync_id: str, run_ids: list[str], status: str, expected: list[int]
) -> None:
    listed = await admin.get(f"/v2/retl-connections/{sync_id}/syncs?status={status}")

    assert [shown["id"] for shown in listed.json["syncs"]] == [run_ids[at] for at in expected]
    assert {shown["status"] for shown in listed.json["syncs"]} == {status}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("started_after=2024-04-20T02:30:00Z", [4, 3]),
        ("started_before=2024-04-20T01:30:00.000Z", [1, 0]),
        ("started_after=2024-04-20T00:30:00&started_before=2024-04-20T05:30:00%2B02:00", [3, 2, 1]),
    ],
    ids=["after", "before", "between, one without zone and one with another"],
)
async def test_filter_by_start(
    admin: Caller, sync_id: str, run_ids: list[str], query: str, expected: list[int]
) -> None:
    listed = await admin.get(f"/v2/retl-connections/{sync_id}/syncs?{query}")

    assert [shown["id"] for shown in listed.json["syncs"]] == [run_ids[at] for at in expected]


@PREFIXES
async def test_next_is_a_path_on_this_host_with_the_query_kept(
    admin: Caller, sync_id: str, run_ids: list[str], prefix: str
) -> None:
    first = await admin.get(f"{prefix}/retl-connections/{sync_id}/syncs?per_page=1&status=succeeded")
    second = await admin.get(first.json["paging"]["next"])

    path = f"{prefix}/retl-connections/{sync_id}/syncs"
    assert first.json["paging"] == {"total": 2, "next": f"{path}?per_page=1&status=succeeded&page=2"}
    assert second.json["paging"] == {"total": 2}
    shown = [*first.json["syncs"], *second.json["syncs"]]
    assert [each["id"] for each in shown] == [run_ids[3], run_ids[0]]


@BEHIND
async def test_page_behind_the_last_is_empty(admin: Caller, sync_id: str, run_ids: list[str], page: str) -> None:
    listed = await admin.get(f"/v2/retl-connections/{sync_id}/syncs?page={page}")

    assert (listed.status, listed.json) == (200, {"syncs": [], "paging": {"total": len(run_ids)}})


@BEHIND
async def test_page_behind_the_last_connection_is_empty_too(admin: Caller, sync_id: str, page: str) -> None:
    listed = await admin.get(f"/v2/retl-connections?pageSize=1000&page={page}")

    assert (listed.status, listed.json) == (200, {"data": [], "paging": {"total": 1}})


async def test_page_too_far_back_is_refused_where_there_are_runs_and_no_next_leads_there(
    admin: Caller, engine: Engine, sync_id: str, run_ids: list[str]
) -> None:
    await engine.database.execute(_MANY_RUNS, run_ids[0])

    last = await admin.get(f"/v2/retl-connections/{sync_id}/syncs?per_page=900&page=111")
    refused = await admin.get(f"/v2/retl-connections/{sync_id}/syncs?per_page=900&page=112")

    assert (len(last.json["syncs"]), "next" in last.json["paging"]) == (900, False)
    assert refused.status == 422
    assert refused.json["errors"][0]["parameter"] == "page"
    assert "narrow started_after and started_before" in refused.json["error"]


async def test_run_did_not_start_after_the_time_that_is_shown_of_it(
    admin: Caller, engine: Engine, sync_id: str
) -> None:
    before = await _a_run(admin, engine, sync_id, "succeeded", at="2024-04-20T05:41:18.871999Z")
    after = await _a_run(admin, engine, sync_id, "running", at="2024-04-20T05:41:18.872000Z")

    shown = await admin.get(f"/v2/retl-connections/{sync_id}/syncs/{before}")
    listed = await admin.get(f"/v2/retl-connections/{sync_id}/syncs?started_after={shown.json['startedAt']}")

    assert shown.json["startedAt"] == "2024-04-20T05:41:18.871Z"
    assert [each["id"] for each in listed.json["syncs"]] == [after]


@pytest.mark.parametrize(
    "query",
    [
        "status=queued",
        "page=0",
        "per_page=0",
        "per_page=1001",
        "page=1&page=2",
        "started_after=yesterday",
        "started_after=0001-01-01T00:00:00%2B14:00",
        "started_befor=2024-04-20T05:30:00Z",
        "status=%00",
    ],
)
async def test_query_that_makes_no_sense_is_422(admin: Caller, sync_id: str, query: str) -> None:
    refused = await admin.get(f"/v2/retl-connections/{sync_id}/syncs?{query}")

    assert refused.status == 422
    assert refused.json["errors"][0]["parameter"]


async def _a_run(admin: Caller, engine: Engine, sync_id: str, status: str, *, at: str) -> str:
    answered = await admin.post("/api/reverse-etl/sync/run", {"syncId": sync_id})
    run_id = str(answered.json["data"]["id"])
    await engine.begin(run_id, at=at)
    if status != "running":
        await engine.end(run_id, status)
    return run_id
