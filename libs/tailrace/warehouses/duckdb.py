"""DuckDB as a warehouse: a database file, or Parquet, CSV and JSON files, under a directory that the operator opened.

DuckDB works in this process, so a query may read what the files hold and nothing else: the connection is locked to
read-only before the query is seen, and one thread serves it. Values arrive as exact text wherever Python or JSON would
lose something, but for numbers inside lists and structs, which DuckDB's own JSON writes as floating point.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from tailrace.connector_kit.blocks import fetched_blocks, text_blocks
from tailrace.connector_kit.destination import Level
from tailrace.connector_kit.duckdb_reading import COUNT_ROWS, ROWS, line_statement, sampled_statement, statement
from tailrace.connector_kit.duckdb_values import ReadColumn, quote_name
from tailrace.connector_kit.promised_columns import PromisedColumns, refuse_twins
from tailrace.connector_kit.warehouse import TOO_SLOW, Reading, Warehouse
from tailrace.core.errors import SourceInvalid, SourceUnavailable, TailraceError
from tailrace.core.rows import Block, Column, ColumnKind, RowKey

try:
    import duckdb
except ImportError as error:
    raise ImportError("DuckDB is not installed: pip install 'tailrace[duckdb]'") from error

LOCAL_FILES = "TAILRACE_LOCAL_FILES"
"""The environment variable that names the directory; without it no file is read."""

_CLOSE_S = 10.0
_KNOCK_S = 0.05
_READERS = {".parquet": "read_parquet", ".csv": "read_csv", ".json": "read_json", ".jsonl": "read_json"}

_Relative = Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=r"^[^/\\\x00][^\x00]*$")]
_Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")]
_Done = TypeVar("_Done")


class DuckDbSettings(BaseModel):
    """What to read, by paths below the directory that the operator of Tailrace opened."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    database: _Relative | None = Field(default=None, description="a database file")
    files: Mapping[_Name, _Relative] = Field(
        default_factory=dict,
        max_length=100,
        description="views by name, each over files such as `events/*.parquet`, .csv, .json or .jsonl",
    )
    statement_timeout_s: float = Field(default=600.0, gt=0, le=86_400, description="for each piece of a result")
    memory_limit_mib: int = Field(default=512, ge=64, le=1_048_576)
    threads: int = Field(default=2, ge=1, le=64)

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if self.database is None and not self.files:
            raise ValueError("give a database, files, or both")
        for name, pattern in self.files.items():
            if Path(pattern).suffix not in _READERS:
                raise ValueError(f"files.{name} must end in one of {', '.join(_READERS)}")
        return self


class DuckDbWarehouse(Warehouse):
    """One connection, on a thread of its own."""

    name = "duckdb"
    label = "DuckDB"
    level, verified_against = Level.GOLD, "the real DuckDB, which runs in this process"
    settings_type = DuckDbSettings
    has_cursors = True
    reads_up_to_a_key = True

    def __init__(self, connection: "duckdb.DuckDBPyConnection", thread: ThreadPoolExecutor, limit_s: float) -> None:
        self._connection = connection
        self._thread = thread
        self._limit_s = limit_s
        self._promised = PromisedColumns()
        self.is_busy = False
        """Whether the thread works at a statement now."""

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: BaseModel) -> AsyncIterator[Self]:
        if not isinstance(settings, DuckDbSettings):
            raise TypeError(f"{cls.__name__} opens with {DuckDbSettings.__name__}")
        directory = _directory()
        with ThreadPoolExecutor(1, "duckdb") as thread, TemporaryDirectory(prefix="tailrace-duckdb-") as spill:
            connection = duckdb.connect(":memory:")
            set_up = [f"SET temp_directory = {_text(spill)}", *_set_up(settings, directory)]
            warehouse = cls(connection, thread, settings.statement_timeout_s)
            try:
                await warehouse._run(lambda: [connection.execute(statement) for statement in set_up])
                yield warehouse
            finally:
                connection.close()

    async def check(self) -> None:
        await self._run(lambda: self._connection.execute("SELECT 1").fetchall())

    async def columns(self, query: str) -> Sequence[Column]:
        described = await self._described(query)
        columns = _kinds_of(described)
        self._promised.promise(query, columns)
        return columns

    @asynccontextmanager
    async def read(self, reading: Reading) -> AsyncIterator[AsyncIterator[Block]]:
        described = await self._described(reading.query)
        self._promised.check(reading, _kinds_of(described))
        has_lines = reading.is_plain and not any(column.holds_loose_json for column in described)
        sql, arguments = (line_statement if has_lines else statement)(reading, described)
        cursor = await self._run(lambda: self._connection.execute(sql, arguments))

        def fetch(rows: int) -> Awaitable[Sequence[tuple[Any, ...]]]:
            return self._run(partial(cursor.fetchmany, rows))

        if has_lines:
            kinds = [column.kind for column in described]
            times = [at for at, kind in enumerate(kinds) if kind is ColumnKind.TIMESTAMP]
            yield text_blocks(fetch, reading.rows_per_block, kinds, times)
        else:
            yield fetched_blocks(fetch, reading.rows_per_block, len(described))

    async def rows_about(self, query: str) -> int:
        """How many rows a query has: counted, which takes DuckDB a part of the time of a reading."""
        await self._described(query)
        [[rows]] = await self._run(lambda: self._connection.execute(COUNT_ROWS).fetchall())
        return int(rows)

    async def key_sample(self, reading: Reading, *, part: float) -> Sequence[RowKey]:
        """Keys drawn at random."""
        sql = sampled_statement(reading, await self._described(reading.query), part)
        return [RowKey(row) for row in await self._run(lambda: self._connection.execute(sql).fetchall())]

    async def _described(self, query: str) -> Sequence[ReadColumn]:
        """The columns of a query; from now on the view of rows stands for it."""
        found = await self._run(lambda: self._view(query))
        refuse_twins([column.name for column in found])
        return found

    def _view(self, query: str) -> Sequence[ReadColumn]:
        statements = self._connection.extract_statements(query)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise SourceInvalid("the query must be one SELECT that only reads", code="SOURCE_QUERY")
        if statements[0].named_parameters:
            raise SourceInvalid("the query has parameters: write values into it", code="SOURCE_QUERY")
        described = self._connection.execute(f"DESCRIBE {query}").fetchall()
        names = [row[0] for row in described]
        if len(set(names)) == len(names):
            self._connection.execute(f"CREATE OR REPLACE TEMP VIEW {ROWS} AS {query}")
        return [ReadColumn(row[0], row[1]) for row in described]

    async def _run(self, work: Callable[[], _Done]) -> _Done:
        """Work on the connection's thread; when the wait ends early, the statement does too."""
        self.is_busy = True
        future = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            with _translated():
                async with asyncio.timeout(self._limit_s):
                    return await asyncio.shield(future)
        except TimeoutError as error:
            raise SourceUnavailable(TOO_SLOW, code="SOURCE_TIMEOUT") from error
        finally:
            await self._interrupt(future)
            self.is_busy = False

    async def _interrupt(self, future: "asyncio.Future[Any]") -> None:
        # A knock before the statement began is not heard, so there are several.
        async with asyncio.timeout(_CLOSE_S):
            while not future.done():
                self._connection.interrupt()
                await asyncio.wait({future}, timeout=_KNOCK_S)
        if not future.cancelled():
            future.exception()


def _kinds_of(columns: Sequence[ReadColumn]) -> Sequence[Column]:
    return [Column(column.name, column.kind) for column in columns]


def _directory() -> Path:
    named = os.environ.get(LOCAL_FILES)
    if not named:
        raise SourceInvalid(
            f"this Tailrace reads no local files: its operator has to name a directory for them in {LOCAL_FILES}"
        )
    return Path(named).resolve()


def _set_up(settings: DuckDbSettings, directory: Path) -> Sequence[str]:
    """What is said before the user's query: what there is to read, and that nothing else is."""
    statements = [
        f"SET memory_limit = '{settings.memory_limit_mib}MiB'",
        f"SET threads = {settings.threads}",
        "SET TimeZone = 'UTC'",
        "SET autoinstall_known_extensions = false",
        "SET autoload_known_extensions = false",
    ]
    if settings.database is not None:
        path = _below(directory, settings.database)
        if not path.is_file():
            raise SourceUnavailable(f"there is no file {settings.database!r} among the local files")
        statements += [f"ATTACH {_text(str(path))} AS source (READ_ONLY)", "USE source"]
    for name, pattern in settings.files.items():
        reader = _READERS[Path(pattern).suffix]
        path = _below(directory, pattern)
        statements.append(f"CREATE TEMP VIEW {quote_name(name)} AS SELECT * FROM {reader}({_text(str(path))})")  # noqa: S608 - a checked name, a quoted path
    return [
        *statements,
        f"SET allowed_directories = [{_text(str(directory)) if settings.files else ''}]",
        "SET enable_external_access = false",
        "SET lock_configuration = true",
    ]


def _below(directory: Path, relative: str) -> Path:
    path = (directory / relative).resolve()
    if not path.is_relative_to(directory):
        raise SourceInvalid(f"{relative!r} leads out of the directory of local files")
    return path


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


@contextmanager
def _translated() -> Iterator[None]:
    """Turn DuckDB's errors into ours; no word of a row comes along."""
    try:
        yield
    except duckdb.Error as error:
        # The words of an error about a value hold the value, and a traceback would show them.
        raise _classified(error) from None if isinstance(error, duckdb.DataError) else error


def _classified(error: "duckdb.Error") -> TailraceError:
    if isinstance(error, duckdb.PermissionException):
        return SourceInvalid("the query reaches for files or settings that it may not use", code="SOURCE_QUERY")
    if isinstance(error, duckdb.DataError):
        return SourceInvalid(f"the query fails on a value of a row: {type(error).__name__}", code="SOURCE_QUERY")
    if isinstance(error, duckdb.OutOfMemoryException):
        return SourceUnavailable("the query needs more memory than memory_limit_mib", code="SOURCE_MEMORY")
    if isinstance(error, (duckdb.ProgrammingError, duckdb.NotSupportedError)):
        return SourceInvalid(f"DuckDB refuses the query: {error}", code="SOURCE_QUERY")
    return SourceUnavailable(f"DuckDB cannot answer: {type(error).__name__}")
