"""PostgreSQL with a bound on every wait: the only way to a connection outside the migrations."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import asyncpg
import orjson
from asyncpg.connect_utils import SessionAttribute
from asyncpg.introspection import INTRO_LOOKUP_TYPES
from asyncpg.pool import Pool, PoolConnectionProxy

from tailrace.core.errors import Invalid, StoreUnavailable
from tailrace.store.announcements import announced

Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"
Record: TypeAlias = asyncpg.Record
Listener = Callable[[Collection[int]], None]
"""Is given the shards of the outbox that a transaction has written to, right after its commit; must not wait."""

ALL_WORKSPACES = {"app.workspace_id": "*"}
"""The server setting by which a session of a service sees the rows of every workspace."""

_STALE = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.ReadOnlySQLTransactionError,
)
_ROLLED_BACK = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
)
_LOST = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    # What a connection says that the server ended while it was idle within a transaction.
    asyncpg.InternalClientError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.OperatorInterventionError,
    # No room for another connection, no disk, no memory: all of that passes.
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.TargetServerAttributeNotMatched,
    *_STALE,
    *_ROLLED_BACK,
)
_ARRAYS = ("boolean[]", "smallint[]", "integer[]", "bigint[]", "bytea[]", "timestamptz[]", "uuid[]")
_OIDS = "SELECT array_agg(name::regtype::oid) FROM unnest($1::text[]) AS name"
_IDLE_S = 300.0
_KEEPALIVE_S = 10
_USER_TIMEOUT_MS = 20_000


@dataclass(frozen=True, slots=True)
class Waits:
    """How long a caller waits for a connection and for one command, in seconds."""

    acquire_s: float = 5.0
    command_s: float = 5.0


class Database:
    """A pool whose every acquire and command is bounded; a lost server becomes `StoreUnavailable`."""

    def __init__(self, pool: "Pool[Record]", waits: Waits) -> None:
        self._pool = pool
        self._waits = waits
        self._listeners: list[Listener] = []

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        dsn: str,
        *,
        application_name: str,
        max_size: int = 10,
        waits: Waits | None = None,
        stays_open: bool = False,
    ) -> AsyncIterator[Self]:
        """A pool for as long as the scope lasts; connects on first use, so that it opens while the server is down.

        A connection that nobody uses for minutes is closed, unless the pool `stays_open`: to open one takes 10 ms of
        the event loop and more.
        """
        bounds = waits or Waits()
        pool = asyncpg.create_pool(
            dsn,
            min_size=0,
            max_size=max_size,
            command_timeout=bounds.command_s,
            timeout=bounds.acquire_s,
            max_inactive_connection_lifetime=0 if stays_open else _IDLE_S,
            # Nor is one closed for the number of its queries, which a rush would notice most.
            max_queries=sys.maxsize,
            init=_Speech().teach,
            connect=_connect,
            reset=_leave,
            server_settings={
                **ALL_WORKSPACES,
                "application_name": application_name,
                # A process frozen within a transaction would keep its locks for as long as it is frozen.
                "idle_in_transaction_session_timeout": f"{(bounds.acquire_s + bounds.command_s) * 1000:.0f}",
            },
            target_session_attrs=SessionAttribute.read_write,
        )
        async with pool:
            yield cls(pool, bounds)

    async def open_all(self) -> None:
        """Open as many connections as the pool may hold, for who is to be ready for a rush.

        :raises StoreUnavailable: the server is lost, frozen or full.
        """
        async with AsyncExitStack() as held:
            for _ in range(self._pool.get_max_size()):
                await held.enter_async_context(self.connection())

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection outside any transaction.

        :raises StoreUnavailable: the server is lost, frozen, full or broke off a deadlock; what the command did is
            unknown.
        """
        cancels = _cancels()
        try:
            connection = await self._pool.acquire(timeout=self._waits.acquire_s)
            try:
                yield connection
            except TimeoutError:
                connection.terminate()
                raise
            finally:
                await self._pool.release(connection, timeout=self._waits.command_s)
        except asyncpg.DataError:
            raise
        except _LOST as error:
            if isinstance(error, _STALE):
                await self._pool.expire_connections()
            # A connection that broke as its task was cancelled cannot be released; the cancel must not be lost in that.
            if _cancels() > cancels:
                raise asyncio.CancelledError from error
            raise unavailable(error) from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection inside a transaction that commits when the scope ends without an error."""
        async with self.connection() as connection:
            with announced() as shards:
                async with connection.transaction():
                    yield connection
            if shards:
                for listener in self._listeners:
                    listener(shards)

    def listen(self, listener: Listener) -> None:
        """Have it told of the events that this process commits from now on; a commit of unknown outcome is not told."""
        self._listeners.append(listener)

    async def fetch(self, sql: str, *arguments: object) -> Sequence[Record]:
        """All rows of one statement."""
        async with self.connection() as connection:
            return await connection.fetch(sql, *arguments)

    async def fetchrow(self, sql: str, *arguments: object) -> Record | None:
        """The first row of one statement, or None."""
        async with self.connection() as connection:
            return await connection.fetchrow(sql, *arguments)

    async def fetchval(self, sql: str, *arguments: object) -> Any:  # noqa: ANN401 - the caller knows its column's type
        """The first value of the first row, or None."""
        async with self.connection() as connection:
            return await connection.fetchval(sql, *arguments)

    async def execute(self, sql: str, *arguments: object) -> int:
        """Run one statement; gives the number of rows it touched."""
        async with self.connection() as connection:
            status = await connection.execute(sql, *arguments)
        return touched(status)


class Within(Database):
    """A transaction that is open already, as a database: all that is done belongs to it, transactions nest in it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """The connection of the transaction."""
        yield self._connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A transaction nested in it; what it announces is told when the outer one has committed."""
        async with self._connection.transaction():
            yield self._connection


def unavailable(error: BaseException) -> StoreUnavailable:
    """What the error of a connection means: a server that does not let us in is told from one that is away."""
    told = type(error).__name__
    if isinstance(error, (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)):
        return StoreUnavailable(
            f"the state store does not let us in ({told}): check user, password and database in TAILRACE_DATABASE_URL"
        )
    return StoreUnavailable(f"the state store does not answer: {told}")


@contextmanager
def rights_told() -> Iterator[None]:
    """A scope of what services do not do, and their roles have no right to.

    :raises Invalid: the role has none.
    """
    try:
        yield
    except asyncpg.InsufficientPrivilegeError as error:
        told = f"{error}: this takes the role that owns the tables, in TAILRACE_DATABASE_URL"
        raise Invalid(told, code="NO_RIGHT") from error


def touched(status: str) -> int:
    """The row count at the end of a command status such as `UPDATE 3`."""
    count = status.rpartition(" ")[2]
    return int(count) if count.isdigit() else 0


def _cancels() -> int:
    """How often the task at work was asked to end."""
    task = asyncio.current_task()
    return task.cancelling() if task else 0


async def _connect(*arguments: Any, **options: Any) -> "asyncpg.Connection[Record]":  # noqa: ANN401 - asyncpg's own
    connection: asyncpg.Connection[Record] = await asyncpg.connect(*arguments, **options)
    transport = getattr(connection, "_transport", None)
    peer = transport.get_extra_info("socket") if transport else None
    if peer is not None and peer.family in {socket.AF_INET, socket.AF_INET6}:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_S)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)
    return connection


async def _leave(_connection: "asyncpg.Connection[Record]") -> None:
    """Nothing to undo: settings and locks are those of a transaction, and the pool rolls back what was left open."""


class _Speech:
    """How values of some types are written, told to each connection of a pool.

    A driver that is not told of arrays asks each connection for each kind of them, in statements of 3 to 8 ms.
    """

    def __init__(self) -> None:
        self._arrays: Sequence[Record] | None = None

    async def teach(self, connection: "asyncpg.Connection[Record]") -> None:
        await connection.set_type_codec(
            "jsonb", schema="pg_catalog", encoder=_encode_json, decoder=orjson.loads, format="text"
        )
        if self._arrays is None:
            self._arrays = await _introduced(connection)
        connection.get_settings().register_data_types(self._arrays)


async def _introduced(connection: "asyncpg.Connection[Record]") -> Sequence[Record]:
    async with connection.transaction():
        # To compile such a statement takes a hundred times as long as to run it.
        await connection.execute("SET LOCAL jit = off")
        return await connection.fetch(INTRO_LOOKUP_TYPES, await connection.fetchval(_OIDS, _ARRAYS))


def _encode_json(value: object) -> str:
    return orjson.dumps(value).decode()
