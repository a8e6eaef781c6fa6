"""Runs as the jobs API shows them: a job's members at the top, where its clients look, and under `data.job`."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from tailrace.core.runs import RunKind, RunStatus
from tailrace.store.runs import Run
from tailrace_gateway.envelopes import Count, Seconds, Told
from tailrace_gateway.run_views import error_of
from tailrace_gateway.wire import seconds

JobWord = Literal["queued", "running", "completed", "failed", "cancelled"]

# The words that the package knows; with any other it would wait until its timeout.
_WORDS: dict[RunStatus, JobWord] = {
    RunStatus.QUEUED: "queued",
    RunStatus.RUNNING: "running",
    RunStatus.CANCELLING: "running",
    RunStatus.SUCCEEDED: "completed",
    RunStatus.FAILED: "failed",
    RunStatus.CANCELLED: "cancelled",
}


class JobProgress(Told):
    """Rows so far."""

    rows_read: Count
    rows_written: Count
    rows_skipped: Count
    rows_failed: Count
    rows_still_failing: Count


class JobError(Told):
    """Why a job failed or was cancelled."""

    code: str
    message: str


class JobMembers(Told):
    """A job: a run of ours. `error` is there only where it failed or was cancelled."""

    connection_id: str
    sync_type: RunKind
    status: JobWord
    created_at: Seconds
    started_at: Seconds | None
    completed_at: Seconds | None
    progress: JobProgress
    error: JobError | None = None


class NamedJob(JobMembers):
    """A job by its id."""

    id: str


class JobData(Told):
    """The same job once more."""

    job: NamedJob


class Job(JobMembers):
    """A job, once at the top and once under `data.job`."""

    job_id: str
    data: JobData


class JobPagination(Told):
    """Which part of the jobs is shown."""

    total: Count
    limit: Annotated[int, Field(ge=1)]
    offset: Count


class Jobs(Told):
    """Jobs, newest first."""

    jobs: list[Job]
    pagination: JobPagination


class JobSummary(Told):
    """What became of the rows of a job; `total_rows_synced` are those that the destination took."""

    total_rows_synced: Count
    rows_read: Count
    rows_skipped: Count
    rows_failed: Count
    rows_still_failing: Count
    duration_seconds: Annotated[float, Field(ge=0)]


class JobResults(Told):
    """The results of a job that has ended."""

    job_id: str
    status: JobWord
    summary: JobSummary


def job_statuses(word: JobWord) -> Sequence[RunStatus]:
    """The states that a word of the jobs API stands for."""
    return [status for status, shown in _WORDS.items() if shown == word]


def job(run: Run) -> dict[str, Any]:
    """A run as a job."""
    members = _members(run)
    return {"job_id": run.id, **members, "data": {"job": {"id": run.id, **members}}}


def results(run: Run) -> dict[str, Any]:
    """The results of a run that has ended."""
    books = run.books
    begun, ended = run.started_at or run.queued_at, run.finished_at or run.queued_at
    summary = {
        "total_rows_synced": books.delivered + books.deleted,
        "rows_read": books.read,
        "rows_skipped": books.skipped,
        "rows_failed": books.failed,
        "rows_still_failing": books.still_failing,
        "duration_seconds": max(0.0, (ended - begun).total_seconds()),
    }
    return {"job_id": run.id, "status": _WORDS[run.status], "summary": summary}


def _members(run: Run) -> dict[str, Any]:
    books, message = run.books, error_of(run)
    # The package asks `error` for its message without looking whether it is null.
    error = {} if message is None else {"error": {"code": run.error_code or run.status.upper(), "message": message}}
    return {
        "connection_id": run.sync_id,
        "sync_type": run.kind,
        "status": _WORDS[run.status],
        "created_at": seconds(run.queued_at),
        "started_at": seconds(run.started_at),
        "completed_at": seconds(run.finished_at),
        "progress": {
            "rows_read": books.read,
            "rows_written": books.delivered + books.deleted,
            "rows_skipped": books.skipped,
            "rows_failed": books.failed,
            "rows_still_failing": books.still_failing,
        },
        **error,
    }
