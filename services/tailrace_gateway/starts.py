"""Starting runs, safe to repeat: nothing here waits for a warehouse, a destination or the bus."""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from tailrace.core.errors import Conflict, Invalid, NotFound, TailraceError
from tailrace.core.ids import RunId, SyncId, new_run_id
from tailrace.core.runs import RunKind, RunTrigger
from tailrace.events.run_events import run_cancelled_in_queue, run_queued
from tailrace.observe.failpoints import failpoint
from tailrace.store.database import Connection
from tailrace.store.idempotency import Request
from tailrace.store.runs import CancelRequest, NewRun, Run
from tailrace.store.tokens import Identity
from tailrace_gateway.calls import AnyCall, Change
from tailrace_gateway.recording import record
from tailrace_gateway.stores import Stores

REPEAT_S = 10.0
"""For so long the same start by the same caller is one start, for clients that send no Idempotency-Key."""

LATE_REPEAT_S = 35.0
"""For so long it is one start while its run goes on: clients give up on an answer after 30 s, and try again."""


@dataclass(frozen=True, slots=True)
class Start:
    """A run that somebody asks for."""

    sync_id: SyncId
    kind: RunKind


@dataclass(frozen=True, slots=True)
class Started:
    """A run that was queued."""

    run_id: RunId
    sync_id: SyncId
    kind: RunKind
    queued_at: datetime

    @property
    def change(self) -> Change:
        """What is recorded of it."""
        return Change(self.run_id, None, {"sync_id": self.sync_id, "kind": self.kind})


@dataclass(frozen=True, slots=True)
class Refused:
    """A run that could not be queued, and why."""

    sync_id: SyncId
    error: TailraceError


async def start(
    stores: Stores, connection: Connection, identity: Identity, wanted: Start, run_id: RunId | None = None
) -> Started:
    """Queue a run, of that id if one is given, in the caller's transaction, which stays usable whatever comes of it.

    :raises NotFound: the sync is not in the workspace.
    :raises Invalid: `SYNC_PAUSED`.
    :raises Conflict: `RUN_ACTIVE` with the id of the run that the sync has already.
    """
    new = NewRun(
        run_id=run_id or new_run_id(),
        workspace_id=identity.workspace_id,
        sync_id=wanted.sync_id,
        kind=wanted.kind,
        trigger=RunTrigger.API,
        requested_by=identity.name,
    )
    queued_at = await stores.runs.start(connection, new, run_queued(new))
    failpoint("api.after_run_insert_before_commit")
    return Started(new.run_id, wanted.sync_id, wanted.kind, queued_at)


async def start_each(
    stores: Stores, connection: Connection, identity: Identity, wanted: Sequence[Start]
) -> list[Started | Refused]:
    """Queue what can be queued, in the caller's transaction; tells of each in the order asked for."""
    outcomes: dict[str, Started | Refused] = {}
    # In the order of ids, so that two callers with the same syncs cannot wait for each other.
    for one in sorted(wanted, key=lambda each: each.sync_id):
        try:
            outcomes[one.sync_id] = await start(stores, connection, identity, one)
        except (NotFound, Invalid, Conflict) as error:
            outcomes[one.sync_id] = Refused(one.sync_id, error)
    return [outcomes[one.sync_id] for one in wanted]


async def start_or_repeat(call: AnyCall, wanted: Start) -> RunId:
    """Queue a run; the same start again shortly after gives the same run, until its end was read.

    :raises Conflict: `RUN_ACTIVE` with the id of the run that another start has made.
    """
    request = Request(call.identity.workspace_id, _repeat_key(wanted.sync_id), _repeat_sha256(call))
    stores, run_id = call.stores, new_run_id()
    try:
        async with stores.database.transaction() as connection:
            noted = await stores.idempotency.note_once(connection, request, run_id, within_s=REPEAT_S)
            if noted != run_id:
                return RunId(noted)
            started = await start(stores, connection, call.identity, wanted, run_id)
            await record(call, connection, started.change)
    except Conflict as error:
        async with stores.database.connection() as connection:
            known = await stores.idempotency.recent(connection, request, within_s=LATE_REPEAT_S)
        if known is None or known != error.existing_id:
            raise
        return RunId(known)
    failpoint("api.after_commit_before_response")
    return run_id


async def note_end(stores: Stores, identity: Identity, run: Run) -> None:
    """The run is shown to the caller: if it has ended, and the caller started it, its next start is no repeat."""
    if run.status.is_terminal and run.requested_by == identity.name:
        await forget_repeat(stores, identity, run.sync_id)


async def forget_repeat(stores: Stores, identity: Identity, sync_id: SyncId) -> None:
    """The next start of this sync is a start of its own."""
    await stores.idempotency.forget(identity.workspace_id, _repeat_key(sync_id))


async def stop(stores: Stores, connection: Connection, identity: Identity, sync_id: SyncId) -> RunId | None:
    """Ask the sync's run to end, in the caller's transaction; None where it has none."""
    request = CancelRequest(identity.workspace_id, sync_id, identity.name)
    return await stores.runs.request_cancel(connection, request, run_cancelled_in_queue)


def stopped_run(run_id: RunId | None, sync_id: SyncId) -> Change | None:
    """What is recorded of a run that was asked to end."""
    return None if run_id is None else Change(run_id, None, {"sync_id": sync_id})


async def cancel(call: AnyCall, run: Run) -> Run:
    """Ask that run to end, unless it has; gives it as it stands then."""
    stores, identity = call.stores, call.identity
    if run.status.is_terminal:
        return run
    with suppress(_Overtaken):
        async with stores.database.transaction() as connection:
            stopped = await stop(stores, connection, identity, run.sync_id)
            if stopped not in {None, run.id}:
                raise _Overtaken
            await record(call, connection, stopped_run(stopped, run.sync_id))
    await forget_repeat(stores, identity, run.sync_id)
    return await stores.runs.get(identity.workspace_id, run.id)


class _Overtaken(Exception):
    """The run ended meanwhile and the sync has another one, which nobody asked to end."""


def _repeat_key(sync_id: str) -> str:
    return f"start/{sync_id}"


def _repeat_sha256(call: AnyCall) -> bytes:
    return hashlib.sha256(call.identity.token_id.encode() + call.sha256).digest()
