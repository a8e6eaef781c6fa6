"""A database narrowed to one workspace by row level security: a filter that a query forgot shows nothing of others."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tailrace.core.ids import WorkspaceId
from tailrace.store.database import Connection, Database

_NARROW = "SELECT set_config('app.workspace_id', $1, true), set_config('statement_timeout', $2, true)"


class OneWorkspace(Database):
    """Every statement is in a transaction that sees the rows of one workspace and no others.

    The setting is of the transaction, never of the session, so that a pooler between us and the server cannot hand it
    to the next client. A statement ends after `statement_s` seconds, on the server too.
    """

    def __init__(self, database: Database, workspace_id: WorkspaceId, *, statement_s: float) -> None:
        self._database = database
        self._workspace_id = workspace_id
        self._statement_timeout = f"{statement_s * 1000:.0f}"

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection within a transaction that commits when the scope ends without an error."""
        async with self._database.transaction() as connection:
            await connection.execute(_NARROW, self._workspace_id, self._statement_timeout)
            yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """The same."""
        async with self.connection() as connection:
            yield connection
