"""MySQL and MariaDB as a warehouse: one read-only, consistent stream by an unbuffered cursor, a connection a reading.

Numbers keep every digit, times are ISO 8601 (UTC for TIMESTAMP, none for DATETIME), binary values are hexadecimal.
Keys are compared as bytes of UTF-8, whatever the collations of their columns say. MariaDB's JSON is text to it, and
so to us.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Self

from pydantic import BaseModel

from tailrace.connector_kit.destination import Level
from tailrace.connector_kit.mysql_errors import let_in, translated
from tailrace.connector_kit.mysql_hashes import CAN_HASH, ROW_HASH, MySqlHashedRows
from tailrace.connector_kit.mysql_settings import MySqlSettings
from tailrace.connector_kit.mysql_sql import KINDS, counting_sql, describing, knows_windows, reading_sql, sampling_sql
from tailrace.connector_kit.mysql_stream import DECODERS, Stream
from tailrace.connector_kit.promised_columns import PromisedColumns
from tailrace.connector_kit.row_hashes import HashedRows, Hashing
from tailrace.connector_kit.warehouse import Reading, Warehouse
from tailrace.core.errors import SourceInvalid
from tailrace.core.rows import Block, Column, ColumnKind, RowKey

try:
    import aiomysql
    from pymysql.constants import FIELD_TYPE
    from pymysql.err import MySQLError
except ImportError as error:
    raise ImportError("the driver for MySQL is not installed: pip install 'tailrace[mysql]'") from error

_CLOSE_S = 5.0
_CONNECT_S = 10.0
_SORTED_BYTES = 4096
# FILE reads files of the server by LOAD_FILE, SUPER may undo every limit.
_DANGER = """
SELECT DISTINCT privilege_type FROM information_schema.user_privileges
WHERE privilege_type IN ('FILE', 'SUPER') AND replace(grantee, '''', '') = current_user() ORDER BY 1
"""


class MySqlWarehouse(Warehouse):
    """Opens a connection for each reading, in a transaction that is never committed."""

    name = "mysql"
    label = "MySQL and MariaDB"
    level, verified_against = Level.SILVER, "a real MariaDB server; not against MySQL itself"
    settings_type = MySqlSettings
    has_cursors = True
    reads_up_to_a_key = True

    def __init__(self, settings: MySqlSettings) -> None:
        self._settings = settings
        self._promised = PromisedColumns()

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: BaseModel) -> AsyncIterator[Self]:
        if not isinstance(settings, MySqlSettings):
            raise TypeError(f"{cls.__name__} opens with {MySqlSettings.__name__}")
        warehouse = cls(settings)
        async with warehouse._connection():
            pass
        yield warehouse

    async def check(self) -> None:
        async with self._connection() as connection, asyncio.timeout(_CONNECT_S), connection.cursor() as cursor:
            await cursor.execute(_DANGER)
            found = await cursor.fetchall()
        if found and not self._settings.allow_superuser:
            raise SourceInvalid(
                f"this user has {', '.join(row[0] for row in found)} on the whole server: "
                "use one that may only read, or set allow_superuser"
            )

    async def columns(self, query: str) -> Sequence[Column]:
        async with self._connection() as connection:
            columns = self._columns(await self._fields(connection, query))
        self._promised.promise(query, columns)
        return columns

    @asynccontextmanager
    async def read(self, reading: Reading) -> AsyncIterator[AsyncIterator[Block]]:
        async with self._connection() as connection:
            fields = await self._fields(connection, reading.query)
            columns = self._columns(fields)
            self._promised.check(reading, columns)
            async with self._streamed(connection, *reading_sql(reading, fields)) as stream:
                yield stream.blocks(columns, reading.rows_per_block)

    async def row_hash(self, *, is_asked_for: bool = False) -> str | None:
        """The name of how it makes hashes; None where it is not to, or the server has no MD5."""
        if not (is_asked_for or self._settings.hashes_rows):
            return None
        async with self._connection() as connection, self._streamed(connection, CAN_HASH) as stream:
            [[can_hash]] = await stream.all()
        return ROW_HASH if can_hash else None

    @asynccontextmanager
    async def compare(self, reading: Reading, hashing: Hashing) -> AsyncIterator[HashedRows]:
        """A view of a reading in the order of its keys: a connection's."""
        async with self._connection() as connection:
            fields = await self._fields(connection, reading.query)
            columns = self._columns(fields)
            self._promised.check(reading, columns)
            has_windows = knows_windows(connection.get_server_info())
            run = partial(self._streamed, connection)
            yield MySqlHashedRows(run, reading, fields, columns, hashing, has_windows)

    async def rows_about(self, query: str) -> int:
        """How many rows a query has: counted, since what the server expects of a join or a condition is far off."""
        async with self._connection() as connection:
            await self._fields(connection, query)
            async with self._streamed(connection, counting_sql(query)) as stream:
                [[rows]] = await stream.all()
        return int(rows)

    async def key_sample(self, reading: Reading, *, part: float) -> Sequence[RowKey]:
        """Keys drawn at random, by a look at all rows that gives nothing else."""
        async with self._connection() as connection:
            fields = await self._fields(connection, reading.query)
            self._promised.check(reading, self._columns(fields))
            async with self._streamed(connection, sampling_sql(reading, fields, part), ()) as stream:
                return [RowKey(drawn) for drawn in await stream.all()]

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        """A connection in a read-only transaction of one view."""
        with translated():
            connection = await self._connect()
            try:
                async with asyncio.timeout(_CONNECT_S), connection.cursor() as cursor:
                    for statement in self._set_up(connection.get_server_info()):
                        await cursor.execute(statement)
                yield connection
            finally:
                connection.close()

    @asynccontextmanager
    async def _streamed(
        self,
        connection: Any,  # noqa: ANN401 - the driver ships no types
        sql: str,
        arguments: Sequence[object] | None = None,
    ) -> AsyncIterator[Stream]:
        """The rows of a statement, which ends on the server when the scope is left early."""
        stream = Stream(self._limited())
        try:
            await stream.open(connection, sql, arguments)
            yield stream
        finally:
            if not stream.is_at_its_end:
                await self._kill(connection.thread_id())

    async def _connect(self) -> Any:  # noqa: ANN401 - the driver ships no types
        chosen = self._settings
        with let_in():
            async with asyncio.timeout(_CONNECT_S):
                return await aiomysql.connect(
                    host=chosen.host,
                    port=chosen.port,
                    user=chosen.user,
                    password=chosen.password.get_secret_value(),
                    db=chosen.database,
                    charset="utf8mb4",
                    conv=dict(DECODERS),
                    ssl=ssl.create_default_context() if chosen.tls else None,
                    program_name="tailrace",
                )

    def _set_up(self, version: str) -> Sequence[str]:
        limit_s = self._settings.statement_timeout_s
        is_mariadb = "mariadb" in version.lower()
        return [
            "SET SESSION time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES', group_concat_max_len = 1048576",
            f"SET SESSION max_sort_length = {_SORTED_BYTES}",
            f"SET SESSION max_statement_time = {limit_s:.3f}"
            if is_mariadb
            else f"SET SESSION max_execution_time = {limit_s * 1000:.0f}",
            "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
        ]

    async def _fields(self, connection: Any, query: str) -> Sequence[Any]:  # noqa: ANN401 - the driver ships no types
        """The columns of the query as the server describes them, without its rows."""
        try:
            async with self._limited()(), connection.cursor() as cursor:
                # Alone, before it stands in parentheses: a text that would close them early is no statement.
                await cursor.execute("PREPARE tailrace_query FROM %s", (query,))
                await cursor.execute("DEALLOCATE PREPARE tailrace_query")
                await cursor.execute(describing(query))
                return list(cursor._result.fields)  # noqa: SLF001 - the public description lacks the character set
        except (asyncio.CancelledError, TimeoutError):
            # What is constant in a query is worked at even then.
            await self._kill(connection.thread_id())
            raise

    def _columns(self, fields: Sequence[Any]) -> Sequence[Column]:
        return [Column(field.name, self._kind(field)) for field in fields]

    def _kind(self, field: Any) -> ColumnKind:  # noqa: ANN401 - the driver ships no types
        is_boolean = field.type_code == FIELD_TYPE.TINY and field.length == 1
        if is_boolean and self._settings.tinyint1_is_boolean:
            return ColumnKind.BOOLEAN
        return KINDS.get(field.type_code, ColumnKind.TEXT)

    def _limited(self) -> "Callable[[], asyncio.Timeout]":
        # The server's own limit comes first, where the server still answers.
        return partial(asyncio.timeout, self._settings.statement_timeout_s + _CLOSE_S)

    async def _kill(self, thread_id: int) -> None:
        """End a statement on the server, which would not see that nobody waits for its rows."""
        with suppress(MySQLError, OSError, TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                connection = await self._connect()
                try:
                    async with connection.cursor() as cursor:
                        await cursor.execute(f"KILL CONNECTION {int(thread_id)}")
                finally:
                    connection.close()
