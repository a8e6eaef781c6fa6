"""The RudderStack contract: start, list, look at and stop the syncs of a connection, which we call runs of a sync."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from tailrace.core.errors import NotFound
from tailrace.core.ids import SyncId
from tailrace.core.runs import RunKind
from tailrace.store.database import Connection
from tailrace.store.runs import Run, RunFilter
from tailrace.store.tokens import Role
from tailrace_gateway.calls import V2, Answer, Call, Route
from tailrace_gateway.models import Body, Moment, NoBody, NoQuery, Query
from tailrace_gateway.paging import NumberedPage
from tailrace_gateway.problems import Fault, Malformed
from tailrace_gateway.repeats import once_by_key
from tailrace_gateway.run_answers import ConnectionSync, ConnectionSyncs, StartedSync
from tailrace_gateway.run_views import rudderstack_run, rudderstack_statuses
from tailrace_gateway.starts import Start, forget_repeat, note_ends, start, start_or_repeat, stop, stopped_run

PER_PAGE = 50
PER_PAGE_MOST = 1000
REACH = 100_000
"""So many runs back can be paged to; narrower times reach further."""

_CONNECTION = "/retl-connections/{connection_id}"
_KINDS = {"incremental": RunKind.INCREMENTAL, "full": RunKind.FULL}


class StartSync(Body):
    """How much to send. Left out, it is incremental, which sends everything where nothing was sent before."""

    sync_type: Annotated[Any, Field(json_schema_extra={"enum": [*_KINDS, None]})] = None


class SyncsQuery(Query):
    """Which runs to list."""

    status: Literal["running", "succeeded", "failed"] | None = None
    started_after: Moment | None = None
    started_before: Moment | None = None
    per_page: Annotated[int, Field(ge=1, le=PER_PAGE_MOST)] = PER_PAGE
    page: Annotated[int, Field(ge=1)] = 1


async def start_sync(call: Call[StartSync, NoQuery]) -> Answer:
    """Queue a run. Safe to repeat: by Idempotency-Key, and for a few seconds without one."""
    wanted = Start(SyncId(call.path["connection_id"]), _kind(call.body))
    if call.idempotency_key is None:
        return Answer({"syncId": await start_or_repeat(call, wanted)})

    async def act(connection: Connection) -> Answer:
        started = await start(call.stores, connection, call.identity, wanted)
        return Answer({"syncId": started.run_id}, change=started.change)

    return await once_by_key(call, act)


async def list_syncs(call: Call[NoBody, SyncsQuery]) -> Answer:
    """The connection's runs, newest first."""
    query, workspace_id = call.query, call.identity.workspace_id
    page = NumberedPage(query.page, query.per_page, REACH)
    sync = await call.sync("connection_id")
    wanted = RunFilter(
        sync_id=sync.id,
        statuses=rudderstack_statuses(query.status) if query.status else (),
        queued_after=_last_shown_as(query.started_after),
        queued_before=query.started_before,
    )
    total = await call.stores.runs.count(workspace_id, wanted)
    paging = page.paging(call.url, total, or_narrow="started_after and started_before")
    runs: Sequence[Run] = ()
    if page.offset < total:
        runs = await call.stores.runs.list(workspace_id, wanted, offset=page.offset, limit=page.size)
    await note_ends(call.stores, call.identity, runs)
    return Answer({"syncs": [rudderstack_run(run) for run in runs], "paging": paging})


async def get_sync(call: Call[NoBody, NoQuery]) -> Answer:
    """One run of the connection."""
    sync, run = await call.sync("connection_id"), await call.run()
    if run.sync_id != sync.id:
        raise NotFound("no such run", code="RUN_NOT_FOUND")
    await note_ends(call.stores, call.identity, [run])
    return Answer(rudderstack_run(run))


async def stop_sync(call: Call[NoBody, NoQuery]) -> Answer:
    """Ask the connection's run to end, if it has one."""
    identity, sync = call.identity, await call.sync("connection_id")

    async def act(connection: Connection) -> Answer:
        stopped = await stop(call.stores, connection, identity, sync.id)
        return Answer(None, 204, change=stopped_run(stopped, sync.id))

    answer = await once_by_key(call, act)
    await forget_repeat(call.stores, identity, sync.id)
    return answer


RUDDERSTACK = (
    Route(
        "POST",
        f"{_CONNECTION}/start",
        Role.EDITOR,
        start_sync,
        "Start a sync of a connection",
        operation_id="startConnectionSync",
        answer=StartedSync,
        body=StartSync,
        prefixes=V2,
        is_body_optional=True,
    ),
    Route(
        "GET",
        f"{_CONNECTION}/syncs",
        Role.VIEWER,
        list_syncs,
        "List the syncs of a connection",
        operation_id="listConnectionSyncs",
        answer=ConnectionSyncs,
        query=SyncsQuery,
        prefixes=V2,
    ),
    Route(
        "GET",
        f"{_CONNECTION}/syncs/{{run_id}}",
        Role.VIEWER,
        get_sync,
        "Get a sync of a connection",
        operation_id="getConnectionSync",
        answer=ConnectionSync,
        prefixes=V2,
    ),
    Route(
        "POST",
        f"{_CONNECTION}/stop",
        Role.EDITOR,
        stop_sync,
        "Stop the sync of a connection",
        operation_id="stopConnectionSync",
        answer=None,
        status=204,
        prefixes=V2,
        is_body_optional=True,
    ),
)


def _last_shown_as(moment: datetime | None) -> datetime | None:
    """The end of the millisecond: a run that was shown with this very time did not start after it."""
    return None if moment is None else moment.replace(microsecond=moment.microsecond // 1000 * 1000 + 999)


def _kind(body: StartSync) -> RunKind:
    if body.sync_type is None:
        return RunKind.INCREMENTAL
    kind = _KINDS.get(body.sync_type) if isinstance(body.sync_type, str) else None
    if kind is None:
        detail = f"must be one of {', '.join(_KINDS)}"
        raise Malformed(f"syncType: {detail}", code="SYNC_TYPE", faults=[Fault("/syncType", "sync_type", detail)])
    return kind
