"""A run that leaves out rows which an earlier one gave up has no failed rows, and says so in every contract."""

from tests.gateway.caller import Caller
from tests.gateway.engine import Engine


async def _second_run(admin: Caller, engine: Engine, sync_id: str) -> str:
    """A run that found 12,795 rows delivered and 45 that nobody has mended."""
    started = await admin.post("/api/reverse-etl/sync/run", {"syncId": sync_id})
    run_id: str = started.json["data"]["id"]
    await engine.begin(run_id)
    await engine.count(run_id, (12840, 0, 12840, 0), skipped__UNCHANGED=12795, skipped__STILL_DEAD=45)
    await engine.end(run_id, "succeeded")
    return run_id


async def test_run_of_the_planasonix_contract(admin: Caller, engine: Engine, sync_id: str) -> None:
    run_id = await _second_run(admin, engine, sync_id)

    listed = await admin.get("/api/reverse-etl/runs")
    whole = await admin.get(f"/api/runs/{run_id}")

    shown = [listed.json["data"][0]["attributes"], whole.json["data"]["attributes"]]
    assert [(run["status"], run["rows_failed"], run["rows_still_failing"]) for run in shown] == [
        ("succeeded", 0, 45),
        ("succeeded", 0, 45),
    ]


async def test_sync_of_the_rudderstack_contract(admin: Caller, engine: Engine, sync_id: str) -> None:
    run_id = await _second_run(admin, engine, sync_id)

    shown = await admin.get(f"/v2/retl-connections/{sync_id}/syncs/{run_id}")

    assert (shown.json["status"], shown.json["rowsStillFailing"]) == ("succeeded", 45)
    assert shown.json["metrics"]["failed"] == {"total": 0}


async def test_job(admin: Caller, engine: Engine, sync_id: str) -> None:
    run_id = await _second_run(admin, engine, sync_id)

    job = await admin.get(f"/api/v1/jobs/{run_id}")
    results = await admin.get(f"/api/v1/jobs/{run_id}/results")

    assert (job.json["progress"]["rows_failed"], job.json["progress"]["rows_still_failing"]) == (0, 45)
    assert (results.json["summary"]["rows_failed"], results.json["summary"]["rows_still_failing"]) == (0, 45)


async def test_sync_tells_how_many_of_its_rows_wait_as_dead_letters(
    admin: Caller, engine: Engine, sync_id: str, another_sync_id: str
) -> None:
    run_id = await _second_run(admin, engine, sync_id)
    letters = [await engine.bury(run_id, key) for key in ("A-1", "A-2", "A-3")]
    await admin.post("/api/reverse-etl/dlq/resolve", {"entryIds": letters[:1], "resolution": "fixed"})

    shown = await admin.get(f"/api/reverse-etl/syncs/{sync_id}")
    other = await admin.get(f"/api/reverse-etl/syncs/{another_sync_id}")

    assert shown.json["data"]["attributes"]["open_dead_letters"] == 2
    assert other.json["data"]["attributes"]["open_dead_letters"] == 0
