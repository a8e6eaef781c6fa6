"""MySQL and MariaDB as a warehouse: one read-only, consistent stream by an unbuffered cursor, a connection a reading.

Numbers keep every digit, times are ISO 8601 (UTC for TIMESTAMP, none for DATETIME), binary values are hexadecimal.
Keys are compared as bytes of UTF-8, whatever the collations of their columns say. MariaDB's JSON is text to it, and
so to us.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from tailrace.connector_kit.blocks import FIRST_ROWS, rows_that_fit
from tailrace.connector_kit.destination import Level
from tailrace.connector_kit.mysql_sql import KINDS, counting_sql, describing, reading_sql, sampling_sql
from tailrace.connector_kit.promised_columns import PromisedColumns
from tailrace.connector_kit.warehouse import TOO_SLOW, Reading, Warehouse
from tailrace.core.errors import CredentialsRefused, SourceInvalid, SourceUnavailable, TailraceError
from tailrace.core.rows import Block, Column, ColumnKind, RowKey

try:
    import aiomysql
    from pymysql.constants import CR, ER, FIELD_TYPE
    from pymysql.err import MySQLError
except ImportError as error:
    raise ImportError("the driver for MySQL is not installed: pip install 'tailrace[mysql]'") from error

_AT_ONCE = 1000
_CLOSE_S = 5.0
_CONNECT_S = 10.0
_SORTED_BYTES = 4096
_TIMEOUTS = frozenset({1969, 3024})
# FILE reads files of the server by LOAD_FILE, SUPER may undo every limit.
_DANGER = """
SELECT DISTINCT privilege_type FROM information_schema.user_privileges
WHERE privilege_type IN ('FILE', 'SUPER') AND replace(grantee, '''', '') = current_user() ORDER BY 1
"""
_REFUSED = frozenset({ER.ACCESS_DENIED_ERROR, ER.DBACCESS_DENIED_ERROR, 1698})
_QUERY_CODES = frozenset(
    {
        *(ER.ACCESS_DENIED_ERROR, ER.DBACCESS_DENIED_ERROR),
        *(ER.PARSE_ERROR, ER.NO_SUCH_TABLE, ER.BAD_FIELD_ERROR, ER.TABLEACCESS_DENIED_ERROR, ER.SP_DOES_NOT_EXIST),
        *(ER.COLUMNACCESS_DENIED_ERROR, ER.NON_UNIQ_ERROR, ER.BAD_DB_ERROR, ER.WRONG_FIELD_WITH_GROUP, 1295, 1792),
        *(ER.WRONG_COLUMN_NAME, ER.UNKNOWN_TABLE, 1630, 1222, 1241, 1582, 4078),
    }
)
_VALUE_CODES = frozenset({1264, 1265, 1292, 1365, 1366, 1411, 1690, 3140, 3141, 4038, ER.SUBQUERY_NO_1_ROW})


def _iso(text: str) -> str:
    return text.replace(" ", "T", 1)


def _iso_utc(text: str) -> str:
    return text.replace(" ", "T", 1) + "Z"


_DECODERS: Mapping[int, Callable[[str], object]] = {
    **{code: int for code, kind in KINDS.items() if kind is ColumnKind.INTEGER},
    **{code: float for code, kind in KINDS.items() if kind is ColumnKind.FLOAT},
    FIELD_TYPE.TIMESTAMP: _iso_utc,
    FIELD_TYPE.DATETIME: _iso,
}


class MySqlSettings(BaseModel):
    """A server to read from, and how long it may take."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(min_length=1, max_length=253)
    port: int = Field(default=3306, ge=1, le=65_535)
    user: str = Field(min_length=1, max_length=128)
    password: SecretStr = Field(default=SecretStr(""), max_length=1024)
    database: str = Field(min_length=1, max_length=64)
    tls: bool = Field(default=True, description="encrypt, and check the server's certificate and name")
    statement_timeout_s: float = Field(default=600.0, gt=0, le=86_400, description="for the query's first rows too")
    tinyint1_is_boolean: bool = Field(default=True, description="read TINYINT(1), which BOOLEAN stands for, as such")
    allow_superuser: bool = Field(
        default=False, description="lets a user in who could read files on the server, or lift its limits, by a query"
    )


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
        with _translated():
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
    ) -> "AsyncIterator[_Stream]":
        """The rows of a statement, which ends on the server when the scope is left early."""
        stream = _Stream(self._limited())
        try:
            await stream.open(connection, sql, arguments)
            yield stream
        finally:
            if not stream.is_at_its_end:
                await self._kill(connection.thread_id())

    async def _connect(self) -> Any:  # noqa: ANN401 - the driver ships no types
        chosen = self._settings
        with _let_in():
            async with asyncio.timeout(_CONNECT_S):
                return await aiomysql.connect(
                    host=chosen.host,
                    port=chosen.port,
                    user=chosen.user,
                    password=chosen.password.get_secret_value(),
                    db=chosen.database,
                    charset="utf8mb4",
                    conv=dict(_DECODERS),
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


class _Stream:
    """The rows of one statement as they come."""

    def __init__(self, limited: "Callable[[], asyncio.Timeout]") -> None:
        self._limited = limited
        self._cursor: Any = None
        self.is_at_its_end = False

    async def open(self, connection: Any, sql: str, arguments: Sequence[object] | None) -> None:  # noqa: ANN401 - as above
        async with self._limited():
            self._cursor = await connection.cursor(aiomysql.SSCursor)
            await self._cursor.execute(sql, arguments)

    async def all(self) -> Sequence[tuple[Any, ...]]:
        """All rows, of which there are few."""
        found = list[tuple[Any, ...]]()
        while records := await self._fetch(_AT_ONCE):
            found += records
        self.is_at_its_end = True
        return found

    async def blocks(self, columns: Sequence[Column], rows_per_block: int) -> AsyncIterator[Block]:
        """Rows that have these columns, and behind them the texts of their keys."""
        width = len(columns)
        booleans = [at for at, column in enumerate(columns) if column.kind is ColumnKind.BOOLEAN]
        at_once = min(FIRST_ROWS, rows_per_block)
        while records := await self._fetch(at_once):
            keys = [RowKey(record[width:]) for record in records]
            rows = [_row(record[:width], booleans) for record in records]
            yield Block(rows, [None if None in key else key for key in keys])
            at_once = rows_that_fit(records, at_most=rows_per_block)
        self.is_at_its_end = True

    async def _fetch(self, at_once: int) -> Sequence[tuple[Any, ...]]:
        with _translated():
            async with self._limited():
                found: Sequence[tuple[Any, ...]] = await self._cursor.fetchmany(at_once)
        return found


def _row(record: tuple[Any, ...], booleans: Sequence[int]) -> tuple[object, ...]:
    if not booleans:
        return record
    row = list(record)
    for at in booleans:
        row[at] = None if row[at] is None else bool(row[at])
    return tuple(row)


@contextmanager
def _let_in() -> Iterator[None]:
    """Tell a refused login; later, the same error speaks of the query."""
    try:
        yield
    except MySQLError as error:
        if error.args and error.args[0] in _REFUSED:
            raise CredentialsRefused("the warehouse refused user or password") from None
        raise


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the driver's errors into ours; no word of a row comes along."""
    try:
        yield
    except MySQLError as error:
        # The words of an error about a value hold the value, and a traceback would show them.
        raise _classified(error) from None
    except (OSError, TimeoutError) as error:
        raise SourceUnavailable(f"the warehouse does not answer: {type(error).__name__}") from error


def _classified(error: MySQLError) -> TailraceError:
    code, words = (*error.args, 0, "")[:2] if error.args else (0, "")
    if code == ER.DUP_FIELDNAME:
        return SourceInvalid(f"{words} in the query: give each column its own name with AS", code="DUPLICATE_COLUMN")
    if code in _QUERY_CODES:
        return SourceInvalid(f"the warehouse refuses the query: {words}", code="SOURCE_QUERY")
    if code in _VALUE_CODES:
        return SourceInvalid(f"the query fails on a value of a row (error {code})", code="SOURCE_QUERY")
    return _outage(code)


def _outage(code: int) -> SourceUnavailable:
    if code in _TIMEOUTS:
        return SourceUnavailable(TOO_SLOW, code="SOURCE_TIMEOUT")
    if code == CR.CR_CONN_HOST_ERROR:
        return SourceUnavailable("no MySQL or MariaDB answers there: check the source's address and network")
    return SourceUnavailable(f"the warehouse cannot answer now (error {code})")
