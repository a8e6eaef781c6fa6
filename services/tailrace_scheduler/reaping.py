"""Looks after runs that nobody works on."""

from dataclasses import dataclass, replace
from uuid import NAMESPACE_URL, uuid5

import structlog

from tailrace.core.clock import Clock
from tailrace.core.errors import LeaseLost
from tailrace.core.outgoing import OutgoingEvent
from tailrace.core.runs import CANCELLED, RunName, RunStatus
from tailrace.events.run_events import run_finished, run_queued
from tailrace.observe import fields, metrics
from tailrace.store.abandoned import AbandonedRuns, Adopted, Waiting
from tailrace.store.database import Database
from tailrace.store.outbox import enqueue
from tailrace.store.shards import Ending, Shards
from tailrace.store.shared_runs import SharedRuns

WAITS_LONG_S = 60.0
"""Executors look for themselves every few seconds; a run that waits longer is told of once more, once a minute."""

_TTL_S = 30.0
_WAITING_AT_ONCE = 50

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Reaping:
    """`dead_for_s` is how long executors have had to take a run over before we close it."""

    database: Database
    abandoned: AbandonedRuns
    shards: Shards
    shared_runs: SharedRuns
    clock: Clock
    owner: str
    dead_for_s: float

    async def close_cancelled(self) -> None:
        """Close runs that somebody cancelled and whose executors are gone; what was delivered stays."""
        while adopted := await self.abandoned.adopt_cancelled(
            owner=self.owner, dead_for_s=self.dead_for_s, ttl_s=_TTL_S
        ):
            try:
                if not await self._close(adopted):
                    continue
            except LeaseLost:
                continue
            metrics.RUNS.labels(RunStatus.CANCELLED).inc()
            metrics.RUN_DURATION.observe(adopted.begun_for_s)
            _log.info("run.reaped", **{fields.RUN_ID: adopted.lease.run_id, fields.SYNC_ID: adopted.sync_id})

    async def tell_again(self) -> None:
        """Wake executors for runs that have waited long: their first event may be lost."""
        waiting = await self.abandoned.waiting(for_s=WAITS_LONG_S, limit=_WAITING_AT_ONCE)
        if not waiting:
            return
        _log.warning("runs.waiting", count=len(waiting), longest=waiting[0].run_id)
        minute = int(self.clock.now().timestamp() // WAITS_LONG_S)
        async with self.database.transaction() as connection:
            await enqueue(connection, [_again(run, minute) for run in waiting])

    async def count(self) -> None:
        """Show how much waits for an executor."""
        queue = await self.abandoned.queue()
        metrics.RUNS_QUEUED.set(queue.parts)
        metrics.RUNS_QUEUED_AGE.set(queue.oldest_s)

    async def _close(self, adopted: Adopted) -> bool:
        """Close the shard, and its run if it is the last."""
        books = adopted.books
        if adopted.is_shared:
            total = await self.shared_runs.leave(adopted.lease, code=CANCELLED)
            if total is None:
                return False
            books = total.books
        name = RunName(adopted.lease.run_id, adopted.sync_id, adopted.workspace_id)
        told = run_finished(name, RunStatus.CANCELLED, books, at=self.clock.now(), error_code=CANCELLED)
        await self.shards.finish(adopted.lease, Ending(RunStatus.CANCELLED, told, CANCELLED))
        return True


def _again(run: Waiting, minute: int) -> OutgoingEvent:
    """The same event for all schedulers of the minute."""
    event_id = str(uuid5(NAMESPACE_URL, f"tailrace:{run.run_id}:{minute}"))
    return replace(run_queued(run), event_id=event_id)
