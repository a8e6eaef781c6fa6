"""What a service must know of its database before it takes work."""

import asyncpg

from tailrace.core.errors import StoreUnavailable
from tailrace.store.database import Database
from tailrace.store.migrations import pending

# A read alone would pass on a server that was demoted while we were connected, whether it replays another now or is
# only kept from writing; its error has the pool let go of that server.
_WRITE = """
DO $$ BEGIN
  IF current_setting('transaction_read_only')::bool THEN
    RAISE EXCEPTION 'the server takes no writes' USING ERRCODE = 'read_only_sql_transaction';
  END IF;
END $$
"""


class Readiness:
    """Asks a database whether it takes writes and has the schema of this release."""

    def __init__(self, database: Database, dsn: str) -> None:
        self._database = database
        self._dsn = dsn
        self._is_at_head = False

    async def check_writable(self) -> None:
        """Return if the server takes writes.

        :raises StoreUnavailable: it does not answer, does not let us in, or is read-only.
        """
        try:
            await self._database.execute(_WRITE)
        except asyncpg.PostgresError as error:
            raise StoreUnavailable(f"the state store refuses us: {type(error).__name__}") from error

    async def check_schema(self) -> None:
        """Return if no migration is missing; asks no more once that is so, since migrations go forward only.

        :raises StoreUnavailable: it does not answer, or `tailrace db upgrade` was not run.
        :raises Invalid: an applied migration was changed.
        """
        if self._is_at_head:
            return
        missing = await pending(self._dsn)
        if missing:
            raise StoreUnavailable(
                f"the schema lacks {', '.join(missing)}: run `tailrace db upgrade`", code="SCHEMA_BEHIND"
            )
        self._is_at_head = True
