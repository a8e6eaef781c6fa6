"""What answers about runs hold, in the words of either contract."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, WithJsonSchema

from tailrace.core.runs import RunKind, RunStatus, RunTrigger
from tailrace_gateway.envelopes import Count, Item, RunWord, Seconds, Told, Unnamed

_STILL_FAILING = "Rows left out, as their letter of an earlier run is open or was resolved as skipped."
_MILLISECONDS = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"

Milliseconds = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time", "pattern": _MILLISECONDS})]


class QueuedRunAttributes(Told):
    """A run that was queued."""

    sync_id: str
    status: Literal[RunStatus.QUEUED]
    full_refresh: bool
    created_at: Seconds


class RefusedRunAttributes(Told):
    """A sync of several that could not be started; `existing_id` is the run that it has already."""

    sync_id: str
    http_status: int
    error_code: str
    message: str
    existing_id: str | None


class RunBriefAttributes(Told):
    """A run in a listing; `error` says why it failed or was cancelled."""

    sync_id: str
    status: RunWord
    full_refresh: bool
    rows_read: Count
    rows_written: Count
    rows_failed: Count
    rows_still_failing: Annotated[Count, Field(description=_STILL_FAILING)]
    created_at: Seconds
    started_at: Seconds | None
    finished_at: Seconds | None
    error: str | None


class RunBooks(Told):
    """Every row of the query (`read`) and every row gone from it (`removed`), by what became of it."""

    read: Count
    delivered: Count
    skipped: Count
    rejected: Count
    removed: Count
    deleted: Count
    kept: Count
    undeleted: Count
    balanced: Annotated[bool, Field(description="read = delivered + skipped + rejected; the same for those removed.")]
    reasons: dict[str, Count]


class RunAttributes(RunBriefAttributes):
    """A run with its books."""

    kind: RunKind
    trigger: RunTrigger
    requested_by: str
    sync_version: Annotated[int, Field(ge=1)]
    cancel_requested_by: str | None
    error_code: str | None
    paused_until: Annotated[Seconds | None, Field(description="Until when nobody works on the run, that waits.")]
    pause_reason: Annotated[str | None, Field(description="What it waits for.")]
    books: RunBooks


class StartedSync(Told):
    """The id of the sync that was started: a run of ours."""

    sync_id: Annotated[str, Field(alias="syncId")]


class Total(Told):
    """A number of rows."""

    total: Count


class SyncMetrics(Told):
    """Rows of the query, rows that had to be sent, and what became of these."""

    succeeded: Total
    failed: Total
    changed: Total
    total: Count


class ConnectionSync(Told):
    """A sync of a connection: a run of ours. One that was cancelled has failed, with the reason in `error`."""

    id: str
    status: Literal["running", "succeeded", "failed"]
    started_at: Annotated[Milliseconds, Field(alias="startedAt")]
    finished_at: Annotated[Milliseconds | None, Field(alias="finishedAt")]
    error: str | None
    rows_still_failing: Annotated[Count, Field(alias="rowsStillFailing", description=_STILL_FAILING)]
    metrics: SyncMetrics


class SyncPaging(Told):
    """How many there are, and the path of the next page where there is one."""

    total: Count
    next: str | None = None


class ConnectionSyncs(Told):
    """The syncs of a connection, newest first."""

    syncs: list[ConnectionSync]
    paging: SyncPaging


QueuedRun: TypeAlias = Item[Literal["reverse_etl_run"], QueuedRunAttributes]
RefusedRun: TypeAlias = Unnamed[Literal["reverse_etl_run_refusal"], RefusedRunAttributes]
RunBrief: TypeAlias = Item[Literal["reverse_etl_run"], RunBriefAttributes]
Run: TypeAlias = Item[Literal["reverse_etl_run"], RunAttributes]


class QueuedRuns(Told):
    """The run that was queued; where the request named several syncs, what came of each."""

    data: QueuedRun | list[QueuedRun | RefusedRun]
