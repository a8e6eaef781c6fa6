"""Replays: dead letters tried again, by runs that read their rows anew."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil

from tailrace.core.errors import Conflict
from tailrace.core.ids import DeadLetterId, RunId, SyncId, WorkspaceId, new_run_id
from tailrace.core.runs import RunKind, RunTrigger
from tailrace.store.database import Connection, Record, touched
from tailrace.store.dead_letters import LetterState, lock_letters, named
from tailrace.store.runs import AnnounceRun, NewRun, Runs

MOST_ATTEMPTS = 10
"""A row that failed so often is not replayed any more; once it changes, any run tries it."""

_FREE_REPLAYS = 2
_FIRST_HOLD_S = 15.0
_LONGEST_HOLD_S = 3600.0

_BEGIN = """
UPDATE dead_letters SET state = 'replaying', replay_run_id = $2, replays = replays + 1, replayed_at = clock_timestamp()
WHERE id = ANY ($1::text[]) AND state = 'open'
"""
_WITHOUT_KEY = "have no key to find their row by: mend the row, the next run reads it again"
_EXHAUSTED = f"were tried {MOST_ATTEMPTS} times: resolve them, or mend the rows at their source"


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """Letters that somebody wants to be tried again."""

    workspace_id: WorkspaceId
    letter_ids: Sequence[DeadLetterId]
    requested_by: str


@dataclass(frozen=True, slots=True)
class Replay:
    """A run that tries letters again, and when it was queued."""

    run_id: RunId
    queued_at: datetime


class Replays:
    """Letters go from open to replaying with the start of a run, and back to open with its end unless delivered."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    async def start(self, connection: Connection, request: ReplayRequest, announce: AnnounceRun) -> Sequence[Replay]:
        """Queue a run of kind replay for each sync and hand its letters to it, in the caller's transaction; or raise.

        The runs are in the order in which the letters name their syncs.

        :raises NotFound: names letters that the workspace does not have; or a sync is deleted.
        :raises Invalid: `SYNC_PAUSED`.
        :raises Conflict: `RUN_ACTIVE` or `REPLAYING` with the id of the run that is in the way; else which letters
            cannot be replayed, and why.
        """
        letters = await lock_letters(connection, request.workspace_id, request.letter_ids)
        _require_replayable(letters)
        sync_of = {DeadLetterId(row["id"]): SyncId(row["sync_id"]) for row in letters}
        by_sync: dict[SyncId, list[DeadLetterId]] = {}
        for letter_id in request.letter_ids:
            by_sync.setdefault(sync_of[letter_id], []).append(letter_id)
        # In the order of ids, so that two callers with letters of the same syncs cannot wait for each other.
        started = {sync_id: await self._start(connection, request, sync_id, announce) for sync_id in sorted(by_sync)}
        for sync_id, letter_ids in by_sync.items():
            await begin_replay(connection, letter_ids, started[sync_id].run_id)
        return [started[sync_id] for sync_id in by_sync]

    async def _start(
        self, connection: Connection, request: ReplayRequest, sync_id: SyncId, announce: AnnounceRun
    ) -> Replay:
        new = NewRun(
            run_id=new_run_id(),
            workspace_id=request.workspace_id,
            sync_id=sync_id,
            kind=RunKind.REPLAY,
            trigger=RunTrigger.REPLAY,
            requested_by=request.requested_by,
        )
        queued = await self._runs.start(connection, new, announce(new))
        return Replay(new.run_id, queued.at)


async def begin_replay(connection: Connection, letter_ids: Sequence[DeadLetterId], run_id: RunId) -> None:
    """Hand open letters to a run that was started in the same transaction.

    :raises Conflict: one of them is not open.
    """
    wanted = set(letter_ids)
    if touched(await connection.execute(_BEGIN, list(wanted), run_id)) != len(wanted):
        raise Conflict("some of these dead letters are not open: list them anew", code="LETTER_NOT_OPEN")


def _require_replayable(letters: Sequence[Record]) -> None:
    _refuse(letters, lambda row: row["state"] != LetterState.OPEN, "LETTER_NOT_OPEN", "are resolved already")
    _refuse(letters, lambda row: not row["has_key"], "LETTER_WITHOUT_KEY", _WITHOUT_KEY)
    _refuse(letters, lambda row: row["attempts"] >= MOST_ATTEMPTS, "REPLAY_EXHAUSTED", _EXHAUSTED)
    wait_s = max(map(_held_s, letters), default=0.0)
    _refuse(letters, lambda row: _held_s(row) > 0, "REPLAY_TOO_SOON", f"failed again: wait for {ceil(wait_s)} s")


def _held_s(letter: Record) -> float:
    """Seconds until the next replay: none after the first, then longer each time."""
    if letter["replays"] < _FREE_REPLAYS or letter["replayed_ago_s"] is None:
        return 0.0
    hold_s: float = min(_LONGEST_HOLD_S, _FIRST_HOLD_S * 2 ** (letter["replays"] - _FREE_REPLAYS))
    ago_s: float = letter["replayed_ago_s"]
    return max(0.0, hold_s - max(0.0, ago_s))


def _refuse(letters: Sequence[Record], is_wrong: Callable[[Record], bool], code: str, why: str) -> None:
    wrong = [row["id"] for row in letters if is_wrong(row)]
    if wrong:
        raise Conflict(f"dead letters {named(wrong)} {why}", code=code)
