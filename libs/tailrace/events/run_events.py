"""The events that tell of a run, as they wait in the outbox."""

from datetime import datetime
from typing import Protocol

from tailrace.core.ids import RunId, SyncId, WorkspaceId
from tailrace.core.outgoing import OutgoingEvent
from tailrace.core.runs import CANCELLED, Books, RunStatus
from tailrace.events.models import RunFinished, RunQueued
from tailrace.events.outgoing import outgoing


class NamedRun(Protocol):
    """Anything that names a run."""

    @property
    def run_id(self) -> RunId:
        """The run."""
        ...

    @property
    def sync_id(self) -> SyncId:
        """Its sync."""
        ...

    @property
    def workspace_id(self) -> WorkspaceId:
        """Their workspace."""
        ...


def run_queued(run: NamedRun) -> OutgoingEvent:
    """A run waits for an executor."""
    event = RunQueued(run_id=run.run_id, sync_id=run.sync_id, workspace_id=run.workspace_id)
    return outgoing(event, key=run.sync_id)


def run_finished(
    run: NamedRun, status: RunStatus, books: Books, *, at: datetime, error_code: str | None = None
) -> OutgoingEvent:
    """A run ended; nothing of it will change."""
    event = RunFinished(
        run_id=run.run_id,
        sync_id=run.sync_id,
        workspace_id=run.workspace_id,
        status=status,
        read=books.read,
        delivered=books.delivered,
        skipped=books.skipped,
        rejected=books.failed,
        still_failing=books.still_failing,
        error_code=error_code,
        finished_at=at,
    )
    return outgoing(event, key=run.run_id)


def run_cancelled_in_queue(run: NamedRun, at: datetime) -> OutgoingEvent:
    """A run was ended before anybody worked on it."""
    return run_finished(run, RunStatus.CANCELLED, Books(), at=at, error_code=CANCELLED)
