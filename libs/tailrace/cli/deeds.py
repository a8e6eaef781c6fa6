"""What commands change, for the audit chain: as whoever runs them on this machine."""

import getpass
import os
import socket
from collections.abc import Mapping
from typing import Any

from tailrace.core.ids import WorkspaceId
from tailrace.store.audit import Audit, Deed
from tailrace.store.database import Connection, Database, Within
from tailrace.store.secrets import SecretBox

_WORKSPACES = "SELECT id FROM workspaces ORDER BY id"


def a_deed(workspace_id: WorkspaceId, action: str, object_id: str, *, after: Mapping[str, Any]) -> Deed:
    """Something that a command made in a workspace; the address is this machine's name."""
    return Deed(workspace_id, f"cli:{_user()}", socket.gethostname(), action, object_id, None, after)


async def record(connection: Connection, box: SecretBox, deed: Deed) -> None:
    """Record the deed as a part of the caller's transaction."""
    await Audit(Within(connection), box).append(connection, deed)


async def record_everywhere(database: Database, box: SecretBox, action: str, object_id: str) -> None:
    """Record a deed that is about every workspace in the chain of each."""
    async with database.transaction() as connection:
        for row in await connection.fetch(_WORKSPACES):
            await record(connection, box, a_deed(WorkspaceId(row["id"]), action, object_id, after={}))


def _user() -> str:
    """The login name, or the number of a user that has none, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
