"""The jobs API, by the requests that planasonix-airflow 1.0.4 sends and the members that it reads."""

import asyncio
from dataclasses import replace

import pytest

from tailrace.core.ids import WorkspaceId
from tailrace.store.tokens import Role
from tests.gateway.caller import Answered, Caller, Json
from tests.gateway.conftest import Gateway
from tests.gateway.engine import Engine

JOBS = "/api/v1/jobs"
# What the package's operator sends; its key is the same at each try of a task.
TRIGGER: dict[str, Json] = {
    "sync_type": "incremental",
    "priority": "normal",
    "metadata": {"dag_id": "crm", "task_id": "sync", "run_id": "manual__1", "execution_date": "2025-03-27 17:22:00"},
    "idempotency_key": "crm_sync_manual__1",
}
_HEADERS = {"User-Agent": "planasonix-airflow/1.0.0", "X-Organization-ID": "org_1"}


async def _trigger(caller: Caller, sync_id: str, **changes: Json) -> Answered:
    return await caller.post(f"/api/v1/connections/{sync_id}/sync", TRIGGER | changes, headers=_HEADERS)


async def _job(caller: Caller, job_id: str) -> Json:
    return (await caller.get(f"{JOBS}/{job_id}")).json


async def test_trigger_answers_at_the_top_and_under_data(admin: Caller, sync_id: str) -> None:
    started = await _trigger(admin, sync_id)

    body = started.json
    nested = body.pop("data")["job"]
    assert started.status == 202
    assert (body["connection_id"], body["sync_type"], body["status"]) == (sync_id, "incremental", "queued")
    assert nested | {"job_id": nested["id"]} == body | {"id": body["job_id"]}


async def test_full_job_is_a_full_run(admin: Caller, sync_id: str) -> None:
    started = await _trigger(admin, sync_id, sync_type="full")

    run = await admin.get(f"/api/runs/{started.json['job_id']}")
    assert (started.json["sync_type"], run.attributes["full_refresh"]) == ("full", True)


async def test_empty_body_starts_an_incremental_job(admin: Caller, sync_id: str) -> None:
    started = await admin.post(f"/api/v1/connections/{sync_id}/sync")

    assert (started.status, started.json["sync_type"]) == (202, "incremental")


class TestIdempotencyKey:
    """A task that is tried again sends the same key: it must neither start twice nor be stuck with what failed."""

    @pytest.mark.parametrize("status", ["queued", "running", "succeeded"])
    async def test_job_that_goes_on_or_went_well_is_given_again(
        self, gateway: Gateway, admin: Caller, sync_id: str, status: str
    ) -> None:
        first = await _trigger(admin, sync_id)
        await gateway.stores.database.execute("UPDATE runs SET status = $1", status)

        again = await _trigger(admin, sync_id)

        assert (again.status, again.json["job_id"]) == (202, first.json["job_id"])

    @pytest.mark.parametrize("status", ["failed", "cancelled"])
    async def test_job_that_went_wrong_is_followed_by_another(
        self, admin: Caller, engine: Engine, sync_id: str, status: str
    ) -> None:
        first = await _trigger(admin, sync_id)
        await engine.end(first.json["job_id"], status)

        again = await _trigger(admin, sync_id)
        third = await _trigger(admin, sync_id)

        assert again.json["job_id"] != first.json["job_id"]
        assert third.json["job_id"] == again.json["job_id"]

    async def test_twenty_tries_at_once_are_one_job(self, gateway: Gateway, admin: Caller, sync_id: str) -> None:
        answers = await asyncio.gather(*(_trigger(admin, sync_id) for _ in range(20)))

        assert len({answered.json["job_id"] for answered in answers}) == 1
        assert await gateway.stores.database.fetchval("SELECT count(*) FROM runs") == 1

    async def test_key_of_another_connection_is_another_key(
        self, admin: Caller, sync_id: str, another_sync_id: str
    ) -> None:
        one = await _trigger(admin, sync_id)
        other = await _trigger(admin, another_sync_id)

        assert one.json["job_id"] != other.json["job_id"]

    async def test_other_key_meets_409_that_names_the_job_to_attach_to(self, admin: Caller, sync_id: str) -> None:
        first = await _trigger(admin, sync_id)

        refused = await _trigger(admin, sync_id, idempotency_key="crm_sync_manual__2")

        assert (refused.status, refused.json["existing_job_id"]) == (409, first.json["job_id"])


async def test_job_that_waits_and_runs_shows_its_progress_and_no_error(
    admin: Caller, engine: Engine, sync_id: str
) -> None:
    job_id = (await _trigger(admin, sync_id)).json["job_id"]
    waiting = await _job(admin, job_id)
    await engine.begin(job_id)
    await engine.count(job_id, (100, 60, 35, 5))

    running = await _job(admin, job_id)

    assert (waiting["status"], running["status"]) == ("queued", "running")
    counted = {"rows_read": 100, "rows_written": 60, "rows_skipped": 35, "rows_failed": 5, "rows_still_failing": 0}
    assert running["progress"] == counted
    assert "error" not in waiting.keys() | running.keys()


async def test_job_with_rejected_rows_is_completed_and_counts_them(admin: Caller, engine: Engine, sync_id: str) -> None:
    job_id = (await _trigger(admin, sync_id)).json["job_id"]
    await engine.begin(job_id)
    await engine.count(job_id, (12840, 12795, 0, 45))
    await engine.end(job_id, "succeeded")

    job = await _job(admin, job_id)
    results = await admin.get(f"{JOBS}/{job_id}/results")

    assert (job["status"], "error" in job) == ("completed", False)
    assert results.json["summary"].pop("duration_seconds") >= 0
    summary = {"total_rows_synced": 12795, "rows_read": 12840, "rows_skipped": 0, "rows_failed": 45}
    assert results.json["summary"] == results.json["summary"] | summary


async def test_failed_job_has_an_error_with_a_message(admin: Caller, engine: Engine, sync_id: str) -> None:
    job_id = (await _trigger(admin, sync_id)).json["job_id"]
    await engine.begin(job_id)
    await engine.end(job_id, "failed", code="SOURCE_QUERY", message="no such column")

    job = await _job(admin, job_id)

    assert (job["status"], job["error"]) == ("failed", {"code": "SOURCE_QUERY", "message": "no such column"})


async def test_cancelled_job_says_so_and_by_whom(admin: Caller, sync_id: str) -> None:
    job_id = (await _trigger(admin, sync_id)).json["job_id"]

    cancelled = await admin.post(f"{JOBS}/{job_id}/cancel")
    again = await admin.post(f"{JOBS}/{job_id}/cancel")

    assert (cancelled.status, cancelled.json["status"], again.json["status"]) == (200, "cancelled", "cancelled")
    assert cancelled.json["error"]["message"].startswith("cancelled by token:")


async def test_results_of_a_job_that_goes_on_are_refused(admin: Caller, sync_id: str) -> None:
    job_id = (await _trigger(admin, sync_id)).json["job_id"]

    refused = await admin.get(f"{JOBS}/{job_id}/results")

    assert (refused.status, refused.json["code"]) == (409, "JOB_NOT_ENDED")


async def test_jobs_are_listed_newest_first_by_connection_and_status(
    admin: Caller, engine: Engine, sync_id: str, another_sync_id: str
) -> None:
    done = (await _trigger(admin, sync_id)).json["job_id"]
    await engine.end(done, "succeeded")
    waiting = (await _trigger(admin, sync_id, idempotency_key="other")).json["job_id"]
    other = (await _trigger(admin, another_sync_id)).json["job_id"]

    everything = (await admin.get(f"{JOBS}?limit=20&offset=0")).json
    second = (await admin.get(f"{JOBS}?limit=1&offset=1")).json
    chosen = (await admin.get(f"{JOBS}?limit=20&offset=0&status=completed&connection_id={sync_id}")).json

    assert [job["job_id"] for job in everything["jobs"]] == [other, waiting, done]
    assert everything["pagination"] == {"total": 3, "limit": 20, "offset": 0}
    assert [job["job_id"] for job in second["jobs"]] == [waiting]
    assert [job["job_id"] for job in chosen["jobs"]] == [done]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"sync_type": "delta"}, 422),
        ({"priority": "urgent"}, 422),
        ({"idempotency_key": ""}, 422),
        ({"streams": ["Contact"]}, 422),
        ({"streams": ["Account"]}, 202),
    ],
    ids=str,
)
async def test_only_what_can_be_done_is_taken(admin: Caller, sync_id: str, body: Json, status: int) -> None:
    assert (await _trigger(admin, sync_id, **body)).status == status


async def test_unknown_connection_and_job_are_404(admin: Caller, stranger: Caller, sync_id: str) -> None:
    job_id = (await _trigger(admin, sync_id)).json["job_id"]

    answers = [
        await _trigger(admin, "retl_sync_unknown"),
        await _trigger(stranger, sync_id),
        await stranger.get(f"{JOBS}/{job_id}"),
        await stranger.get(f"{JOBS}/{job_id}/results"),
        await stranger.post(f"{JOBS}/{job_id}/cancel"),
        await stranger.get(f"{JOBS}?connection_id={sync_id}"),
    ]

    assert {answered.status for answered in answers} == {404}
    assert (await _job(admin, job_id))["status"] == "queued"


async def test_viewer_reads_and_does_not_start(gateway: Gateway, workspace_id: WorkspaceId, sync_id: str) -> None:
    viewer = await gateway.caller(workspace_id, Role.VIEWER)

    started, listed = await _trigger(viewer, sync_id), await viewer.get(JOBS)

    assert (started.status, listed.status) == (403, 200)


async def test_missing_token_is_401(gateway: Gateway, admin: Caller, sync_id: str) -> None:
    assert (await _trigger(replace(admin, token=""), sync_id)).status == 401
