"""What commands change, for the audit chain: as whoever runs them on this machine."""

import getpass
import os
import socket
from collections.abc import Mapping
from typing import Any

from tailrace.core.errors import Invalid
from tailrace.core.ids import WorkspaceId
from tailrace.store.audit import Audit, Deed
from tailrace.store.audit_chain import AuditChain
from tailrace.store.database import Connection, Database, Within
from tailrace.store.key_rotation import check_keys
from tailrace.store.secrets import SecretBox

_OTHER_KEY = (
    "TAILRACE_SECRET_KEY is not the key of the services on this database, which would find no record of this: "
    "nothing was done; set their key"
)
_WORKSPACES = "SELECT id FROM workspaces ORDER BY id"


def a_deed(workspace_id: WorkspaceId, action: str, object_id: str, *, after: Mapping[str, Any]) -> Deed:
    """Something that a command made in a workspace; the address is this machine's name."""
    return Deed(workspace_id, f"cli:{_user()}", socket.gethostname(), action, object_id, None, after)


async def record(connection: Connection, box: SecretBox, deed: Deed) -> None:
    """Record the deed as a part of the caller's transaction.

    :raises Invalid: the services have another secret key: no chain would take the record, no gateway a token.
    """
    database = Within(connection)
    await check_keys(database, box)
    if not await AuditChain(database, box).takes_records():
        raise Invalid(_OTHER_KEY, code="SECRET_KEY_UNKNOWN")
    await Audit(database, box).append(connection, deed)


async def record_everywhere(database: Database, box: SecretBox, action: str, object_id: str) -> None:
    """Record a deed that is about every workspace in the chain of each."""
    async with database.transaction() as connection:
        for row in await connection.fetch(_WORKSPACES):
            deed = a_deed(WorkspaceId(row["id"]), action, object_id, after={})
            await Audit(Within(connection), box).append(connection, deed)


def _user() -> str:
    """The login name, or the number of a user that has none, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
