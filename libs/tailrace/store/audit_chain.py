"""The chain of records of each workspace, which shows when one is altered or gone.

Each record's digest covers the digest before it, and the end of the chain is sealed with the secret key. So a record
that is changed, left out or cut off is noticed by whoever has the key, unless somebody who has it too wrote the chain
anew. An old database put back is an old chain: compare its end with `audit.recorded` in the logs.
"""

import hashlib
import hmac
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import orjson
import structlog

from tailrace.core.ids import WorkspaceId
from tailrace.store.database import Connection, Database, Record
from tailrace.store.secrets import SecretBox

FIRST_ACTION = "createWorkspace"
"""What the first record of every chain tells of."""

_NO_DIGEST = bytes(32)
_PARTS = ("workspace_id", "actor", "address", "action", "object_id", "before", "after")
# Few enough that the event loop does not stand still for them.
_CHAINED_AT_ONCE = 100
_READ_AT_ONCE = 1000

_WAITED_FOR = "SELECT DISTINCT workspace_id FROM audit_waiting"
_IS_WAITED_FOR = "SELECT EXISTS (SELECT FROM audit_waiting WHERE workspace_id = $1)"
_WAITING = "SELECT * FROM audit_waiting WHERE workspace_id = $1 AND id > $2 ORDER BY id LIMIT $3"
_ALL_WAITING = "SELECT * FROM audit_waiting ORDER BY id"
# The end of the chain is locked until the transaction ends: whoever extends the same chain then finds nothing to do.
_LOCK_HEAD = "SELECT * FROM audit_heads WHERE workspace_id = $1 FOR UPDATE"
_FIRST_HEAD = """
INSERT INTO audit_heads AS head (workspace_id, number, digest, seal)
SELECT $1, $2, $3, $4 WHERE NOT EXISTS (SELECT FROM audit_records WHERE workspace_id = $1)
ON CONFLICT (workspace_id) DO UPDATE SET number = head.number RETURNING *
"""
_APPEND = """
INSERT INTO audit_records
  (workspace_id, number, at, actor, address, action, object_id, before, after, digest, waited_as)
SELECT workspace_id, number, at, actor, address, action, object_id, before::json, after::json, digest, waited_as
FROM unnest($1::text[], $2::bigint[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
    $9::text[], $10::bytea[], $11::bigint[])
  AS new (workspace_id, number, at, actor, address, action, object_id, before, after, digest, waited_as)
"""
_LEAVE = "DELETE FROM audit_waiting WHERE id = ANY ($1)"
_MOVE_HEAD = "UPDATE audit_heads SET number = $2, digest = $3, seal = $4 WHERE workspace_id = $1"
_HEADS = "SELECT * FROM audit_heads ORDER BY workspace_id FOR UPDATE"
_AFTER = """
SELECT workspace_id, number, at, actor, address, action, object_id, before, after, digest
FROM audit_records WHERE workspace_id = $1 AND number > $2 ORDER BY number LIMIT $3
"""
_HEAD = "SELECT * FROM audit_heads WHERE workspace_id = $1"
_LONGEST_HEADS = "SELECT * FROM audit_heads ORDER BY number DESC LIMIT 20"
_LAST_WAITING = "SELECT * FROM audit_waiting ORDER BY id DESC LIMIT 20"
# Those that a chain is of, and those that one should be of: who takes a whole chain away leaves the workspace.
_WORKSPACES = """
SELECT id AS workspace_id FROM workspaces UNION SELECT workspace_id FROM audit_heads
UNION SELECT workspace_id FROM audit_records UNION SELECT workspace_id FROM audit_waiting ORDER BY workspace_id
"""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found of a chain: how many records hold, and what is wrong behind them; None where all is well."""

    workspace_id: WorkspaceId
    records: int
    fault: str | None


class AuditChain:
    """The chains of all workspaces."""

    def __init__(self, database: Database, box: SecretBox) -> None:
        self._database = database
        self._keys = box.derive("audit seal")

    async def extend_all(self) -> int:
        """Put what waits into the chains, in the order in which it was recorded; gives how many records that were."""
        rows = await self._database.fetch(_WAITED_FOR)
        return sum([await self._extend(WorkspaceId(row["workspace_id"])) for row in rows])

    async def extend(self, workspace_id: WorkspaceId) -> int:
        """The same for one workspace.

        A record that was altered while it waited is left out, a chain that was altered at its end is left as it is: so
        `verify` finds both.
        """
        is_waited_for = await self._database.fetchval(_IS_WAITED_FOR, workspace_id)
        return await self._extend(workspace_id) if is_waited_for else 0

    async def _extend(self, workspace_id: WorkspaceId) -> int:
        count, last_id = 0, 0
        while True:
            async with self._database.transaction() as connection:
                head = await self._lock_head(connection, workspace_id)
                if head is None:
                    log.error("audit.chain_broken", workspace_id=workspace_id)
                    return count
                waiting = await connection.fetch(_WAITING, workspace_id, last_id, _CHAINED_AT_ONCE)
                count += await self._put(connection, head, [row for row in waiting if self._is_as_recorded(row)])
            if len(waiting) < _CHAINED_AT_ONCE:
                return count
            last_id = waiting[-1]["id"]

    async def takes_records(self) -> bool:
        """Whether what the ring seals would join the chains: it has sealed one that there is, or there are none."""
        heads = await self._database.fetch(_LONGEST_HEADS)
        if heads:
            return any(map(self._is_sealed, heads))
        waiting = await self._database.fetch(_LAST_WAITING)
        return not waiting or any(map(self._is_as_recorded, waiting))

    async def verify(self) -> AsyncIterator[Verdict]:
        """Extend every chain, read it, and say of each whether it is whole."""
        await self.extend_all()
        waiting = await self._database.fetch(_ALL_WAITING)
        altered = {row["workspace_id"] for row in waiting if not self._is_as_recorded(row)}
        for row in await self._database.fetch(_WORKSPACES):
            verdict = await self._verify(WorkspaceId(row["workspace_id"]))
            if row["workspace_id"] in altered and (verdict.fault is None or not verdict.records):
                verdict = replace(verdict, fault="a record was changed before it was in the chain")
            yield verdict

    async def reseal(self) -> int:
        """Seal the ends of all chains with the first key; gives how many.

        A chain that no key of the ring has sealed stays as it is, so that `verify` still finds it.
        """
        await self.extend_all()
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
            head = await connection.fetchrow(_HEAD, workspace_id)
            if head is None:
                return Verdict(workspace_id, 0, "the seal of the chain is gone")
            while rows := await connection.fetch(_AFTER, workspace_id, number, _READ_AT_ONCE):
                for row in rows:
                    if row["number"] == 1 and row["action"] != FIRST_ACTION:
                        return Verdict(workspace_id, 0, "the chain does not begin with the making of its workspace")
                    if row["number"] != number + 1:
                        return Verdict(workspace_id, number, f"record {number + 1} is gone")
                    if _digest(digest, tuple(row.values())[:-1]) != row["digest"]:
                        return Verdict(workspace_id, number, f"record {number + 1} was changed")
                    number, digest = row["number"], row["digest"]
        if number < head["number"]:
            return Verdict(workspace_id, number, f"record {number + 1} is gone")
        is_whole = (number, digest) == (head["number"], head["digest"]) and self._is_sealed(head)
        return Verdict(workspace_id, number, None if is_whole else "the chain does not end where it was sealed")

    async def _lock_head(self, connection: Connection, workspace_id: WorkspaceId) -> Record | None:
        """The end of the chain, None where it is not as it was sealed."""
        head = await connection.fetchrow(_LOCK_HEAD, workspace_id)
        if head is None:
            # Whoever has another key, as a command may, must not seal a chain that the services could not go on with.
            waiting = await connection.fetch(_WAITING, workspace_id, 0, _CHAINED_AT_ONCE)
            if not any(map(self._is_as_recorded, waiting)):
                return None
            first = (workspace_id, 0, _NO_DIGEST)
            head = await connection.fetchrow(_FIRST_HEAD, *first, self._seals(*first)[0])
        return head if head is not None and self._is_sealed(head) else None

    async def _put(self, connection: Connection, head: Record, waiting: Sequence[Record]) -> int:
        if not waiting:
            return 0
        workspace_id, number, digest = head["workspace_id"], head["number"], head["digest"]
        records = []
        for row in waiting:
            number += 1
            said = (workspace_id, number, row["at"], *_said(row)[1:])
            digest = _digest(digest, said)
            records.append((*said, digest, row["id"]))
        await connection.execute(_APPEND, *zip(*records, strict=True))
        await connection.execute(_LEAVE, [row["id"] for row in waiting])
        await connection.execute(_MOVE_HEAD, workspace_id, number, digest, self._seals(workspace_id, number, digest)[0])
        for record in records:
            log.info("audit.recorded", workspace_id=workspace_id, number=record[1], digest=record[-2].hex())
        return len(records)

    def _is_as_recorded(self, row: Record) -> bool:
        text = waiting_text(_said(row))
        return any(hmac.compare_digest(hmac.digest(key, text, "sha256"), row["seal"]) for key in self._keys)

    def _is_sealed(self, head: Record) -> bool:
        seals = self._seals(head["workspace_id"], head["number"], head["digest"])
        return any(hmac.compare_digest(seal, head["seal"]) for seal in seals)

    def _seals(self, workspace_id: str, number: int, digest: bytes) -> Sequence[bytes]:
        end = orjson.dumps([workspace_id, number, digest.hex()])
        return [hmac.digest(key, end, "sha256") for key in self._keys]


def waiting_text(said: Sequence[object]) -> bytes:
    """What the seal of a waiting record covers, given all of it but the moment, which is the server's."""
    return orjson.dumps(said)


def _said(row: Record) -> tuple[str, ...]:
    return tuple(row[name] for name in _PARTS)


def _digest(previous: bytes, said: Sequence[object]) -> bytes:
    moments = [part.astimezone(UTC) if isinstance(part, datetime) else part for part in said]
    return hashlib.sha256(previous + orjson.dumps(moments)).digest()
