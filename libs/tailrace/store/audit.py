"""Who changed what, in the transaction that changed it: a chain of records that shows when one is altered or gone.

Each record's digest covers the digest before it, and the end of the chain is sealed with the secret key. So a record
that is changed, left out or cut off is noticed by whoever has the key, unless somebody who has it too wrote the chain
anew. An old database put back is an old chain: compare its end with `audit.recorded` in the logs.
"""

import hashlib
import hmac
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog

from tailrace.core.ids import WorkspaceId
from tailrace.store.database import Connection, Database, Record
from tailrace.store.secrets import SecretBox

_NO_DIGEST = bytes(32)
_AT_ONCE = 1000

# The head is locked until the transaction ends: records of a workspace are written one after the other.
_LOCK_HEAD = """
INSERT INTO audit_heads AS head (workspace_id, number, digest, seal) VALUES ($1, 0, $2, '')
ON CONFLICT (workspace_id) DO UPDATE SET number = head.number
RETURNING number, digest, clock_timestamp() AS at
"""
_APPEND = """
INSERT INTO audit_records (workspace_id, number, at, actor, address, action, object_id, before, after, digest)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""
_MOVE_HEAD = "UPDATE audit_heads SET number = $2, digest = $3, seal = $4 WHERE workspace_id = $1"
_HEADS = "SELECT * FROM audit_heads ORDER BY workspace_id FOR UPDATE"
_ORPHANS = """
SELECT DISTINCT workspace_id FROM audit_records AS records
WHERE NOT EXISTS (SELECT FROM audit_heads AS heads WHERE heads.workspace_id = records.workspace_id)
"""
_LIST = """
SELECT * FROM audit_records WHERE workspace_id = $1 AND number < $2 ORDER BY number DESC LIMIT $3
"""
_AFTER = "SELECT * FROM audit_records WHERE workspace_id = $1 AND number > $2 ORDER BY number LIMIT $3"
_HEAD = "SELECT * FROM audit_heads WHERE workspace_id = $1"
_WORKSPACES = "SELECT workspace_id FROM audit_heads ORDER BY workspace_id"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Deed:
    """A change, and who made it from where. `before` and `after` hold no secrets; None where there is nothing."""

    workspace_id: WorkspaceId
    actor: str
    address: str
    action: str
    object_id: str
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """A change that was recorded, by its place in the chain of its workspace, from 1."""

    number: int
    at: datetime
    deed: Deed
    digest: bytes


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found of a chain: how many records hold, and what is wrong behind them; None where all is well."""

    workspace_id: WorkspaceId
    records: int
    fault: str | None


class Audit:
    """The records of all workspaces."""

    def __init__(self, database: Database, box: SecretBox) -> None:
        self._database = database
        self._keys = box.derive("audit seal")

    async def append(self, connection: Connection, deed: Deed) -> None:
        """Record the deed as a part of the caller's transaction; best as its last statement, since others wait."""
        [head] = await connection.fetch(_LOCK_HEAD, deed.workspace_id, _NO_DIGEST)
        number, at = head["number"] + 1, head["at"]
        before, after = _text(deed.before), _text(deed.after)
        said = (deed.workspace_id, number, at, deed.actor, deed.address, deed.action, deed.object_id, before, after)
        digest = _digest(head["digest"], said)
        await connection.execute(_APPEND, *said, digest)
        await connection.execute(_MOVE_HEAD, deed.workspace_id, number, digest, self._seals(said[0], number, digest)[0])
        log.info("audit.recorded", workspace_id=deed.workspace_id, number=number, digest=digest.hex())

    async def list(
        self, workspace_id: WorkspaceId, *, before: int | None = None, limit: int = 50
    ) -> Sequence[AuditRecord]:
        """Newest first, those with a lower number than `before`."""
        rows = await self._database.fetch(_LIST, workspace_id, before or 2**62, limit)
        return [_record(row) for row in rows]

    async def verify(self) -> AsyncIterator[Verdict]:
        """Read every chain, and say of each whether it is whole."""
        for row in await self._database.fetch(_ORPHANS):
            yield Verdict(WorkspaceId(row["workspace_id"]), 0, "the seal of the chain is gone")
        for row in await self._database.fetch(_WORKSPACES):
            yield await self._verify(WorkspaceId(row["workspace_id"]))

    async def reseal(self) -> int:
        """Seal the ends of all chains with the first key; gives how many.

        A chain that no key of the ring has sealed stays as it is, so that `verify` still finds it.
        """
        async with self._database.transaction() as connection:
            heads = [head for head in await connection.fetch(_HEADS) if self._is_sealed(head)]
            for head in heads:
                end = (head["workspace_id"], head["number"], head["digest"])
                await connection.execute(_MOVE_HEAD, *end, self._seals(*end)[0])
        return len(heads)

    async def _verify(self, workspace_id: WorkspaceId) -> Verdict:
        number, digest = 0, _NO_DIGEST
        # One view of the chain and its end, also while records are added.
        async with self._database.connection() as connection, connection.transaction(isolation="repeatable_read"):
            [head] = await connection.fetch(_HEAD, workspace_id)
            while rows := await connection.fetch(_AFTER, workspace_id, number, _AT_ONCE):
                for row in rows:
                    if row["number"] != number + 1:
                        return Verdict(workspace_id, number, f"record {number + 1} is gone")
                    if _digest(digest, tuple(row.values())[:-1]) != row["digest"]:
                        return Verdict(workspace_id, number, f"record {number + 1} was changed")
                    number, digest = row["number"], row["digest"]
        if number < head["number"]:
            return Verdict(workspace_id, number, f"record {number + 1} is gone")
        is_whole = (number, digest) == (head["number"], head["digest"]) and self._is_sealed(head)
        return Verdict(workspace_id, number, None if is_whole else "the chain does not end where it was sealed")

    def _is_sealed(self, head: Record) -> bool:
        seals = self._seals(head["workspace_id"], head["number"], head["digest"])
        return any(hmac.compare_digest(seal, head["seal"]) for seal in seals)

    def _seals(self, workspace_id: str, number: int, digest: bytes) -> Sequence[bytes]:
        end = orjson.dumps([workspace_id, number, digest.hex()])
        return [hmac.digest(key, end, "sha256") for key in self._keys]


def _text(document: Mapping[str, Any] | None) -> str | None:
    return None if document is None else orjson.dumps(document, option=orjson.OPT_SORT_KEYS).decode()


def _digest(previous: bytes, said: Sequence[object]) -> bytes:
    moments = [part.astimezone(UTC) if isinstance(part, datetime) else part for part in said]
    return hashlib.sha256(previous + orjson.dumps(moments)).digest()


def _record(row: Record) -> AuditRecord:
    before, after = (None if row[name] is None else orjson.loads(row[name]) for name in ("before", "after"))
    deed = Deed(
        WorkspaceId(row["workspace_id"]),
        row["actor"],
        row["address"],
        row["action"],
        row["object_id"],
        before,
        after,
    )
    return AuditRecord(row["number"], row["at"], deed, row["digest"])
