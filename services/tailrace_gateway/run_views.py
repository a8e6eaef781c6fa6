"""Runs as each contract shows them."""

from collections.abc import Sequence
from typing import Any

from tailrace.core.runs import RunKind, RunStatus
from tailrace.store.runs import Run
from tailrace_gateway.wire import Item, item, milliseconds, seconds

RUN = "reverse_etl_run"

# The words that clients of either contract know; any other would leave them waiting.
_PLANASONIX = {status: str(status) for status in RunStatus} | {RunStatus.CANCELLING: "running"}
_RUDDERSTACK = {
    RunStatus.QUEUED: "running",
    RunStatus.RUNNING: "running",
    RunStatus.CANCELLING: "running",
    RunStatus.SUCCEEDED: "succeeded",
    RunStatus.FAILED: "failed",
    RunStatus.CANCELLED: "failed",
}


def planasonix_statuses(word: str) -> Sequence[RunStatus]:
    """The states that a word of the Planasonix contract stands for."""
    return [status for status, shown in _PLANASONIX.items() if shown == word]


def rudderstack_statuses(word: str) -> Sequence[RunStatus]:
    """The states that a word of the RudderStack contract stands for."""
    return [status for status, shown in _RUDDERSTACK.items() if shown == word]


def planasonix_status(run: Run) -> str:
    """How the run stands, in a word of the Planasonix contract."""
    return _PLANASONIX[run.status]


def last_run(run: Run) -> dict[str, Any]:
    """How the newest run of a sync stands."""
    return {
        "id": run.id,
        "status": _PLANASONIX[run.status],
        "started_at": seconds(run.started_at),
        "finished_at": seconds(run.finished_at),
    }


def run_item(run: Run) -> Item:
    """A run in the Planasonix contract's envelope."""
    books = run.books
    attributes = {
        "sync_id": run.sync_id,
        "status": _PLANASONIX[run.status],
        "full_refresh": run.kind is RunKind.FULL,
        "rows_read": books.read,
        "rows_written": books.delivered + books.deleted,
        "rows_failed": books.failed,
        "rows_still_failing": books.still_failing,
        "created_at": seconds(run.queued_at),
        "started_at": seconds(run.started_at),
        "finished_at": seconds(run.finished_at),
        "error": error_of(run),
    }
    return item(RUN, run.id, attributes)


def whole_run(run: Run) -> Item:
    """A run with its books: every row of the query, and every row that is gone from it, by what became of it."""
    books = run.books
    whole = run_item(run)
    whole["attributes"] |= {
        "kind": run.kind,
        "trigger": run.trigger,
        "requested_by": run.requested_by,
        "sync_version": run.sync_version,
        "cancel_requested_by": run.cancel_requested_by,
        "error_code": run.error_code,
        "paused_until": seconds(run.paused_until),
        "pause_reason": run.pause_reason,
        "books": {
            "read": books.read,
            "delivered": books.delivered,
            "skipped": books.skipped,
            "rejected": books.rejected,
            "removed": books.removed,
            "deleted": books.deleted,
            "kept": books.kept,
            "undeleted": books.undeleted,
            "balanced": books.balance,
            "reasons": dict(sorted(books.reasons.items())),
        },
    }
    return whole


def rudderstack_run(run: Run) -> dict[str, Any]:
    """A run as the RudderStack contract shows a sync, which has started for its clients once it is queued.

    So nobody sees it again as one that started later, who asks for those that started since.
    """
    books = run.books
    succeeded = books.delivered + books.deleted
    changes = books.reasons.get("change.added", 0) + books.reasons.get("change.changed", 0)
    return {
        "id": run.id,
        "status": _RUDDERSTACK[run.status],
        "startedAt": milliseconds(run.queued_at),
        "finishedAt": milliseconds(run.finished_at),
        "error": error_of(run),
        "rowsStillFailing": books.still_failing,
        "metrics": {
            "succeeded": {"total": succeeded},
            "failed": {"total": books.failed},
            # A full run sends rows that have not changed, a bad key is known before any comparison.
            "changed": {"total": max(changes + books.deleted + books.undeleted, succeeded + books.failed)},
            "total": books.read,
        },
    }


def error_of(run: Run) -> str | None:
    """Why the run failed or was cancelled; None where it was neither."""
    match run.status:
        case RunStatus.FAILED:
            return run.error_message or run.error_code or "the run failed"
        case RunStatus.CANCELLED:
            return run.error_message or f"cancelled by {run.cancel_requested_by or 'an operator'}"
        case _:
            return None
