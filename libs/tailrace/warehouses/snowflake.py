"""Snowflake as a warehouse: one statement a reading, whose rows come in pieces once the server has ordered them.

Numbers keep every digit, times are ISO 8601 (UTC where the type has a zone), binary values are hexadecimal, and what
is semi-structured is JSON. Keys compare as bytes of UTF-8, whatever collations their columns have. Names that a query
does not quote are in capitals, as Snowflake holds them.

The driver waits in threads: its asynchronous half takes the process's signals for itself at every statement.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import Any, Self, TypeVar

from pydantic import BaseModel

from tailrace.connector_kit.blocks import fetched_blocks
from tailrace.connector_kit.destination import Level
from tailrace.connector_kit.promised_columns import PromisedColumns, refuse_twins
from tailrace.connector_kit.snowflake_errors import signing_in, translated
from tailrace.connector_kit.snowflake_settings import REQUEST_S, SnowflakeSettings
from tailrace.connector_kit.snowflake_sql import Field, counting_sql, describing, one_select, reading_sql, sampling_sql
from tailrace.connector_kit.warehouse import TOO_SLOW, Reading, Warehouse
from tailrace.core.errors import SourceInvalid, SourceUnavailable
from tailrace.core.rows import Block, Column, RowKey

try:
    from snowflake import connector
    from snowflake.connector.constants import FIELD_ID_TO_NAME
    from snowflake.connector.cursor import SnowflakeCursor
except ImportError as error:
    raise ImportError("the driver for Snowflake is not installed: pip install 'tailrace[snowflake]'") from error

_ADMINS = frozenset({"ACCOUNTADMIN", "ORGADMIN", "GLOBALORGADMIN", "SECURITYADMIN", "SYSADMIN", "USERADMIN"})
_CLOSE_S = 10.0
_GRACE_S = 5.0
_KNOCK_S = 0.2
# Its words hold statements, addresses that let into results, and answers: none of them is for a log.
_SILENT = logging.CRITICAL + 1

_Done = TypeVar("_Done")


class SnowflakeWarehouse(Warehouse):
    """One session; nothing in it is ever changed."""

    name = "snowflake"
    label = "Snowflake"
    level, verified_against = Level.BRONZE, "its public emulator fakesnow; not verified against Snowflake itself"
    settings_type = SnowflakeSettings
    has_cursors = True
    reads_up_to_a_key = True

    def __init__(self, session: "_Session", settings: SnowflakeSettings) -> None:
        self._session = session
        self._settings = settings
        self._promised = PromisedColumns()

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: BaseModel) -> AsyncIterator[Self]:
        if not isinstance(settings, SnowflakeSettings):
            raise TypeError(f"{cls.__name__} opens with {SnowflakeSettings.__name__}")
        logging.getLogger("snowflake").setLevel(_SILENT)
        session = _Session(settings)
        try:
            await session.open()
            yield cls(session, settings)
        finally:
            session.close()

    async def check(self) -> None:
        await self._session.execute("SELECT 1", ())
        role, warehouse = self._session.role_and_warehouse()
        if role in _ADMINS and not self._settings.allow_admin_role:
            raise SourceInvalid(
                f"the role {role} may change the account by a query: "
                "name one in `role` that may only read, or set allow_admin_role"
            )
        if not (warehouse or self._settings.warehouse):
            raise SourceInvalid("the user has no default warehouse: name one in `warehouse` that the role may use")

    async def columns(self, query: str) -> Sequence[Column]:
        columns = _columns(await self._described(query))
        await self._session.describe(describing(query))
        self._promised.promise(query, columns)
        return columns

    @asynccontextmanager
    async def read(self, reading: Reading) -> AsyncIterator[AsyncIterator[Block]]:
        fields = await self._described(reading.query)
        self._promised.check(reading, _columns(fields))
        cursor = await self._session.execute(*reading_sql(reading, fields))
        try:
            yield fetched_blocks(partial(self._session.fetch, cursor), reading.rows_per_block, len(fields))
        finally:
            await self._session.forget(cursor)

    async def rows_about(self, query: str) -> int:
        """How many rows a query has: counted, which costs Snowflake nothing where it is of a table alone."""
        await self._described(query)
        [[rows]] = await self._session.all(counting_sql(query))
        return int(rows)

    async def key_sample(self, reading: Reading, *, part: float) -> Sequence[RowKey]:
        """Keys drawn at random, by a look at all rows that gives nothing else."""
        fields = await self._described(reading.query)
        self._promised.check(reading, _columns(fields))
        return [RowKey(drawn) for drawn in await self._session.all(sampling_sql(reading, fields, part))]

    async def _described(self, query: str) -> Sequence[Field]:
        # Alone, before it stands in parentheses: a text that would close them early is no statement.
        fields = await self._session.describe(one_select(query))
        refuse_twins([field.name for field in fields])
        return fields


@dataclass(frozen=True, slots=True)
class _Statement:
    """What a thread may be waiting for, and so has to be stopped there."""

    cursor: SnowflakeCursor
    sql: str


class _Session:
    """A connection in two threads: one that works, one that may stop it."""

    def __init__(self, settings: SnowflakeSettings) -> None:
        self._settings = settings
        self._threads = ThreadPoolExecutor(2, "snowflake")
        self._is_left = Event()
        self._connection: Any = None

    async def open(self) -> None:
        """Sign in."""
        limit_s = self._settings.connect_timeout_s + _GRACE_S
        try:
            async with asyncio.timeout(limit_s):
                with signing_in():
                    self._connection = await self._in_thread(self._connect)
        except TimeoutError as error:
            raise SourceUnavailable("Snowflake does not answer: check the network and `account`") from error

    def close(self) -> None:
        """Sign out, without waiting for it; what a thread still waits for ends by the driver's own limits."""
        self._is_left.set()
        if self._connection is not None:
            self._threads.submit(self._connection.close, retry=False)
        self._threads.shutdown(wait=False)

    def role_and_warehouse(self) -> tuple[str | None, str | None]:
        """What the session works with."""
        return self._connection.role, self._connection.warehouse

    async def describe(self, sql: str) -> Sequence[Field]:
        """The columns that a statement would give."""
        cursor = self._connection.cursor()
        work = partial(cursor.describe, sql, timeout=REQUEST_S)
        found = await self._work(work, REQUEST_S, _Statement(cursor, sql))
        return [Field(each.name, FIELD_ID_TO_NAME[each.type_code], each.scale or 0) for each in found]

    async def execute(self, sql: str, arguments: Sequence[str]) -> SnowflakeCursor:
        """A statement that was carried out; its rows can be fetched."""
        limit_s = self._settings.statement_timeout_s
        cursor = self._connection.cursor()
        work = partial(cursor.execute, sql, arguments or None, timeout=round(limit_s))
        await self._work(work, limit_s, _Statement(cursor, sql))
        return cursor  # type: ignore[no-any-return]  # the connection's type is the driver's own guess

    async def fetch(self, cursor: SnowflakeCursor, at_once: int) -> Sequence[tuple[Any, ...]]:
        """The next rows; none at the end."""
        return await self._work(partial(cursor.fetchmany, at_once), self._settings.statement_timeout_s)

    async def all(self, sql: str) -> Sequence[tuple[Any, ...]]:
        """All rows of a statement, of which there are few."""
        cursor = await self.execute(sql, ())
        try:
            return await self._work(cursor.fetchall, self._settings.statement_timeout_s)
        finally:
            await self.forget(cursor)

    async def forget(self, cursor: SnowflakeCursor) -> None:
        """Give up the rows that were not fetched."""
        with suppress(connector.Error, OSError, TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                await self._in_thread(cursor.close)

    def _connect(self) -> Any:  # noqa: ANN401 - the driver's own guess at its types is of no use
        connection = connector.connect(**self._settings.connect_options())
        if self._is_left.is_set():
            connection.close(retry=False)
        return connection

    async def _work(self, work: Callable[[], _Done], limit_s: float, statement: _Statement | None = None) -> _Done:
        try:
            async with asyncio.timeout(limit_s + _GRACE_S):
                with translated():
                    return await self._in_thread(work, statement)
        except TimeoutError as error:
            raise SourceUnavailable(TOO_SLOW, code="SOURCE_TIMEOUT") from error

    async def _in_thread(self, work: Callable[[], _Done], statement: _Statement | None = None) -> _Done:
        """Do it in a thread; when the wait ends early, the statement does too."""
        future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        try:
            return await asyncio.shield(future)
        finally:
            if not future.done():
                future.add_done_callback(_heard)
                if statement is not None:
                    await self._stop(future, statement)

    async def _stop(self, future: "asyncio.Future[Any]", statement: _Statement) -> None:
        # A knock before the statement was sent is not heard, so there are several.
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                while not future.done():
                    loop = asyncio.get_running_loop()
                    await loop.run_in_executor(self._threads, partial(self._knock, statement))
                    await asyncio.wait({future}, timeout=_KNOCK_S)

    def _knock(self, statement: _Statement) -> None:
        with suppress(connector.Error, OSError):
            request = statement.cursor._request_id  # noqa: SLF001 - a statement that still runs has no public name
            self._connection._cancel_query(statement.sql, request)  # noqa: SLF001 - as the driver's own limit does


def _heard(future: "asyncio.Future[Any]") -> None:
    if not future.cancelled():
        future.exception()


def _columns(fields: Sequence[Field]) -> Sequence[Column]:
    return [Column(field.name, field.kind) for field in fields]
