"""What the facts about a row come to, in a word and in sentences."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, TypeAlias

from tailrace.core.runs import RunKind, RunStatus
from tailrace.core.snapshots import UNKNOWN_VERSION, Entry
from tailrace.core.syncs import SyncDefinition, SyncMode
from tailrace.pipeline.map_fields import DUPLICATE_KEY
from tailrace.store.dead_letters import SKIPPED, DeadLetter, LetterState
from tailrace.store.runs import Run
from tailrace_gateway.row_reading import Comparison

RowState: TypeAlias = Literal[
    "delivered", "outdated", "in_doubt", "rejected", "held_back", "released", "leaving", "unknown"
]

_BY_CURSOR = (
    "This sync reads by a cursor: what was delivered is kept only of rows within its look-back, and a row that is not"
    " found may well have been delivered."
)
_APPENDED = "This sync appends: each run sends its rows anew, and what was delivered is not kept row by row."
_CLEARED = {"superseded", "replayed"}
_SAYS: dict[RowState, str] = {
    "delivered": "The destination accepted this version; the moment of each delivery is not kept.",
    "outdated": "The destination has an earlier version; the newer one was refused, see the open letter.",
    "in_doubt": "A request with this row went unanswered: the destination may hold any version. The next run sends it.",
    "rejected": "No version was delivered; the row was refused, see the open letter.",
    "held_back": "The row was refused and its letter skipped; it is sent again once it changes, or by a full run.",
    "released": "The row was refused and its letter resolved, or is gone: the next run sends the row as it is then.",
    "leaving": "The row has left the query and is to be deleted from the destination.",
    "unknown": "Nothing is kept of a row with this key.",
}

_SAYS_OF_SOURCE: dict[Comparison, str] = {
    "same": "What would be sent of the row now is what was delivered last.",
    "different": "What would be sent of the row now is not what was delivered last.",
    "undelivered": "The query has the row, and no version of it is known to be delivered.",
    "held_back": "The query has the very version that was refused: runs leave it out until it changes.",
    "refused": "The query has the row, and it cannot be sent as it is.",
    "absent": "The query has no row with this key now.",
    "not_kept": "The query has the row; what was delivered of it before is not kept.",
}
_CURSOR_DECIDES = "The next run sends it only if its cursor lies above the watermark, less the look-back."
_UNDER_WAY = "A run is under way: it may have read the row before or after it was looked at here."


def state_of(entry: Entry | None, letters: Sequence[DeadLetter]) -> RowState:
    """The word for how a row stands; letters of further rows with the same key say nothing about it."""
    own = [letter for letter in letters if letter.error_code != DUPLICATE_KEY]
    is_refused = any(letter.state is not LetterState.RESOLVED for letter in own)
    if entry is None:
        return "rejected" if is_refused else "unknown"
    if entry.is_gone:
        return "leaving"
    if entry.delivered == UNKNOWN_VERSION:
        return "in_doubt"
    if entry.delivered is not None:
        return "outdated" if is_refused or entry.dead is not None else "delivered"
    return "rejected" if is_refused else "held_back" if _last_resolution(own) == SKIPPED else "released"


def _last_resolution(letters: Sequence[DeadLetter]) -> str | None:
    resolved = [letter for letter in letters if letter.resolved_at is not None]
    return max(resolved, key=lambda letter: letter.resolved_at or letter.last_seen_at).resolution if resolved else None


def last_known_delivery(letters: Sequence[DeadLetter]) -> datetime | None:
    """When a delivery of the row cleared a letter last."""
    cleared = [letter.resolved_at for letter in letters if letter.resolution in _CLEARED and letter.resolved_at]
    return max(cleared, default=None)


def notes_on(state: RowState, definition: SyncDefinition, run: Run | None, *, passed: bool | None) -> list[str]:
    """What the state means, and what is not known."""
    notes = [_SAYS[state], _of_run(run, passed=passed)]
    if state == "delivered" and definition.sync_mode is SyncMode.DELETE:
        notes.append("This sync deletes: what was delivered is the deletion.")
    if definition.cursor is not None:
        notes.append(_BY_CURSOR)
    elif definition.sync_mode is SyncMode.APPEND:
        notes.append(_APPENDED)
    elif state == "unknown" and run is not None and run.status is RunStatus.SUCCEEDED and passed:
        notes.append("So the key was not in the result of the query, or the mode sends nothing for it.")
    return notes


def notes_on_source(comparison: Comparison, definition: SyncDefinition, run: Run | None) -> list[str]:
    """What the comparison with the source means, and what it leaves open."""
    notes = [_SAYS_OF_SOURCE[comparison]]
    if definition.cursor is not None and comparison in {"different", "undelivered", "not_kept"}:
        notes.append(_CURSOR_DECIDES)
    if run is not None and not run.status.is_terminal:
        notes.append(_UNDER_WAY)
    return notes


def _of_run(run: Run | None, *, passed: bool | None) -> str:
    if run is None:
        return "The sync has never run."
    if passed is None:
        did = "replayed dead letters only" if run.kind is RunKind.REPLAY else "read what its cursor told to be new"
        return f"The last run, {run.id}, {did}."
    match run.status, passed:
        case RunStatus.SUCCEEDED, _:
            return f"The last run, {run.id}, read the whole query."
        case _, True:
            return f"The last run, {run.id}, has come past this key."
        case ((RunStatus.FAILED | RunStatus.CANCELLED), _):
            return f"The last run, {run.id}, ended before it came to this key; the next one reads it."
        case _:
            return f"The run {run.id} has not come to this key yet."
