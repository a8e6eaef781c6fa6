"""Who changed what, recorded in the transaction that changed it, and put into the chain of its workspace soon after.

A record waits under a seal of its own until it has its place in the chain (`audit_chain`): so the changes of a
workspace do not wait for each other.
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from tailrace.core.ids import WorkspaceId
from tailrace.store.audit_chain import AuditChain, waiting_text
from tailrace.store.database import Connection, Database, Record
from tailrace.store.secrets import SecretBox

_APPEND = """
INSERT INTO audit_waiting (workspace_id, actor, address, action, object_id, before, after, seal)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
_LIST = """
SELECT * FROM audit_records WHERE workspace_id = $1 AND number < $2 ORDER BY number DESC LIMIT $3
"""


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


class Audit:
    """The records of all workspaces."""

    def __init__(self, database: Database, box: SecretBox) -> None:
        self._database = database
        self._chain = AuditChain(database, box)
        self._key = box.derive("audit seal")[0]

    async def append(self, connection: Connection, deed: Deed) -> None:
        """Record the deed as a part of the caller's transaction."""
        before, after = _text(deed.before), _text(deed.after)
        said = (deed.workspace_id, deed.actor, deed.address, deed.action, deed.object_id, before, after)
        await connection.execute(_APPEND, *said, hmac.digest(self._key, waiting_text(said), "sha256"))

    async def list(
        self, workspace_id: WorkspaceId, *, before: int | None = None, limit: int = 50
    ) -> Sequence[AuditRecord]:
        """Newest first, those with a lower number than `before`; what is waiting is put into the chain first."""
        await self._chain.extend(workspace_id)
        rows = await self._database.fetch(_LIST, workspace_id, before or 2**62, limit)
        return [_record(row) for row in rows]


def _text(document: Mapping[str, Any] | None) -> str | None:
    return None if document is None else orjson.dumps(document, option=orjson.OPT_SORT_KEYS).decode()


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
