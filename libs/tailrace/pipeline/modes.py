"""What a mode sends for a change, and why it sends nothing."""

from tailrace.core.rows import Change, Operation
from tailrace.core.runs import RunKind
from tailrace.core.syncs import SyncMode

_SENDS = {
    (SyncMode.UPSERT, Change.ADDED): Operation.UPSERT,
    (SyncMode.UPSERT, Change.CHANGED): Operation.UPSERT,
    (SyncMode.INSERT, Change.ADDED): Operation.INSERT,
    (SyncMode.UPDATE, Change.ADDED): Operation.UPDATE,
    (SyncMode.UPDATE, Change.CHANGED): Operation.UPDATE,
    (SyncMode.DELETE, Change.ADDED): Operation.DELETE,
    (SyncMode.MIRROR, Change.ADDED): Operation.UPSERT,
    (SyncMode.MIRROR, Change.CHANGED): Operation.UPSERT,
    (SyncMode.MIRROR, Change.REMOVED): Operation.DELETE,
    (SyncMode.APPEND, Change.ADDED): Operation.INSERT,
    (SyncMode.APPEND, Change.CHANGED): Operation.INSERT,
}


def operation(mode: SyncMode, kind: RunKind, change: Change) -> Operation | None:
    """The operation to send, or None. A full run sends an unchanged row as if it had changed."""
    if kind is RunKind.FULL and change is Change.UNCHANGED:
        return _SENDS.get((mode, Change.CHANGED))
    return _SENDS.get((mode, change))


def sent_changes(mode: SyncMode, kind: RunKind) -> frozenset[Change]:
    """The changes that something is sent for."""
    return frozenset(change for change in Change if operation(mode, kind, change) is not None)


def operation_on_rows(mode: SyncMode) -> Operation:
    """The one operation that the mode ever sends for rows of the query."""
    return _SENDS[mode, Change.ADDED]
