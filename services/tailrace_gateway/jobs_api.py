"""The jobs API that Planasonix' Airflow package speaks: its connection is a sync, its job a run."""

import hashlib
from typing import Annotated, Any, Literal

from pydantic import Field

from tailrace.core.errors import Conflict
from tailrace.core.ids import RunId, SyncId
from tailrace.core.runs import RunKind, RunStatus
from tailrace.store.database import Connection
from tailrace.store.idempotency import Request
from tailrace.store.runs import RunFilter
from tailrace.store.tokens import Role
from tailrace_gateway.calls import Answer, Call, Route
from tailrace_gateway.job_views import Job, JobResults, Jobs, JobWord, job, job_statuses, results
from tailrace_gateway.models import Body, NoBody, NoQuery, Query
from tailrace_gateway.problems import Fault, Unprocessable
from tailrace_gateway.recording import record
from tailrace_gateway.repeats import once_by_key, once_outside
from tailrace_gateway.starts import Start, cancel, note_ends, start
from tailrace_gateway.stores import Stores
from tailrace_gateway.sync_bodies import Id

LIMIT = 20
LIMIT_MOST = 100
REACH = 10_000
"""So many jobs back can be listed."""

_JOBS = "/api/v1/jobs"
_JOB = f"{_JOBS}/{{job_id}}"
_PLAIN = ("",)
_KEY_S = 86_400.0
_ENDED_BADLY = {RunStatus.FAILED, RunStatus.CANCELLED}


class StartJob(Body):
    """How much to send. `priority` and `metadata` are taken and have no effect."""

    sync_type: Literal["incremental", "full"] | None = "incremental"
    streams: Annotated[tuple[str, ...], Field(max_length=100)] | None = None
    priority: Literal["low", "normal", "high"] | None = "normal"
    metadata: dict[str, Any] | None = None
    idempotency_key: Annotated[str, Field(min_length=1, max_length=1000)] | None = None


class JobsQuery(Query):
    """Which jobs to list."""

    status: JobWord | None = None
    connection_id: Id | None = None
    limit: Annotated[int, Field(ge=1, le=LIMIT_MOST)] = LIMIT
    offset: Annotated[int, Field(ge=0, le=REACH)] = 0


async def start_job(call: Call[StartJob, NoQuery]) -> Answer:
    """Queue a run. For a day the same `idempotency_key` gives the same job, unless that failed or was cancelled.

    Where the sync has a run already, `existing_job_id` of the 409 names it.
    """
    sync_id = SyncId(call.path["connection_id"])
    await _require_streams(call, sync_id)

    async def act(connection: Connection) -> Answer:
        stores = call.stores.within(connection)
        run_id = await _start_or_known(call, stores, connection, sync_id)
        return Answer(job(await stores.runs.get(call.identity.workspace_id, run_id)), 202)

    return await once_by_key(call, act)


async def list_jobs(call: Call[NoBody, JobsQuery]) -> Answer:
    """The workspace's jobs, newest first."""
    query, workspace_id = call.query, call.identity.workspace_id
    if query.connection_id is not None:
        await call.stores.syncs.require_known(workspace_id, query.connection_id)
    wanted = RunFilter(
        sync_id=SyncId(query.connection_id) if query.connection_id else None,
        statuses=job_statuses(query.status) if query.status else (),
    )
    total = await call.stores.runs.count(workspace_id, wanted)
    runs = await call.stores.runs.list(workspace_id, wanted, offset=query.offset, limit=query.limit)
    pagination = {"total": total, "limit": query.limit, "offset": query.offset}
    return Answer({"jobs": [job(run) for run in runs], "pagination": pagination})


async def get_job(call: Call[NoBody, NoQuery]) -> Answer:
    """One job."""
    run = await call.run("job_id")
    await note_ends(call.stores, call.identity, [run])
    return Answer(job(run))


async def get_results(call: Call[NoBody, NoQuery]) -> Answer:
    """What became of the rows of a job that has ended."""
    run = await call.run("job_id")
    if not run.status.is_terminal:
        raise Conflict(f"job {run.id} has not ended: its results are not final", code="JOB_NOT_ENDED")
    return Answer(results(run))


async def cancel_job(call: Call[NoBody, NoQuery]) -> Answer:
    """Ask a job to end. What was delivered stays; a job that has ended stays as it is."""
    run = await call.run("job_id")

    async def act() -> Answer:
        return Answer(job(await cancel(call, run)))

    return await once_outside(call, act)


JOBS = (
    Route(
        "POST",
        "/api/v1/connections/{connection_id}/sync",
        Role.EDITOR,
        start_job,
        "Start a job",
        operation_id="startJob",
        answer=Job,
        body=StartJob,
        status=202,
        prefixes=_PLAIN,
        is_body_optional=True,
        errors=(409,),
    ),
    Route(
        "GET",
        _JOBS,
        Role.VIEWER,
        list_jobs,
        "List jobs",
        operation_id="listJobs",
        answer=Jobs,
        query=JobsQuery,
        prefixes=_PLAIN,
    ),
    Route(
        "GET",
        _JOB,
        Role.VIEWER,
        get_job,
        "Get a job",
        operation_id="getJob",
        answer=Job,
        prefixes=_PLAIN,
    ),
    Route(
        "GET",
        f"{_JOB}/results",
        Role.VIEWER,
        get_results,
        "Get the results of a job",
        operation_id="getJobResults",
        answer=JobResults,
        prefixes=_PLAIN,
        errors=(409,),
    ),
    Route(
        "POST",
        f"{_JOB}/cancel",
        Role.EDITOR,
        cancel_job,
        "Ask a job to end",
        operation_id="cancelJob",
        answer=Job,
        prefixes=_PLAIN,
        is_body_optional=True,
    ),
)


async def _require_streams(call: Call[StartJob, NoQuery], sync_id: SyncId) -> None:
    """A sync has one stream: its object."""
    if not call.body.streams:
        return
    sync = await call.stores.syncs.get(call.identity.workspace_id, sync_id)
    if set(call.body.streams) != {sync.definition.object_name}:
        detail = f"this sync writes {sync.definition.object_name} alone; leave streams out, or name that"
        raise Unprocessable([Fault("/streams", "streams", detail)])


async def _start_or_known(
    call: Call[StartJob, NoQuery], stores: Stores, connection: Connection, sync_id: SyncId
) -> RunId:
    wanted = Start(sync_id, RunKind(call.body.sync_type or RunKind.INCREMENTAL))
    if call.body.idempotency_key is None:
        return await _start(call, stores, connection, wanted)
    request = _request(call, sync_id, call.body.idempotency_key)
    known = await stores.idempotency.recent(connection, request, within_s=_KEY_S)
    if known and (await stores.runs.get(call.identity.workspace_id, RunId(known))).status not in _ENDED_BADLY:
        return RunId(known)
    try:
        run_id = await _start(call, stores, connection, wanted)
    except Conflict as error:
        # A concurrent repeat may have won between the look and the start.
        known = await stores.idempotency.recent(connection, request, within_s=_KEY_S)
        if known is None or known != error.existing_id:
            raise
        return RunId(known)
    await stores.idempotency.note(connection, request, run_id)
    return run_id


async def _start(call: Call[StartJob, NoQuery], stores: Stores, connection: Connection, wanted: Start) -> RunId:
    started = await start(stores, connection, call.identity, wanted)
    await record(call, connection, started.change)
    return started.run_id


def _request(call: Call[StartJob, NoQuery], sync_id: SyncId, key: str) -> Request:
    digest = hashlib.sha256(key.encode())
    return Request(call.identity.workspace_id, f"job/{sync_id}/{digest.hexdigest()}", digest.digest())
