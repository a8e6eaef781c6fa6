"""Takes in requests for runs that come by the bus, each once."""

from dataclasses import dataclass

import structlog

from tailrace.bus.cloudevents import Incoming
from tailrace.core.errors import Conflict, Invalid, NotFound, TailraceError
from tailrace.core.ids import SyncId, new_run_id
from tailrace.core.runs import RunKind, RunTrigger
from tailrace.events.models import RunRequested
from tailrace.events.run_events import run_queued
from tailrace.observe import fields, metrics
from tailrace.store.database import Connection, Database
from tailrace.store.inbox import take_in
from tailrace.store.runs import NewRun, Runs
from tailrace.store.syncs import Syncs

REPEATED = "repeated"
UNKNOWN = "unknown"
REFUSED = "refused"

_REQUESTED_BY_LIMIT = 256

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Admission:
    """Takes requests for runs in."""

    database: Database
    syncs: Syncs
    runs: Runs

    async def admit(self, incoming: Incoming) -> None:
        """Queue the run that an event asks for; run again for the same (source, event id) it has no effect.

        What cannot be done is logged, counted and done with: no sync, a paused one, or one whose run is active.
        """
        event = incoming.event
        if not isinstance(event, RunRequested):
            raise TypeError(f"{incoming.topic} brings requests for runs, not {event.type}")
        async with self.database.transaction() as connection:
            if not await take_in(connection, incoming.source, incoming.event_id):
                _count(REPEATED)
                return
            try:
                new = await self._start(connection, event, incoming.source)
            except (NotFound, Invalid, Conflict) as error:
                _refused(event, error)
                return
        _log.info("run.admitted", **{fields.RUN_ID: new.run_id, fields.SYNC_ID: new.sync_id})

    async def _start(self, connection: Connection, event: RunRequested, source: str) -> NewRun:
        sync_id = SyncId(event.sync_id)
        workspace_id = await self.syncs.workspace_of(connection, sync_id)
        new = NewRun(
            run_id=new_run_id(),
            workspace_id=workspace_id,
            sync_id=sync_id,
            kind=RunKind.FULL if event.full_refresh else RunKind.INCREMENTAL,
            trigger=RunTrigger.EVENT,
            requested_by=(event.requested_by or source)[:_REQUESTED_BY_LIMIT],
        )
        await self.runs.start(connection, new, run_queued(new))
        return new


def _refused(event: RunRequested, error: TailraceError) -> None:
    _count(UNKNOWN if isinstance(error, NotFound) else REFUSED)
    _log.warning("request.refused", reason=error.message, **{fields.CODE: error.code, fields.SYNC_ID: event.sync_id})


def _count(outcome: str) -> None:
    metrics.EVENTS.labels(RunRequested.type, outcome).inc()
