"""Statements that write, over a connection to PostgreSQL of their own, made when it is needed and made anew when lost.

The driver comes with whoever connects: here it is known by what is called of it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from typing import Any, Self, TypeAlias, TypeVar

from tailrace.core.errors import SourceInvalid, SourceUnavailable, TailraceError
from tailrace.core.snapshot_tables import table_lost

Statement: TypeAlias = tuple[str, tuple[object, ...]]

# Of the transaction, never of the session: a pooler between us and the server would hand it to others.
_LIMITS = "SELECT set_config('statement_timeout', $1, true), set_config('lock_timeout', $2, true)"
_CLOSE_S = 5.0
_MAY_NOT = "42501"
_ONLY_READS = "25006"

Told = TypeVar("Told")


class PostgresCalls:
    """One statement at a time. What broke with the connection is tried once more: it has to bear being done twice."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Any]],
        translated: Callable[[], AbstractContextManager[None]],
        limits: tuple[str, str],
    ) -> None:
        self._connect = connect
        self._translated = translated
        self._limits = limits
        self._turn = asyncio.Lock()
        self._connection: Any = None

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        connect: Callable[[], Awaitable[Any]],
        translated: Callable[[], AbstractContextManager[None]],
        statement_timeout: str,
        lock_timeout: str,
    ) -> AsyncIterator[Self]:
        """For as long as the scope lasts; `translated` turns the driver's errors into ours."""
        calls = cls(connect, translated, (statement_timeout, lock_timeout))
        try:
            yield calls
        finally:
            await calls._leave()

    async def ask(self, sql: str, arguments: tuple[object, ...]) -> Sequence[Any]:
        """The records that a statement gives, in a transaction of its own."""

        async def fetch(connection: Any) -> Sequence[Any]:  # noqa: ANN401 - the driver's
            async with connection.transaction():
                await connection.fetch(_LIMITS, *self._limits)
                records: Sequence[Any] = await connection.fetch(sql, *arguments)
                return records

        return await self._done(fetch)

    async def do_all(self, statements: Sequence[Statement]) -> bool:
        """Statements in a transaction; undone, with False, where one that is to return a record returns none."""

        async def do(connection: Any) -> bool:  # noqa: ANN401 - the driver's
            transaction = connection.transaction()
            await transaction.start()
            await connection.fetch(_LIMITS, *self._limits)
            for sql, arguments in statements:
                records = await connection.fetch(sql, *arguments)
                if not records and "RETURNING" in sql:
                    await transaction.rollback()
                    return False
            await transaction.commit()
            return True

        return await self._done(do)

    async def _done(self, call: Callable[[Any], Awaitable[Told]]) -> Told:
        async with self._turn:
            try:
                return await self._tried(call)
            except SourceUnavailable as error:
                if error.code != SourceUnavailable.code:
                    raise
                return await self._tried(call)

    async def _tried(self, call: Callable[[Any], Awaitable[Told]]) -> Told:
        try:
            with self._translated():
                return await call(await self._connected())
        except SourceInvalid as error:
            await self._leave()
            raise _told(error) from error
        except BaseException:
            # An answer that nobody waited for must not be taken for that of the next statement.
            if self._connection is not None:
                self._connection.terminate()
            raise

    async def _connected(self) -> Any:  # noqa: ANN401 - the driver's
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._connect()
        return self._connection

    async def _leave(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(OSError, TimeoutError, TailraceError), self._translated():
                await connection.close(timeout=_CLOSE_S)


def _told(error: SourceInvalid) -> SourceInvalid:
    """What an error is about, where the statement is ours and the tables are as they were made."""
    server = error.__cause__ or error.__context__
    state = getattr(server, "sqlstate", None)
    if state == _MAY_NOT:
        told = f"the source's role may not do this in its snapshot_schema: {server}"
        return SourceInvalid(told, code="SNAPSHOT_SCHEMA")
    if state == _ONLY_READS:
        told = "the warehouse's server only reads, as a replica does: what is known of rows cannot be kept there"
        return SourceInvalid(told, code="SNAPSHOT_SCHEMA")
    return error if state is None else table_lost(f"the server says {type(server).__name__} ({state})")
