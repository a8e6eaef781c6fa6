"""PostgreSQL as a destination: a batch is one statement, made from the rows' JSON as it is.

The server reads the batch with `json_to_recordset`, with each field as the type of its column, so that numbers and
times keep what they have: the batch itself is the set that is merged into the table, and needs no table in between and
no right to make one. Tables and fields are those of the catalogue and nothing else. A batch is applied whole or not at
all; a batch that some row spoils is refused, and a row that is alone is rejected with PostgreSQL's own words.

To mirror is to merge the batches of what is new or changed, and then, once the whole query was read, to delete batches
of keys that left it. Other sessions see each batch at once, and the mirror as a whole only at the end of the run. Rows
that the sync has not delivered stay.

An upsert needs a unique index on exactly the key fields. With such an index, an insert of a key that exists is
rejected, unless the row there has the very values of the insert: it is taken for delivered, by an attempt whose answer
was lost. Without one, an insert adds rows blindly, and what is sent again is there twice. An update of a row that does
not exist is rejected. A delete of a row that does not exist is delivered. What row security hides from the role does
not exist for it; a row that a policy forbids is rejected, and the others go.

A row that a trigger of the table drops, or writes elsewhere, cannot be told from one that it keeps as it was: an upsert
or delete of it counts as delivered. An update of it is rejected as that of a row that does not exist, and an insert
into a table with a unique index on the key as that of one that exists.

To rehearse a batch is to apply it, checks that wait for the end of the transaction too, and to roll it back: sequences
have moved on then, and triggers have seen it.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Self

import asyncpg
from asyncpg.pool import Pool, PoolConnectionProxy
from pydantic import BaseModel
from pydantic import Field as Setting

from tailrace.connector_kit.capabilities import NewField
from tailrace.connector_kit.destination import Destination, Field, Level, Object, Target, WritePlan
from tailrace.connector_kit.fence import pass_fence
from tailrace.connector_kit.field_kinds import field_kind
from tailrace.connector_kit.postgres_settings import PostgresSettings, keep_alive
from tailrace.connector_kit.postgres_table import Table, TableColumn
from tailrace.connector_kit.sql import quote_name
from tailrace.core.batches import Batch, BatchResult
from tailrace.core.errors import (
    BatchRefused,
    CredentialsRefused,
    DestinationInvalid,
    DestinationUnavailable,
    InDoubt,
    TailraceError,
)
from tailrace.core.rows import DELIVERED, Operation, RowOutcome, rejected, retry
from tailrace.core.syncs import SyncMode

# The driver's own state machine trips over a connection that ends between two answers: InternalClientError.
_LOST = (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError)
_CLOSE_S = 5.0
_ACQUIRE_S = 30.0
_GRACE_S = 5.0
_ROW_STATES = frozenset({"21", "22", "23", "38", "39", "44", "54", "P0"})
_SETTINGS_STATES = frozenset({"0A", "3D", "3F", "42"})
_NO_RIGHT, _ROW_SECURITY = "42501", "ExecWithCheckOptions"
_UNCERTAIN_STATES = frozenset({"08", "58", "XX"})
_SHUTDOWN_STATES = frozenset({"40003", "57P01", "57P02"})
_EXISTS = rejected("ALREADY_EXISTS", "a row with this key and other values is there already")
_MISSING = rejected("NOT_FOUND", "there is no row with this key")
_TWIN = retry("SAME_KEY", "another row of the batch has a key that is the same here")

_TABLES = """
    SELECT c.oid, n.nspname AS schema_name, c.relname AS table_name, n.nspname || '.' || c.relname AS name,
           has_any_column_privilege(c.oid, 'INSERT') AS may_insert,
           has_any_column_privilege(c.oid, 'UPDATE') AND has_any_column_privilege(c.oid, 'SELECT') AS may_update,
           has_table_privilege(c.oid, 'DELETE') AND has_any_column_privilege(c.oid, 'SELECT') AS may_delete
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND has_schema_privilege(n.oid, 'USAGE')
    ORDER BY name
"""
_COLUMNS = """
    SELECT a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS data_type,
           a.attgenerated = '' AND a.attidentity <> 'a' AS is_writable,
           (a.attnotnull OR t.typnotnull)
           AND NOT a.atthasdef AND a.attidentity = '' AND t.typdefault IS NULL AS is_required
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum
"""
_UNIQUE_KEYS = """
    SELECT ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
                 WHERE a.attrelid = i.indrelid
                   AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])) AS names
    FROM pg_catalog.pg_index i
    WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indimmediate
      AND i.indpred IS NULL AND i.indexprs IS NULL
"""


class PostgresDestinationSettings(PostgresSettings):
    """A server to write to, and how much at a time."""

    connections: int = Setting(default=8, ge=1, le=100)
    command_timeout_s: float = Setting(default=60.0, gt=0, le=3600)
    lock_timeout_s: float = Setting(default=10.0, gt=0, le=3600)
    rows_per_batch: int = Setting(default=1000, ge=1, le=50_000)
    bytes_per_batch: int = Setting(default=8_388_608, ge=65_536, le=67_108_864)


class PostgresDestination(Destination):
    """Writes by its own small pool, a statement a batch."""

    name = "postgres"
    label = "PostgreSQL"
    level = Level.GOLD
    verified_against = "real PostgreSQL servers, versions 15 and 18"
    settings_type = PostgresDestinationSettings

    def __init__(self, pool: "Pool[asyncpg.Record]", settings: PostgresDestinationSettings) -> None:
        self._pool = pool
        self._settings = settings

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: BaseModel, http: object) -> AsyncIterator[Self]:  # noqa: ARG003 - it speaks no HTTP
        if not isinstance(settings, PostgresDestinationSettings):
            raise TypeError(f"{cls.__name__} opens with {PostgresDestinationSettings.__name__}")
        pool = _pool(settings)
        try:
            with _translated():
                await pool
            yield cls(pool, settings)
        finally:
            await _close(pool)

    async def check(self) -> None:
        if not any(found.writable for found in await self.objects()):
            raise DestinationInvalid("this role may not write to any table: GRANT it INSERT, UPDATE and SELECT on one")

    async def objects(self) -> Sequence[Object]:
        return [_object(record) for record in await self._ask(_TABLES)]

    async def fields(self, object_name: str) -> Sequence[Field]:
        table = await self._table(object_name)
        return [
            Field(
                name=column.name,
                label=column.name,
                data_type=column.data_type,
                required=column.is_required,
                updateable=column.is_writable,
                external_id=frozenset({column.name}) in table.unique_keys,
                kind=field_kind(column.data_type),
            )
            for column in table.columns.values()
        ]

    async def plan(self, target: Target) -> WritePlan:
        table = await self._table(target.object_name)
        table.check(target)
        return WritePlan(
            target=target,
            rows_per_batch=self._settings.rows_per_batch,
            bytes_per_batch=self._settings.bytes_per_batch,
            is_idempotent=table.is_repeatable(target),
            details={"sql": table.statement(target)},
        )

    async def write(self, plan: WritePlan, batch: Batch) -> BatchResult:
        return await _result(self._send(str(plan.details["sql"]), batch), batch)

    async def rehearse(self, plan: WritePlan, batch: Batch) -> BatchResult:
        """What `write` would say; the transaction is rolled back."""
        try:
            return await _result(self._send_and_roll_back(str(plan.details["sql"]), batch), batch)
        except InDoubt as error:
            raise DestinationUnavailable(f"nothing was written: {error.message}") from error

    async def ensure_field(self, object_name: str, field: NewField) -> Field:
        """The column, added if it was not there, as one that may be null."""
        table = await self._table(object_name)
        if field.name not in table.columns:
            await self._ask(table.column_statement(field.name, field.kind))
        return next(each for each in await self.fields(object_name) if each.name == field.name)

    async def _send(self, sql: str, batch: Batch) -> Sequence[asyncpg.Record]:
        async with self._connection() as connection:
            pass_fence()
            try:
                return await connection.fetch(sql, _rows(batch))
            except _LOST as error:
                connection.terminate()
                raise InDoubt(f"the batch was sent and the answer is lost: {type(error).__name__}") from error

    async def _send_and_roll_back(self, sql: str, batch: Batch) -> Sequence[asyncpg.Record]:
        async with self._connection() as connection:
            trial = connection.transaction()
            try:
                await trial.start()
                try:
                    records: list[asyncpg.Record] = await connection.fetch(sql, _rows(batch))
                    await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
                finally:
                    await trial.rollback()
            except _LOST as error:
                connection.terminate()
                raise InDoubt(f"the answer is lost: {type(error).__name__}") from error
            return records

    async def _ask(self, sql: str, *arguments: object) -> Sequence[asyncpg.Record]:
        async with self._connection() as connection:
            with _translated():
                return await connection.fetch(sql, *arguments)

    @asynccontextmanager
    async def _connection(self) -> "AsyncIterator[PoolConnectionProxy[asyncpg.Record]]":
        with _translated():
            connection = await self._pool.acquire(timeout=_ACQUIRE_S)
        try:
            yield connection
        finally:
            await self._pool.release(connection, timeout=_CLOSE_S)

    async def _table(self, object_name: str) -> Table:
        tables = await self._ask(_TABLES)
        found = [table for table in tables if table["name"] == object_name]
        if len(found) != 1:
            known = ", ".join(table["name"] for table in tables)
            raise DestinationInvalid(f"there is no table {object_name!r}, written as schema.table; there are: {known}")
        [(oid, schema_name, table_name, *_)] = found
        return Table(
            name=f"{schema_name}.{table_name}",
            quoted_name=f"{quote_name(schema_name)}.{quote_name(table_name)}",
            columns={column["name"]: TableColumn(**column) for column in await self._ask(_COLUMNS, oid)},
            unique_keys=frozenset(frozenset(index["names"]) for index in await self._ask(_UNIQUE_KEYS, oid)),
        )


async def _result(sending: Awaitable[Sequence[asyncpg.Record]], batch: Batch) -> BatchResult:
    try:
        records = await sending
    except asyncpg.PostgresError as error:
        failure = error
    else:
        return BatchResult(batch, _outcomes(records, batch))
    # Outside the handler: the server's details hold the row, and a traceback would show them.
    if not _is_about_a_row(failure):
        raise _meaning(failure, is_sent=True)
    if len(batch.rows) > 1:
        raise BatchRefused(f"a row of the batch does not fit the table: {_condition(failure)}")
    return BatchResult(batch, [rejected(_condition(failure), failure.args[0], field=failure.column_name)])


def _rows(batch: Batch) -> str:
    return (b"[" + b",".join(batch.bodies) + b"]").decode()


def _pool(settings: PostgresDestinationSettings) -> "Pool[asyncpg.Record]":
    options = settings.connect_options() | {
        "min_size": 1,
        "max_size": settings.connections,
        "command_timeout": settings.command_timeout_s + _GRACE_S,
        "statement_cache_size": 0,
        "target_session_attrs": "read-write",
        "connect": _connect,
        "server_settings": {
            "application_name": "tailrace",
            "TimeZone": "UTC",
            "DateStyle": "ISO, YMD",
            "statement_timeout": f"{settings.command_timeout_s:.3f}s",
            "lock_timeout": f"{settings.lock_timeout_s:.3f}s",
        },
    }
    return asyncpg.create_pool(**options)


async def _close(pool: "Pool[asyncpg.Record]") -> None:
    try:
        async with asyncio.timeout(_CLOSE_S):
            await pool.close()
    except (*_LOST, asyncpg.PostgresError):
        pool.terminate()


async def _connect(*arguments: Any, **options: Any) -> "asyncpg.Connection[asyncpg.Record]":  # noqa: ANN401 - asyncpg's
    connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(*arguments, **options)
    keep_alive(getattr(connection, "_transport", None))
    return connection


def _object(record: asyncpg.Record) -> Object:
    modes = {
        SyncMode.UPSERT: record["may_insert"] and record["may_update"],
        SyncMode.INSERT: record["may_insert"],
        SyncMode.APPEND: record["may_insert"],
        SyncMode.UPDATE: record["may_update"],
        SyncMode.DELETE: record["may_delete"],
        SyncMode.MIRROR: record["may_insert"] and record["may_update"] and record["may_delete"],
    }
    allowed = frozenset(mode for mode, is_allowed in modes.items() if is_allowed)
    return Object(record["name"], record["name"], allowed, writable=bool(allowed))


def _outcomes(records: Sequence[asyncpg.Record], batch: Batch) -> Sequence[RowOutcome]:
    if not records or records[0]["are_all"]:
        return [DELIVERED] * len(batch.rows)
    failure = _EXISTS if batch.operation is Operation.INSERT else _MISSING
    outcomes = dict.fromkeys(range(1, len(batch.rows) + 1), failure)
    outcomes |= dict.fromkeys(records[0]["twins"], _TWIN)
    outcomes |= dict.fromkeys(records[0]["applied"], DELIVERED)
    return list(outcomes.values())


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the driver's errors into ours, where nothing was written."""
    try:
        yield
    except asyncpg.PostgresError as error:
        raise _meaning(error, is_sent=False) from error
    except _LOST as error:
        raise DestinationUnavailable(f"the destination does not answer: {type(error).__name__}") from error


def _is_about_a_row(error: asyncpg.PostgresError) -> bool:
    """Whether another row might pass: a policy of row security refuses by the state of a missing right."""
    state = error.sqlstate or ""
    return state[:2] in _ROW_STATES or (state == _NO_RIGHT and error.server_source_function == _ROW_SECURITY)


def _meaning(error: asyncpg.PostgresError, *, is_sent: bool) -> TailraceError:
    """What an error says about the batch; an error of the server itself leaves open whether it had committed."""
    state, what = error.sqlstate or "", _condition(error)
    if state[:2] == "28":
        return CredentialsRefused("the destination refuses user or password")
    if state[:2] in _SETTINGS_STATES:
        return DestinationInvalid(f"the destination refuses the statement ({what}): {error.args[0]}")
    if is_sent and (state[:2] in _UNCERTAIN_STATES or state in _SHUTDOWN_STATES):
        return InDoubt(f"the batch was sent and the server failed: {what}")
    return DestinationUnavailable(f"the destination cannot answer now: {what}")


def _condition(error: asyncpg.PostgresError) -> str:
    """The name of the SQLSTATE in capitals, such as NOT_NULL_VIOLATION."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(error).__name__.removesuffix("Error")).upper()
