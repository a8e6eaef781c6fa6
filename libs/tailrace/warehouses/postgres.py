"""PostgreSQL as a warehouse: one read-only, repeatable-read stream by a server-side cursor.

Values arrive as exact text wherever Python or JSON would lose something: every type is written as PostgreSQL
writes it under fixed session settings, times as ISO 8601 (UTC where the type has a zone), arrays and composites as
JSON. `infinity` and years BC keep PostgreSQL's words, since ISO 8601 has none for them.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Self

import asyncpg
from asyncpg.cursor import Cursor
from asyncpg.transaction import Transaction
from asyncpg.types import Attribute
from pydantic import BaseModel, Field

from tailrace.connector_kit.blocks import FIRST_ROWS, rows_that_fit
from tailrace.connector_kit.destination import Level
from tailrace.connector_kit.postgres_reading import ROWS, ReadColumn, statement, wrapped
from tailrace.connector_kit.postgres_settings import PostgresSettings, keep_alive
from tailrace.connector_kit.promised_columns import PromisedColumns, refuse_twins
from tailrace.connector_kit.sql import quote_name
from tailrace.connector_kit.warehouse import Reading, Warehouse
from tailrace.core.errors import CredentialsRefused, SourceInvalid, SourceUnavailable, TailraceError
from tailrace.core.rows import Block, Column, ColumnKind, RowKey

# The driver's own state machine trips over a connection that ends between two answers: InternalClientError.
_LOST = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
_CLOSE_S = 5.0
_PREPARE_S = 30.0
_GRACE_S = 5.0
_QUERY_STATES = frozenset({"0A", "25", "3F", "42", "54"})
_ROW_STATES = frozenset({"21", "22", "23", "38", "39", "44", "P0"})
_DANGEROUS_ROLES = ("pg_execute_server_program", "pg_read_server_files", "pg_write_server_files")

_KINDS = {
    "int2": ColumnKind.INTEGER,
    "int4": ColumnKind.INTEGER,
    "int8": ColumnKind.INTEGER,
    "oid": ColumnKind.INTEGER,
    "float4": ColumnKind.FLOAT,
    "float8": ColumnKind.FLOAT,
    "bool": ColumnKind.BOOLEAN,
    "numeric": ColumnKind.DECIMAL,
    "money": ColumnKind.DECIMAL,
    "timestamptz": ColumnKind.TIMESTAMP,
    "timestamp": ColumnKind.TIMESTAMP,
    "date": ColumnKind.TIMESTAMP,
    "json": ColumnKind.JSON,
    "jsonb": ColumnKind.JSON,
    "record": ColumnKind.JSON,
}
_AS_THEY_ARE = frozenset(
    {"int2", "int4", "int8", "oid", "float8", "bool", "timestamptz", "timestamp", "text", "varchar"}
)
# The shortest decimal of a float4 differs from the shortest of the same number as float8.
_CASTS = {"float4": "{}::text::float8", "money": "{}::numeric::text", "record": "to_json({})::text"}

_SET_UP = """
    SELECT set_config('TimeZone', 'UTC', true), set_config('DateStyle', 'ISO, YMD', true),
           set_config('IntervalStyle', 'iso_8601', true), set_config('bytea_output', 'hex', true),
           set_config('extra_float_digits', '1', true), set_config('standard_conforming_strings', 'on', true),
           set_config('statement_timeout', $1, true), set_config('lock_timeout', $2, true)
"""
_DANGER = """
    SELECT r.rolname FROM pg_catalog.pg_roles r
    WHERE (r.rolname = session_user AND r.rolsuper)
       OR (r.rolname = ANY ($1) AND pg_catalog.pg_has_role(session_user, r.oid, 'MEMBER'))
    ORDER BY r.rolname
"""


class PostgresWarehouseSettings(PostgresSettings):
    """A server to read from, and how long it may take."""

    statement_timeout_s: float = Field(default=600.0, gt=0, le=86_400, description="for the query's first rows too")
    lock_timeout_s: float = Field(default=10.0, gt=0, le=3600)
    allow_superuser: bool = Field(
        default=False,
        description="lets a role in that could run programs or touch files on the server by a query",
    )


class PostgresWarehouse(Warehouse):
    """One connection, in a transaction only while a stream is read; it is never committed."""

    name = "postgres"
    label = "PostgreSQL"
    level, verified_against = Level.GOLD, "real PostgreSQL servers, versions 15 and 18"
    settings_type = PostgresWarehouseSettings
    has_cursors = True

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]", settings: PostgresWarehouseSettings) -> None:
        self._connection = connection
        self._settings = settings
        self._wait_s = settings.statement_timeout_s + _GRACE_S
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
            roles = await self._connection.fetch(_DANGER, _DANGEROUS_ROLES, timeout=_PREPARE_S)
        if roles and not self._settings.allow_superuser:
            names = ", ".join(role["rolname"] for role in roles)
            raise SourceInvalid(
                f"this login is a superuser or may run programs and touch files on the server (by {names}): "
                "use a role that may only read, or set allow_superuser"
            )

    async def columns(self, query: str) -> Sequence[Column]:
        async with self._transaction():
            with _translated():
                attributes = await self._attributes(query)
                projections = ", ".join(map(_projection, attributes))
                await self._try_out(wrapped(projections, query))
        columns = [Column(attribute.name, _kind(attribute)) for attribute in attributes]
        self._promised.promise(query, columns)
        return columns

    @asynccontextmanager
    async def read(self, reading: Reading) -> AsyncIterator[AsyncIterator[Block]]:
        async with self._transaction():
            with _translated():
                cursor, width = await self._open_cursor(reading)
            yield _blocks(cursor, reading.rows_per_block, width, self._wait_s)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        """Read-only and of one view; always rolled back, so that nothing a query sets in the session stays."""
        transaction = self._connection.transaction(isolation="repeatable_read", readonly=True)
        with _translated():
            async with asyncio.timeout(_PREPARE_S):
                await transaction.start()
        try:
            yield
        finally:
            await self._roll_back(transaction)

    async def _open_cursor(self, reading: Reading) -> "tuple[Cursor[asyncpg.Record], int]":
        """The cursor and how many of its columns are the row's; the key's follow."""
        timeouts = (
            f"{limit_s:.3f}s" for limit_s in (self._settings.statement_timeout_s, self._settings.lock_timeout_s)
        )
        await self._connection.fetch(_SET_UP, *timeouts, timeout=_PREPARE_S)
        attributes = await self._attributes(reading.query)
        self._promised.check(reading, [Column(attribute.name, _kind(attribute)) for attribute in attributes])
        encoding = getattr(self._connection.get_settings(), "server_encoding", "UTF8")
        sql, arguments = statement(reading, [_read_column(attribute) for attribute in attributes], encoding)
        return await self._connection.cursor(sql, *arguments, timeout=self._wait_s), len(attributes)

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
    with _translated(), _reached(options["host"], options["port"]):
        connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(
            **options,
            command_timeout=settings.statement_timeout_s + _GRACE_S,
            statement_cache_size=0,
            server_settings={"application_name": "tailrace"},
        )
        keep_alive(getattr(connection, "_transport", None))
        await connection.set_type_codec("timestamptz", schema="pg_catalog", encoder=str, decoder=_iso_utc)
        await connection.set_type_codec("timestamp", schema="pg_catalog", encoder=str, decoder=_iso_local)
    return connection


async def _blocks(
    cursor: "Cursor[asyncpg.Record]", rows_per_block: int, width: int, wait_s: float
) -> AsyncIterator[Block]:
    records: Sequence[Any] = [()]
    at_once = min(FIRST_ROWS, rows_per_block)
    while records:
        with _translated():
            records = await cursor.fetch(at_once, timeout=wait_s)
        if records:
            yield _block(records, width)
            at_once = rows_that_fit(records, at_most=rows_per_block)


def _block(records: Sequence[Any], width: int) -> Block:
    rows = [record[:width] for record in records]
    keys: list[RowKey] = [record[width:] for record in records]
    # Where a row has no place, it comes last; its last column says so.
    if None not in keys[-1]:
        return Block(rows, keys)
    return Block(rows, [None if None in key else key for key in keys])


def _read_column(attribute: Attribute) -> ReadColumn:
    kind = attribute.type
    return ReadColumn(attribute.name, _projection(attribute), f"{quote_name(kind.schema)}.{quote_name(kind.name)}")


def _projection(attribute: Attribute) -> str:
    column = f"{ROWS}.{quote_name(attribute.name)}"
    if attribute.type.name in _AS_THEY_ARE:
        return column
    if attribute.type.kind in {"array", "composite"}:
        return f"to_json({column})::text"
    return _CASTS.get(attribute.type.name, "{}::text").format(column)


def _kind(attribute: Attribute) -> ColumnKind:
    if attribute.type.kind in {"array", "composite"}:
        return ColumnKind.JSON
    return _KINDS.get(attribute.type.name, ColumnKind.TEXT)


def _iso_utc(text: str) -> str:
    if text.endswith("+00"):
        return text[:-3].replace(" ", "T", 1) + "Z"
    return text.replace(" ", "T", 1).replace("+00 ", "Z ")


def _iso_local(text: str) -> str:
    return text.replace(" ", "T", 1)


@contextmanager
def _reached(host: str, port: int) -> Iterator[None]:
    """Say where nobody answers."""
    try:
        yield
    except (OSError, TimeoutError) as error:
        raise SourceUnavailable(
            f"no PostgreSQL answers at {host}:{port} ({type(error).__name__}): check the source's address and network"
        ) from error


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the driver's errors into ours; no word of a row comes along."""
    try:
        yield
    except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidPasswordError) as error:
        raise CredentialsRefused("the warehouse refused user or password") from error
    except asyncpg.PostgresError as error:
        # The words of an error about a value hold the value, and a traceback would show them.
        raise _classified(error) from None if _is_about_a_row(error) else error
    except _LOST as error:
        raise SourceUnavailable(f"the warehouse does not answer: {type(error).__name__}") from error


def _classified(error: asyncpg.PostgresError) -> TailraceError:
    state = error.sqlstate or ""
    what = f"{type(error).__name__.removesuffix('Error')} ({state})"
    if state == "57014":
        return SourceUnavailable(
            "the query took longer than statement_timeout_s: make it faster or raise the limit",
            code="SOURCE_TIMEOUT",
        )
    if state == "3D000":
        return SourceInvalid(f"the warehouse says: {error}")
    if state[:2] in _QUERY_STATES:
        return SourceInvalid(f"the warehouse refuses the query: {error}{_place(error)}", code="SOURCE_QUERY")
    if _is_about_a_row(error):
        return SourceInvalid(f"the query fails on a value of a row: {what}", code="SOURCE_QUERY")
    return SourceUnavailable(f"the warehouse cannot answer now: {what}")


def _is_about_a_row(error: asyncpg.PostgresError) -> bool:
    return (error.sqlstate or "")[:2] in _ROW_STATES


def _place(error: asyncpg.PostgresError) -> str:
    query, position = getattr(error, "query", None), getattr(error, "position", None)
    if not query or not position or ROWS in query:
        return ""
    before = query[: int(position) - 1]
    return f" (line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))})"
