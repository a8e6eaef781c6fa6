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
from tailrace.store.runs import CancelRequest, NewRun, Run, RunFilter
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
    queued = await stores.runs.start(connection, new, run_queued(new))
    failpoint("api.after_run_insert_before_commit")
    return Started(new.run_id, wanted.sync_id, queued.kind, queued.at)


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
    """Queue a run; the same start again shortly after gives the same run, until its end was read or the sync changed.

    :raises NotFound: the sync is not in the workspace.
    :raises Invalid: `SYNC_PAUSED`.
    :raises Conflict: `RUN_ACTIVE` with the id of the run that another start has made.
    """
    request = Request(call.identity.workspace_id, _repeat_key(wanted.sync_id), _repeat_sha256(call))
    stores, run_id = call.stores, new_run_id()
    try:
        async with stores.database.transaction() as connection:
            noted = await stores.idempotency.note_once(connection, request, run_id, within_s=REPEAT_S)
            if noted != run_id:
                if await _is_newest(stores.within(connection), call.identity, wanted.sync_id, RunId(noted)):
                    return RunId(noted)
                await stores.idempotency.note(connection, request, run_id)
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


async def note_ends(stores: Stores, identity: Identity, runs: Sequence[Run]) -> None:
    """Runs are shown to the caller: after those that have ended, and that it started, its next start is no repeat."""
    ended = [run for run in runs if run.status.is_terminal and run.requested_by == identity.name]
    if ended:
        noted = [(_repeat_key(run.sync_id), run.id) for run in ended]
        await stores.idempotency.forget_noted(identity.workspace_id, noted)


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


async def _is_newest(stores: Stores, identity: Identity, sync_id: SyncId, run_id: RunId) -> bool:
    """Whether a sync would start this run once more: it is as it was then, and has had no other run since."""
    [newest, *_] = await stores.runs.list(identity.workspace_id, RunFilter(sync_id=sync_id), limit=1)
    sync = await stores.syncs.get(identity.workspace_id, sync_id)
    would_be_alike = sync.enabled and sync.version == newest.sync_version
    return newest.id == run_id and (would_be_alike or not newest.status.is_terminal)


def _repeat_key(sync_id: str) -> str:
    return f"start/{sync_id}"


def _repeat_sha256(call: AnyCall) -> bytes:
    return hashlib.sha256(call.identity.token_id.encode() + call.sha256).digest()
