"""The events that the scheduler sends."""

from tailrace.core.outgoing import OutgoingEvent
from tailrace.events.models import RunQueued
from tailrace.events.outgoing import outgoing
from tailrace.store.runs import NewRun


def run_queued(new: NewRun) -> OutgoingEvent:
    """A run waits for an executor."""
    event = RunQueued(run_id=new.run_id, sync_id=new.sync_id, workspace_id=new.workspace_id)
    return outgoing(event, key=new.sync_id)
