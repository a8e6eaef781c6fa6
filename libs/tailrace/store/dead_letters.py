"""Dead letters: rows that were refused for good, until somebody resolves them or a later run delivers them."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from tailrace.core.errors import Conflict, NotFound
from tailrace.core.ids import DeadLetterId, RunId, SyncId, WorkspaceId
from tailrace.core.rows import RowHash, RowKey
from tailrace.core.runs import Lease
from tailrace.core.settlements import DedupeKey, KeptRow, payload_binding
from tailrace.store.database import Connection, Database, Record, touched
from tailrace.store.secrets import SecretBox

SKIPPED = "skipped"
"""The resolution of a row that is not to be tried again while it stays as it is."""

OWN_WORDS = frozenset({"superseded", "replayed", "sync_deleted"})
"""Resolutions that say what Tailrace did; runs heed them."""

_NAMED_AT_MOST = 5

_COLUMNS = """
SELECT id, workspace_id, sync_id, run_id, operation, row_hash, error_code, message, record_keys, attempts,
  first_seen_at, last_seen_at, state, resolution, resolved_at, resolved_by, replay_run_id
FROM dead_letters
"""
_LIST = _COLUMNS + " WHERE workspace_id = $1"
_NEWEST_FIRST = " ORDER BY first_seen_at DESC, id DESC LIMIT $2"
_GET = _COLUMNS + " WHERE workspace_id = $1 AND id = $2"
_PAYLOAD = "SELECT sync_id, dedupe_key, payload FROM dead_letters WHERE workspace_id = $1 AND id = $2"
_OPEN = """
SELECT error_code, count(*) AS letters, clock_timestamp() AS computed_at FROM dead_letters
WHERE workspace_id = $1 AND state IN ('open', 'replaying')
"""
_RESOLVED = """
SELECT NULL, count(*), clock_timestamp() FROM dead_letters WHERE workspace_id = $1 AND state = 'resolved'
"""
# In the order of ids, so that two callers with the same letters cannot wait for each other.
_LOCK = """
SELECT id, sync_id, state, attempts, row_key IS NOT NULL AS has_key, replay_run_id, replays,
  extract(epoch FROM clock_timestamp() - replayed_at)::float8 AS replayed_ago_s FROM dead_letters
WHERE workspace_id = $1 AND id = ANY ($2::text[]) ORDER BY id FOR UPDATE
"""
_RESOLVE = """
UPDATE dead_letters SET state = 'resolved', resolution = $2, resolved_by = $3, resolved_at = clock_timestamp()
WHERE id = ANY ($1::text[]) AND state = 'open' RETURNING id
"""
_COUNT_OPEN = """
SELECT count(*) FROM (
  SELECT FROM dead_letters WHERE sync_id = $1 AND state IN ('open', 'replaying') LIMIT $2) AS letters
"""
_COUNTED_AT_MOST = 100_000
_HAS_OLD = """
SELECT EXISTS (
  SELECT FROM dead_letters AS letters JOIN runs ON runs.id = letters.run_id
  WHERE letters.sync_id = $1 AND letters.state IN ('open', 'replaying') AND runs.sync_version < $2)
"""
_LAST_RESOLVED = "SELECT max(resolved_at) FROM dead_letters WHERE id = ANY ($1::text[])"
_END_REPLAY = """
UPDATE dead_letters SET state = 'open', replay_run_id = NULL WHERE replay_run_id = $1 AND state = 'replaying'
"""
_KEYS_OF_REPLAY = """
SELECT DISTINCT row_key FROM dead_letters WHERE replay_run_id = $1 AND state = 'replaying' AND row_key IS NOT NULL
"""
_KEPT = """
SELECT sync_id, dedupe_key, row_key, payload FROM dead_letters
WHERE replay_run_id = $1 AND state = 'replaying' AND operation = 'insert' AND payload IS NOT NULL
  AND row_key IS NOT NULL AND dedupe_key > $2
ORDER BY dedupe_key LIMIT $3
"""
_KEPT_PER_FETCH = 20  # a payload may have a MiB
# Each arm has an index of its own.
_OF_ROWS = """
(state IN ('open', 'replaying') AND dedupe_key = ANY ({0}::bytea[])
  OR state = 'resolved' AND dedupe_key = ANY ({0}::bytea[]))
"""
_STILL_DEAD = f"""
SELECT dedupe_key, state = 'resolved' AND resolution <> $3 AS is_done FROM (
  SELECT DISTINCT ON (dedupe_key) dedupe_key, state, resolution FROM dead_letters
  WHERE sync_id = $1 AND {_OF_ROWS.format("$2")}
  ORDER BY dedupe_key, resolved_at DESC NULLS FIRST) AS newest
WHERE state <> 'resolved' OR resolution IN ($3, 'superseded', 'replayed')
"""  # noqa: S608 - names of our own
_CLOSE_MENDED = """
UPDATE dead_letters SET state = 'resolved', resolved_at = clock_timestamp(), resolved_by = 'tailrace',
  resolution = 'superseded'
WHERE workspace_id = $1 AND sync_id = $2 AND error_code = ANY ($3) AND state = 'open' AND run_id <> $4
  AND EXISTS (
    SELECT FROM run_shards WHERE run_shards.run_id = $4 AND shard = $5 AND lease_token = $6
      AND run_shards.state = 'running')
"""


class LetterState(StrEnum):
    """Where a dead letter stands."""

    OPEN = "open"
    REPLAYING = "replaying"  # a run tries the row again
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A refused row without its content. `run_id` is the run that saw it fail last."""

    id: DeadLetterId
    workspace_id: WorkspaceId
    sync_id: SyncId
    run_id: RunId
    operation: str
    row_hash: RowHash | None
    error_code: str
    message: str
    record_keys: Mapping[str, Any]
    attempts: int
    first_seen_at: datetime
    last_seen_at: datetime
    state: LetterState
    resolution: str | None
    resolved_at: datetime | None
    resolved_by: str | None
    replay_run_id: RunId | None


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which letters to list; what is None does not restrict.

    `run_id` is the run that saw them fail last, `rows` name them by what tells failing rows apart.
    """

    sync_id: SyncId | None = None
    resolved: bool | None = False
    run_id: RunId | None = None
    error_code: str | None = None
    row_key: RowKey | None = None
    rows: Sequence[DedupeKey] | None = None

    def restrict(self, asked: "_Conditions") -> None:
        """Add what is asked for to the conditions of a statement."""
        wanted: dict[str, object] = {
            "sync_id = {}": self.sync_id,
            # A value that the planner sees it turns into `state <> 'resolved'`, which no index is on.
            "(state = 'resolved') = (SELECT {}::bool)": self.resolved,
            "run_id = {}": self.run_id,
            "error_code = {}": self.error_code,
            "row_key = {}": self.row_key and list(self.row_key),
            _OF_ROWS: self.rows,
        }
        for condition, value in wanted.items():
            if value is not None:
                asked.add(condition, value)


@dataclass(frozen=True, slots=True)
class LetterStats:
    """How many letters there are; `by_error_code` counts those not resolved."""

    open_count: int
    resolved_count: int
    by_error_code: Mapping[str, int]
    computed_at: datetime


@dataclass(frozen=True, slots=True)
class Resolution:
    """Why letters need no more attention, and who says so."""

    reason: str
    resolved_by: str


class DeadLetters:
    """The dead letters of all workspaces. Executors write them, in their checkpoints."""

    def __init__(self, database: Database, box: SecretBox) -> None:
        self._database = database
        self._box = box

    async def list(
        self,
        workspace_id: WorkspaceId,
        which: LetterFilter,
        *,
        after: tuple[datetime, str] | None = None,
        limit: int = 50,
    ) -> list[DeadLetter]:
        """Letters, newest first; `after` is the (first_seen_at, id) of the last one seen."""
        asked = _Conditions([workspace_id, limit])
        which.restrict(asked)
        if after is not None:
            asked.add("(first_seen_at, id) < ({}, {})", *after)
        rows = await self._database.fetch(_LIST + asked.sql + _NEWEST_FIRST, *asked.arguments)
        return [_letter(row) for row in rows]

    async def get(self, workspace_id: WorkspaceId, letter_id: DeadLetterId) -> DeadLetter:
        """One letter.

        :raises NotFound: the workspace has none of that id.
        """
        row = await self._database.fetchrow(_GET, workspace_id, letter_id)
        if row is None:
            raise NotFound(f"no dead letter {letter_id}", code="LETTER_NOT_FOUND")
        return _letter(row)

    async def payload(self, workspace_id: WorkspaceId, letter_id: DeadLetterId) -> bytes | None:
        """The refused row as it was sent: a JSON object. None if it was too large to keep.

        :raises NotFound: the workspace has none of that id.
        :raises Invalid: the secret key that sealed it is not in the ring.
        """
        row = await self._database.fetchrow(_PAYLOAD, workspace_id, letter_id)
        if row is None:
            raise NotFound(f"no dead letter {letter_id}", code="LETTER_NOT_FOUND")
        if row["payload"] is None:
            return None
        return self._box.open(row["payload"], bound_to=payload_binding(row["sync_id"], row["dedupe_key"]))

    async def stats(
        self, workspace_id: WorkspaceId, *, sync_id: SyncId | None = None, since: datetime | None = None
    ) -> LetterStats:
        """Counts of one instant, over letters first seen at `since` or later."""
        asked = _Conditions([workspace_id])
        if sync_id is not None:
            asked.add("sync_id = {}", sync_id)
        if since is not None:
            asked.add("first_seen_at >= {}", since)
        counted = f"{_OPEN}{asked.sql} GROUP BY error_code UNION ALL {_RESOLVED}{asked.sql}"
        rows = await self._database.fetch(counted, *asked.arguments)
        by_error_code = {row["error_code"]: row["letters"] for row in rows if row["error_code"] is not None}
        [resolved] = [row for row in rows if row["error_code"] is None]
        return LetterStats(sum(by_error_code.values()), resolved["letters"], by_error_code, resolved["computed_at"])

    async def open_count(self, sync_id: SyncId) -> int:
        """How many letters of a sync nobody has resolved; of very many, 100,000 are counted."""
        return int(await self._database.fetchval(_COUNT_OPEN, sync_id, _COUNTED_AT_MOST))

    async def has_older(self, sync_id: SyncId, version: int) -> bool:
        """Whether a letter that nobody resolved is of an earlier version of its sync."""
        return bool(await self._database.fetchval(_HAS_OLD, sync_id, version))

    async def resolve(
        self, connection: Connection, workspace_id: WorkspaceId, ids: Sequence[DeadLetterId], resolution: Resolution
    ) -> tuple[Sequence[DeadLetterId], datetime]:
        """Resolve all of the letters, or none; those resolved before keep their reason and their moment.

        Gives those that were open, and the moment at which the last of them all was resolved.

        :raises NotFound: names those that the workspace does not have.
        :raises Conflict: `REPLAYING`, with the id of the run that tries one of them.
        """
        await lock_letters(connection, workspace_id, ids)
        rows = await connection.fetch(_RESOLVE, list(ids), resolution.reason, resolution.resolved_by)
        resolved = {row["id"] for row in rows}
        return [each for each in ids if each in resolved], await connection.fetchval(_LAST_RESOLVED, list(ids))

    async def keys_of_replay(self, run_id: RunId) -> Sequence[RowKey]:
        """The keys that a replay has yet to try, in order."""
        rows = await self._database.fetch(_KEYS_OF_REPLAY, run_id)
        return sorted(RowKey(tuple(row["row_key"])) for row in rows)

    async def kept_rows(self, run_id: RunId) -> AsyncIterator[Sequence[KeptRow]]:
        """The rows that a replay has yet to insert, as they were to be sent; but for those too large to be kept.

        :raises Invalid: the secret key that sealed one of them is not in the ring.
        """
        after = b""
        while rows := await self._database.fetch(_KEPT, run_id, after, _KEPT_PER_FETCH):
            yield [self._kept(row) for row in rows]
            after = rows[-1]["dedupe_key"]

    async def still_dead(self, sync_id: SyncId, keys: Sequence[DedupeKey]) -> dict[DedupeKey, bool]:
        """Which of the rows have a letter that nobody resolved, or were last resolved as `SKIPPED`.

        Those whose letter a delivery has closed are among them, and True.
        """
        rows = await self._database.fetch(_STILL_DEAD, sync_id, list(keys), SKIPPED)
        return {DedupeKey(row["dedupe_key"]): row["is_done"] for row in rows}

    async def close_mended(self, workspace_id: WorkspaceId, sync_id: SyncId, lease: Lease, codes: Sequence[str]) -> int:
        """Close letters with these codes that a run, having read all such rows, has not come across; gives how many.

        Nothing is closed for a run that is somebody else's.
        """
        return await self._database.execute(_CLOSE_MENDED, workspace_id, sync_id, list(codes), *lease.identity)

    def _kept(self, row: Record) -> KeptRow:
        name = DedupeKey(row["dedupe_key"])
        payload = self._box.open(row["payload"], bound_to=payload_binding(row["sync_id"], name))
        return KeptRow(name, RowKey(tuple(row["row_key"])), payload)


async def lock_letters(
    connection: Connection, workspace_id: WorkspaceId, ids: Sequence[DeadLetterId]
) -> Sequence[Record]:
    """Letters that stay as they are until the caller's transaction ends; none of them is being replayed.

    :raises NotFound: names those that the workspace does not have.
    :raises Conflict: `REPLAYING`, with the id of the run that tries one of them.
    """
    letters = await connection.fetch(_LOCK, workspace_id, list(ids))
    missing = set(ids) - {row["id"] for row in letters}
    if missing:
        raise NotFound(f"no dead letters {named(missing)}", code="LETTER_NOT_FOUND")
    for row in letters:
        if row["state"] == LetterState.REPLAYING:
            run_id = row["replay_run_id"]
            raise Conflict(f"run {run_id} replays dead letter {row['id']}", code="REPLAYING", existing_id=run_id)
    return letters


async def end_replay(connection: Connection, run_id: RunId) -> int:
    """Open again what the run has not delivered; gives how many. No harm if there is nothing left."""
    return touched(await connection.execute(_END_REPLAY, run_id))


def named(ids: Collection[str]) -> str:
    """The first few of the ids, for a message."""
    some = sorted(ids)[:_NAMED_AT_MOST]
    return ", ".join(some) + (f" and {len(ids) - len(some)} more" if len(ids) > len(some) else "")


@dataclass(slots=True)
class _Conditions:
    """Conditions that are asked for, so that each combination is planned by itself."""

    arguments: list[object]
    sql: str = ""

    def add(self, condition: str, *arguments: object) -> None:
        """A condition with a pair of braces for each of its arguments."""
        places = (f"${len(self.arguments) + at}" for at in range(1, len(arguments) + 1))
        self.sql += " AND " + condition.format(*places)
        self.arguments += arguments


def _letter(row: Record) -> DeadLetter:
    fields = dict(row)
    return DeadLetter(**fields | {"state": LetterState(fields["state"])})
