"""The Planasonix contract: starting and listing runs. Beside it: one run with its books, and its end on request."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from tailrace.core.errors import Conflict, TailraceError
from tailrace.core.ids import RunId, SyncId
from tailrace.core.runs import RunKind
from tailrace.store.confirmations import confirm_deletes, guarded_sync
from tailrace.store.database import Connection
from tailrace.store.runs import Run as StoredRun
from tailrace.store.runs import RunFilter
from tailrace.store.tokens import Role
from tailrace_gateway.calls import Answer, Call, Change, Route
from tailrace_gateway.envelopes import One, Page, RunWord
from tailrace_gateway.listings import paged
from tailrace_gateway.models import Body, NoBody, NoQuery
from tailrace_gateway.paging import After, PagedQuery
from tailrace_gateway.problems import Fault, Malformed, Unprocessable, problem_of
from tailrace_gateway.repeats import once_by_key, once_outside
from tailrace_gateway.run_answers import QueuedRun, QueuedRuns, Run, RunBrief
from tailrace_gateway.run_views import RUN, planasonix_statuses, run_item, whole_run
from tailrace_gateway.starts import Refused, Start, Started, cancel, note_ends, start, start_each
from tailrace_gateway.sync_bodies import Id
from tailrace_gateway.wire import Item, item, one, seconds

SYNCS_AT_ONCE = 100
REFUSAL = "reverse_etl_run_refusal"

_RUN = "/api/runs/{run_id}"


class StartRuns(Body):
    """Start a run of one sync, or of each of several."""

    sync_id: Id | None = None
    sync_ids: Annotated[tuple[Id, ...], Field(min_length=1, max_length=SYNCS_AT_ONCE)] | None = None
    full_refresh: bool | None = False


class ConfirmDeletes(Body):
    """How many rows may be deleted: as many as the error of the run tells of."""

    deletes: Annotated[int, Field(ge=1, le=2**31 - 1)]


class RunsQuery(PagedQuery):
    """Which runs to list."""

    sync_id: Id | None = None
    status: RunWord | None = None


async def start_runs(call: Call[StartRuns, NoQuery]) -> Answer:
    """Queue runs. `syncId` gives an object, `syncIds` an object for one and a list, in their order, for several.

    Of several syncs each is started by itself; one that cannot be is told of at its place in the list.
    The request fails only if none can be started.
    """
    kind = RunKind.FULL if call.body.full_refresh else RunKind.INCREMENTAL
    wanted = [Start(SyncId(sync_id), kind) for sync_id in _chosen(call.body)]

    async def act(connection: Connection) -> Answer:
        if len(wanted) == 1:
            started = await start(call.stores, connection, call.identity, wanted[0])
            return Answer(one(_queued(started)), change=started.change)
        outcomes = await start_each(call.stores, connection, call.identity, wanted)
        refused = [each for each in outcomes if isinstance(each, Refused)]
        if len(refused) == len(wanted):
            raise _none_started(refused)
        shown = [_refused(each) if isinstance(each, Refused) else _queued(each) for each in outcomes]
        runs = {each.run_id: each.sync_id for each in outcomes if isinstance(each, Started)}
        return Answer({"data": shown}, change=Change(next(iter(runs)), None, {"runs": runs, "kind": kind}))

    return await once_by_key(call, act)


async def list_runs(call: Call[NoBody, RunsQuery]) -> Answer:
    """The workspace's runs, newest first."""
    query, workspace_id = call.query, call.identity.workspace_id
    if query.sync_id is not None:
        await call.stores.syncs.require_known(workspace_id, query.sync_id)
    wanted = RunFilter(
        sync_id=SyncId(query.sync_id) if query.sync_id else None,
        statuses=planasonix_statuses(query.status) if query.status else (),
    )

    async def find(*, after: After | None, limit: int) -> Sequence[StoredRun]:
        found = await call.stores.runs.list(workspace_id, wanted, after=after, limit=limit)
        await note_ends(call.stores, call.identity, found[: query.limit])
        return found

    return Answer(await paged(call, "runs", find, place=lambda run: (run.queued_at, run.id), shown=run_item))


async def get_run(call: Call[NoBody, NoQuery]) -> Answer:
    """One run with its books."""
    run = await call.run()
    await note_ends(call.stores, call.identity, [run])
    return Answer(one(whole_run(run)))


async def cancel_run(call: Call[NoBody, NoQuery]) -> Answer:
    """Ask a run to end. What was delivered stays; a run that has ended stays as it is."""
    run = await call.run()

    async def act() -> Answer:
        return Answer(one(whole_run(await cancel(call, run))))

    return await once_outside(call, act)


async def confirm(call: Call[ConfirmDeletes, NoQuery]) -> Answer:
    """Start a run that may delete what the guard kept this one from (error `DELETE_GUARD`), once.

    It deletes `deletes` rows at most: if more are gone by then, the guard stops it too.
    """
    identity, run_id, deletes = call.identity, RunId(call.path["run_id"]), call.body.deletes

    async def act(connection: Connection) -> Answer:
        sync_id = await guarded_sync(connection, identity.workspace_id, run_id)
        started = await start(call.stores, connection, identity, Start(sync_id, RunKind.INCREMENTAL))
        await confirm_deletes(connection, run_id, started.run_id, deletes=deletes)
        after = {"confirms_run": run_id, "deletes": deletes, "sync_id": sync_id}
        return Answer(one(_queued(started)), change=Change(started.run_id, None, after))

    return await once_by_key(call, act)


RUNS = (
    Route(
        "POST",
        "/api/reverse-etl/sync/run",
        Role.EDITOR,
        start_runs,
        "Start runs",
        operation_id="startRuns",
        answer=QueuedRuns,
        body=StartRuns,
    ),
    Route(
        "GET",
        "/api/reverse-etl/runs",
        Role.VIEWER,
        list_runs,
        "List runs",
        operation_id="listRuns",
        answer=Page[RunBrief],
        query=RunsQuery,
    ),
    Route(
        "GET",
        _RUN,
        Role.VIEWER,
        get_run,
        "Get a run with its books",
        operation_id="getRun",
        answer=One[Run],
    ),
    Route(
        "POST",
        f"{_RUN}/cancel",
        Role.EDITOR,
        cancel_run,
        "Ask a run to end",
        operation_id="cancelRun",
        answer=One[Run],
        is_body_optional=True,
    ),
    Route(
        "POST",
        f"{_RUN}/confirm-deletes",
        Role.EDITOR,
        confirm,
        "Confirm the deletes that a run was kept from",
        operation_id="confirmDeletes",
        answer=One[QueuedRun],
        body=ConfirmDeletes,
    ),
)


def _chosen(body: StartRuns) -> tuple[str, ...]:
    match body:
        case StartRuns(sync_id=str(sync_id), sync_ids=None):
            return (sync_id,)
        case StartRuns(sync_id=None, sync_ids=tuple(sync_ids)):
            if len(set(sync_ids)) < len(sync_ids):
                raise Unprocessable([Fault("/syncIds", "repeated", "names a sync more than once")])
            return sync_ids
        case _:
            raise Malformed("give either syncId or syncIds", code="SYNC_ID")


def _queued(started: Started) -> Item:
    attributes: dict[str, Any] = {
        "sync_id": started.sync_id,
        "status": "queued",
        "full_refresh": started.kind is RunKind.FULL,
        "created_at": seconds(started.queued_at),
    }
    return item(RUN, started.run_id, attributes)


def _refused(refused: Refused) -> Item:
    problem = problem_of(refused.error)
    attributes: dict[str, Any] = {
        "sync_id": refused.sync_id,
        "http_status": problem.status,
        "error_code": problem.code,
        "message": problem.detail,
        "existing_id": problem.existing_id,
    }
    return item(REFUSAL, None, attributes)


def _none_started(refused: Sequence[Refused]) -> TailraceError:
    """The first refusal, which tells of all."""
    first = refused[0].error
    message = "; ".join(f"{each.sync_id}: {each.error.message}" for each in refused)
    if isinstance(first, Conflict):
        return Conflict(message, code=first.code, existing_id=first.existing_id)
    return type(first)(message, code=first.code)
