"""PostgreSQL as a warehouse: one read-only, repeatable-read stream, by COPY or by a server-side cursor.

Values arrive as exact text wherever Python or JSON would lose something: every type is written as PostgreSQL
writes it under fixed session settings, times as ISO 8601 (UTC where the type has a zone), arrays and composites as
JSON. `infinity` and years BC keep PostgreSQL's words, since ISO 8601 has none for them.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Self, cast

import asyncpg
from asyncpg.cursor import Cursor
from asyncpg.transaction import Transaction
from pydantic import BaseModel

from tailrace.connector_kit.blocks import FIRST_ROWS, rows_that_fit
from tailrace.connector_kit.copy_stream import CopyStream, Silent, Sink
from tailrace.connector_kit.copy_text import TextKeys, TextRows
from tailrace.connector_kit.destination import Level
from tailrace.connector_kit.postgres_calls import PostgresCalls
from tailrace.connector_kit.postgres_errors import classified, is_about_a_row, reached
from tailrace.connector_kit.postgres_hashes import CAN_HASH, EXPLAIN, ROW_HASH, HashedStatements, PostgresHashedRows
from tailrace.connector_kit.postgres_parts import Parts, parts_for, rows_planned
from tailrace.connector_kit.postgres_reading import blocks_of, statement, wrapped
from tailrace.connector_kit.postgres_samples import sampled_keys
from tailrace.connector_kit.postgres_settings import (
    DANGER,
    DANGEROUS_ROLES,
    PostgresWarehouseSettings,
    keep_alive,
)
from tailrace.connector_kit.postgres_snapshots import RIGHTS, PostgresSnapshot, require_rights, require_schema
from tailrace.connector_kit.postgres_values import (
    SET_UP,
    Attribute,
    copied_column,
    copied_layout,
    iso_local,
    iso_utc,
    kinds_of,
    projection,
    read_column,
)
from tailrace.connector_kit.promised_columns import PromisedColumns, refuse_twins
from tailrace.connector_kit.row_hashes import HashedRows, Hashing
from tailrace.connector_kit.warehouse import TOO_SLOW, Reading, Warehouse
from tailrace.core.errors import CredentialsRefused, SourceInvalid, SourceUnavailable
from tailrace.core.rows import Block, Column, RowKey, SourceHash
from tailrace.core.snapshot_tables import SnapshotTable

# The driver's own state machine trips over a connection that ends between two answers: InternalClientError.
_LOST = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
_CLOSE_S = 5.0
_COPY_S = 10 * 365 * 86_400.0  # no end: a COPY lasts for as long as its rows are read
_PREPARE_S = 30.0
_GRACE_S = 5.0
_LOOK_S = 5
_SAVEPOINTS_SINCE = 9


class PostgresWarehouse(Warehouse):
    """One connection, in a transaction only while a stream is read; it is never committed."""

    name = "postgres"
    label = "PostgreSQL"
    level, verified_against = Level.GOLD, "real PostgreSQL servers, versions 15 and 18"
    settings_type = PostgresWarehouseSettings
    has_cursors = True
    reads_up_to_a_key = True

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]", settings: PostgresWarehouseSettings) -> None:
        self._connection = connection
        self._settings = settings
        self._wait_s = settings.statement_timeout_s + _GRACE_S
        self._turn = asyncio.Lock()
        self._promised = PromisedColumns()

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: BaseModel) -> AsyncIterator[Self]:
        if not isinstance(settings, PostgresWarehouseSettings):
            raise TypeError(f"{cls.__name__} opens with {PostgresWarehouseSettings.__name__}")
        connection = await _connect(settings)
        try:
            yield cls(connection, settings)
        finally:
            with suppress(*_LOST):
                await connection.close(timeout=_CLOSE_S)

    async def check(self) -> None:
        with _translated():
            roles = await self._connection.fetch(DANGER, DANGEROUS_ROLES, timeout=_PREPARE_S)
        if roles and not self._settings.allow_superuser:
            names = ", ".join(role["rolname"] for role in roles)
            danger = f"this login is a superuser or may run programs and touch files on the server (by {names})"
            raise SourceInvalid(f"{danger}: use a role that may only read, or set allow_superuser")
        if (schema := self._settings.snapshot_schema) is not None:
            with _translated():
                require_rights(schema, await self._connection.fetchrow(RIGHTS, schema, timeout=_PREPARE_S))

    @classmethod
    @asynccontextmanager
    async def open_snapshot(cls, settings: BaseModel, sync_id: str) -> AsyncIterator[SnapshotTable]:
        """The table that holds what is known of a sync's rows, over a connection of its own."""
        if not isinstance(settings, PostgresWarehouseSettings):
            raise TypeError(f"{cls.__name__} opens with {PostgresWarehouseSettings.__name__}")
        schema = require_schema(settings.snapshot_schema)
        timeouts = (f"{seconds:.3f}s" for seconds in (settings.statement_timeout_s, settings.lock_timeout_s))
        async with PostgresCalls.open(lambda: _connect(settings), _translated, *timeouts) as calls:
            yield PostgresSnapshot(calls, schema, sync_id)

    async def columns(self, query: str) -> Sequence[Column]:
        async with self._transaction():
            with _translated():
                attributes = await self._attributes(query)
                projections = ", ".join(map(projection, attributes))
                await self._try_out(wrapped(projections, query))
        columns = kinds_of(attributes)
        self._promised.promise(query, columns)
        return columns

    @asynccontextmanager
    async def read(self, reading: Reading) -> AsyncIterator[AsyncIterator[Block]]:
        async with self._transaction():
            with _translated():
                attributes, encoding = await self._set_up(reading)
            if reading.is_plain:
                with _translated():
                    parts = await parts_for(self, reading, list(map(copied_column, attributes)), encoding)
                async with self.copied(parts, attributes) as copied:
                    yield copied
            else:
                cursor = await self._cursor(*statement(reading, list(map(read_column, attributes)), encoding))
                yield blocks_of(self._records(cursor, reading.rows_per_block), len(attributes))

    async def rows_about(self, query: str) -> int:
        """How many rows the server's planner expects of a query."""
        async with self._transaction():
            with _translated():
                await self._attributes(query)
                await self._try_out(wrapped("1", query))
            return await rows_planned(self, query)

    async def key_sample(self, reading: Reading, *, part: float) -> Sequence[RowKey]:
        """Keys drawn at random, by a look at all rows that gives nothing else; of numbers that an index knows, none."""
        async with self._transaction():
            with _translated():
                attributes, encoding = await self._set_up(reading)
                return await sampled_keys(self, reading, list(map(read_column, attributes)), encoding, part)

    async def row_hash(self, *, is_asked_for: bool = False) -> str | None:
        """The name of how it makes hashes; None where it is not to, or a server only resembles PostgreSQL."""
        if not (is_asked_for or self._settings.hashes_rows):
            return None
        with _translated():
            can_hash = await self._connection.fetchval(CAN_HASH, timeout=_PREPARE_S)
        return ROW_HASH if can_hash else None

    @asynccontextmanager
    async def compare(self, reading: Reading, hashing: Hashing) -> AsyncIterator[HashedRows]:
        """A view of a reading in the order of its keys: the transaction's."""
        async with self._transaction():
            with _translated():
                attributes, encoding = await self._set_up(reading)
                statements = HashedStatements(reading, list(map(read_column, attributes)), hashing, encoding)
                await statements.look(self)
            yield PostgresHashedRows(self, statements, attributes)

    async def records(
        self, sql: str, arguments: Sequence[object], rows_at_once: int
    ) -> AsyncIterator[Sequence["asyncpg.Record"]]:
        """What a statement gives, in the transaction of a view."""
        async for records in self._records(await self._cursor(sql, arguments), rows_at_once):
            yield records

    async def plan(self, sql: str, arguments: Sequence[object]) -> str:
        """What the server would do for a statement, as JSON."""
        with _translated():
            return str(await self._connection.fetchval(EXPLAIN + sql, *arguments, timeout=_PREPARE_S))

    async def ends(self, sql: str) -> tuple[int | None, int | None]:
        """The two numbers that a statement gives."""
        with _translated():
            await self._connection.execute(f"SET LOCAL statement_timeout = '{_LOOK_S}s'", timeout=_PREPARE_S)
            first, last = await self._connection.fetchrow(sql, timeout=_PREPARE_S) or (None, None)
        return first, last

    @property
    def has_savepoints(self) -> bool:
        """Whether a part of a transaction may fail by itself; Redshift says that it is PostgreSQL 8."""
        return self._connection.get_server_version().major >= _SAVEPOINTS_SINCE

    @asynccontextmanager
    async def attempt(self) -> AsyncIterator[None]:
        """A scope that may fail; it leaves the transaction as it was."""
        attempt = self._connection.transaction()
        await attempt.start()
        try:
            yield
        finally:
            await self._roll_back(attempt)

    @asynccontextmanager
    async def copied(
        self, parts: Parts, attributes: Sequence[Attribute], *, has_hashes: bool = False
    ) -> AsyncIterator[AsyncIterator[Block]]:
        """The blocks of parts, one behind another, each by a COPY, which is cancelled with the scope."""
        stream = CopyStream(parts.reading.rows_per_block, FIRST_ROWS, ahead_bytes=parts.ahead_bytes)
        async with self._turn:
            with _translated():
                # A COPY is one statement, for as long as its reader takes: only the waits for the server are limited.
                await self._connection.execute("SET LOCAL statement_timeout = 0", timeout=_PREPARE_S)
            async with stream.filled(partial(parts.give, session=self), _LOST):
                yield self._copied_blocks(stream, parts.reading, attributes, has_hashes=has_hashes)

    async def texts(self, parts: Parts) -> AsyncIterator[bytes]:
        """What each part gives, as one text, copied when it is asked for."""
        with _translated():
            async for text in parts.texts(self._copy_in_turn):
                yield text

    async def copy_to(self, sink: Sink, sql: str) -> None:
        """Have all data of a COPY given to a sink."""
        await self._connection.copy_from_query(sql, output=sink, timeout=_COPY_S)

    async def _copy_in_turn(self, sink: Sink, sql: str) -> None:
        async with self._turn:
            await self._connection.copy_from_query(sql, output=sink, timeout=self._wait_s)

    async def _copied_blocks(
        self, stream: CopyStream, reading: Reading, attributes: Sequence[Attribute], *, has_hashes: bool
    ) -> AsyncIterator[Block]:
        layout = copied_layout(reading, attributes, has_hashes=has_hashes)
        while text := await self._next_text(stream):
            rows = TextRows(text, layout)
            hashes = list(map(int, rows.extra_cells(0))) if has_hashes else None
            yield Block(rows, TextKeys(rows), cast("list[SourceHash] | None", hashes))

    async def _next_text(self, stream: CopyStream) -> bytes:
        with _translated():
            try:
                return await stream.text(wait_s=self._settings.statement_timeout_s)
            except Silent:
                await stream.stop()
                # A server that is there says that the transaction is over; one that is not says nothing.
                with suppress(asyncpg.InFailedSQLTransactionError):
                    await self._connection.execute("SELECT 1", timeout=_CLOSE_S)
        raise SourceUnavailable(TOO_SLOW, code="SOURCE_TIMEOUT")

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        """Read-only and of one view; always rolled back, so that nothing a query sets in the session stays."""
        with _translated():
            transaction = self._connection.transaction(isolation="repeatable_read", readonly=True)
            async with asyncio.timeout(_PREPARE_S):
                await transaction.start()
        try:
            yield
        finally:
            await self._roll_back(transaction)

    async def _cursor(self, sql: str, arguments: Sequence[object]) -> "Cursor[asyncpg.Record]":
        with _translated():
            async with self._turn:
                return await self._connection.cursor(sql, *arguments, timeout=self._wait_s)

    async def _records(
        self, cursor: "Cursor[asyncpg.Record]", rows_per_block: int
    ) -> AsyncIterator[Sequence["asyncpg.Record"]]:
        at_once = min(FIRST_ROWS, rows_per_block)
        while True:
            with _translated():
                async with self._turn:
                    records = await cursor.fetch(at_once, timeout=self._wait_s)
            if not records:
                return
            yield records
            at_once = rows_that_fit(records, at_most=rows_per_block)

    async def _set_up(self, reading: Reading) -> tuple[Sequence[Attribute], str]:
        """What the query gives, and the server's encoding; values are written in one way from here on."""
        statement_timeout = f"{self._settings.statement_timeout_s:.3f}s"
        lock_timeout = f"{self._settings.lock_timeout_s:.3f}s"
        await self._connection.fetch(SET_UP, statement_timeout, lock_timeout, timeout=_PREPARE_S)
        attributes = await self._attributes(reading.query)
        self._promised.check(reading, kinds_of(attributes))
        return attributes, getattr(self._connection.get_settings(), "server_encoding", "UTF8")

    async def _try_out(self, wrapped: str) -> None:
        """Have the server look at a query that is a statement, as a part of a larger one."""
        try:
            await self._connection.prepare(wrapped, timeout=_PREPARE_S)
        except asyncpg.PostgresSyntaxError as error:
            raise SourceInvalid("the query must be a SELECT that only reads", code="SOURCE_QUERY") from error

    async def _attributes(self, query: str) -> Sequence[Attribute]:
        # Alone, before it stands in parentheses: a text that would close them early is no statement.
        statement = await self._connection.prepare(query, timeout=_PREPARE_S)
        attributes = statement.get_attributes()
        if statement.get_parameters():
            raise SourceInvalid("the query has parameters ($1): write values into it", code="SOURCE_QUERY")
        if not attributes:
            raise SourceInvalid("the query gives no columns: it must be a SELECT", code="SOURCE_QUERY")
        refuse_twins([attribute.name for attribute in attributes])
        return attributes

    async def _roll_back(self, transaction: "Transaction") -> None:
        """End the stream, on the server too, or give the connection up."""
        try:
            async with asyncio.timeout(_CLOSE_S):
                await transaction.rollback()
        except _LOST:
            self._connection.terminate()


async def _connect(settings: PostgresWarehouseSettings) -> "asyncpg.Connection[asyncpg.Record]":
    options = settings.connect_options()
    with _translated(), reached(options["host"], options["port"]):
        connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(
            **options,
            command_timeout=settings.statement_timeout_s + _GRACE_S,
            statement_cache_size=0,
            server_settings={"application_name": "tailrace"},
        )
        keep_alive(getattr(connection, "_transport", None))
        await connection.set_type_codec("timestamptz", schema="pg_catalog", encoder=str, decoder=iso_utc)
        await connection.set_type_codec("timestamp", schema="pg_catalog", encoder=str, decoder=iso_local)
    return connection


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the driver's errors into ours; no word of a row comes along."""
    try:
        yield
    except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidPasswordError) as error:
        raise CredentialsRefused("the warehouse refused user or password") from error
    except asyncpg.PostgresError as error:
        # The words of an error about a value hold the value, and a traceback would show them.
        raise classified(error) from None if is_about_a_row(error) else error
    except _LOST as error:
        raise SourceUnavailable(f"the warehouse does not answer: {type(error).__name__}") from error
