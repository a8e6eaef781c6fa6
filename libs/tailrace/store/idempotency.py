"""Answers remembered by the caller's key, in the transaction that makes them true."""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from tailrace.core.errors import Conflict, Invalid
from tailrace.core.ids import WorkspaceId
from tailrace.store.database import Connection, Database, touched
from tailrace.store.secrets import SecretBox

ANSWERED_WITHIN_S = 120
"""A request that was begun so long ago and has no answer is taken for dead."""

_KEPT_HOURS = 24
_PRUNED_AT_ONCE = 5000
_PATIENCE = "2s"

# Waits a moment for a concurrent holder of the key; takes over a row that is past its time or was never answered.
_CLAIM = """
WITH patience AS MATERIALIZED (SELECT set_config('lock_timeout', $6, true))
INSERT INTO idempotency_keys AS kept (workspace_id, key, request_sha256) SELECT $1, $2, $3 FROM patience
ON CONFLICT (workspace_id, key) DO UPDATE
  SET request_sha256 = $3, status = NULL, response = NULL, created_at = clock_timestamp()
  WHERE kept.created_at < clock_timestamp() - make_interval(hours => $4)
    OR (kept.status IS NULL AND kept.request_sha256 = $3
      AND kept.created_at < clock_timestamp() - make_interval(secs => $5))
"""
_READ = "SELECT request_sha256, status, response FROM idempotency_keys WHERE workspace_id = $1 AND key = $2"
_KEEP = "UPDATE idempotency_keys SET status = $3, response = $4 WHERE workspace_id = $1 AND key = $2"
_RECENT = """
SELECT response FROM idempotency_keys
WHERE workspace_id = $1 AND key = $2 AND request_sha256 = $3
  AND created_at > clock_timestamp() - make_interval(secs => $4)
"""
_REPLACE = """
INSERT INTO idempotency_keys (workspace_id, key, request_sha256, response) VALUES ($1, $2, $3, $4)
ON CONFLICT (workspace_id, key) DO UPDATE
  SET request_sha256 = $3, status = NULL, response = $4, created_at = clock_timestamp()
"""
_IS_REPEAT = "kept.request_sha256 = $3 AND kept.created_at > clock_timestamp() - make_interval(secs => $5)"
_NOTE_ONCE = f"""
INSERT INTO idempotency_keys AS kept (workspace_id, key, request_sha256, response) VALUES ($1, $2, $3, $4)
ON CONFLICT (workspace_id, key) DO UPDATE SET request_sha256 = $3, status = NULL,
  response = CASE WHEN {_IS_REPEAT} THEN kept.response ELSE $4 END,
  created_at = CASE WHEN {_IS_REPEAT} THEN kept.created_at ELSE clock_timestamp() END
RETURNING response
"""  # noqa: S608 - a constant
_FORGET = "DELETE FROM idempotency_keys WHERE workspace_id = $1 AND key = $2"
_FORGET_NOTED = """
DELETE FROM idempotency_keys AS kept USING unnest($2::text[], $3::bytea[]) AS noted (key, response)
WHERE kept.workspace_id = $1 AND kept.key = noted.key AND kept.response = noted.response
"""
_PRUNE = """
DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM idempotency_keys
  WHERE created_at < clock_timestamp() - make_interval(hours => $1) LIMIT $2))
"""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it is told from others: the caller's key, and a digest of all that it asks for."""

    workspace_id: WorkspaceId
    key: str
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered."""

    status: int
    body: bytes


class Idempotency:
    """Keys are kept for 24 hours, answers sealed. Nothing is kept of a request whose transaction rolls back."""

    def __init__(self, database: Database, box: SecretBox) -> None:
        self._database = database
        self._box = box

    async def claim(self, connection: Connection, request: Request) -> Answer | None:
        """Take the key for this transaction; the earlier answer if the same request had one.

        Waits a moment for a transaction that holds the key.

        :raises Invalid: `IDEMPOTENCY_KEY_REUSED`: the key was used for another request.
        :raises Conflict: `IN_PROGRESS`: the same request has no answer yet.
        """
        names = (request.workspace_id, request.key)
        try:
            claimed = await connection.execute(
                _CLAIM, *names, request.sha256, _KEPT_HOURS, float(ANSWERED_WITHIN_S), _PATIENCE
            )
        except asyncpg.LockNotAvailableError as error:
            raise _in_progress() from error
        if touched(claimed):
            return None
        row = await connection.fetchrow(_READ, *names)
        if row is None or row["request_sha256"] != request.sha256:
            raise Invalid(
                "this Idempotency-Key was used for another request; use a fresh key",
                code="IDEMPOTENCY_KEY_REUSED",
            )
        if row["status"] is None:
            raise _in_progress()
        return Answer(row["status"], self._box.open(row["response"], bound_to=_binding(request)))

    async def keep(self, connection: Connection, request: Request, answer: Answer) -> None:
        """Remember the answer under the key that was claimed."""
        sealed = self._box.seal(answer.body, bound_to=_binding(request))
        await connection.execute(_KEEP, request.workspace_id, request.key, answer.status, sealed)

    async def begin(self, request: Request) -> Answer | None:
        """Take the key until `finish` or `forget`; the earlier answer if the same request had one.

        :raises Invalid: `IDEMPOTENCY_KEY_REUSED`: the key was used for another request.
        :raises Conflict: `IN_PROGRESS`: the same request has no answer yet.
        """
        async with self._database.transaction() as connection:
            return await self.claim(connection, request)

    async def finish(self, request: Request, answer: Answer) -> None:
        """Remember the answer to a request that was begun."""
        async with self._database.connection() as connection:
            await self.keep(connection, request, answer)

    async def recent(self, connection: Connection, request: Request, *, within_s: float) -> str | None:
        """What was noted under this key for the same request, if that is not longer ago."""
        names = (request.workspace_id, request.key)
        noted: bytes | None = await connection.fetchval(_RECENT, *names, request.sha256, within_s)
        return None if noted is None else noted.decode()

    async def note(self, connection: Connection, request: Request, text: str) -> None:
        """Note a text under a key, in place of whatever was noted there."""
        await connection.execute(_REPLACE, request.workspace_id, request.key, request.sha256, text.encode())

    async def note_once(self, connection: Connection, request: Request, text: str, *, within_s: float) -> str:
        """Note a text unless one was noted for the same request not longer ago; gives the one that is noted then.

        Waits for a transaction that is noting one.
        """
        names = (request.workspace_id, request.key)
        noted: bytes = await connection.fetchval(_NOTE_ONCE, *names, request.sha256, text.encode(), within_s)
        return noted.decode()

    async def forget(self, workspace_id: WorkspaceId, key: str) -> None:
        """The key is free again."""
        await self._database.execute(_FORGET, workspace_id, key)

    async def forget_noted(self, workspace_id: WorkspaceId, noted: Sequence[tuple[str, str]]) -> None:
        """Keys are free again, of those given with a text the ones under which that text is noted."""
        keys, texts = [key for key, _ in noted], [text.encode() for _, text in noted]
        await self._database.execute(_FORGET_NOTED, workspace_id, keys, texts)

    async def prune(self) -> int:
        """Delete keys past their time, a few thousand a call; gives how many."""
        return await self._database.execute(_PRUNE, _KEPT_HOURS, _PRUNED_AT_ONCE)


def _binding(request: Request) -> str:
    return f"answer {request.workspace_id}/{request.key}"


def _in_progress() -> Conflict:
    return Conflict("the same request is being answered: repeat it in a moment", code="IN_PROGRESS")
