"""Statements of Databricks: begun, waited for, stopped where nobody waits any more, and their rows piece by piece.

Limits by https://docs.databricks.com/api/workspace/statementexecution: 25 MiB for a result within an answer, 100 GiB
for one by links; one is kept alive where it is asked about every 15 minutes, and a result lies there for an hour.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tailrace.connector_kit.databricks_calls import STATEMENTS, Calls, LinkEnded
from tailrace.connector_kit.databricks_errors import failed
from tailrace.connector_kit.databricks_settings import DatabricksSettings
from tailrace.connector_kit.warehouse import TOO_SLOW
from tailrace.core.errors import SourceInvalid, SourceUnavailable, TailraceError
from tailrace.core.waits import side_by_side

Cells: TypeAlias = list[list[str | None]]
"""Rows as texts."""

_STOP_S = 10.0
_FIRST_LOOK_S, _LONGEST_LOOK_S, _SLOWER = 0.05, 5.0, 1.5
_LINKS = 3
_OPEN = frozenset({"PENDING", "RUNNING"})


@dataclass(frozen=True, slots=True)
class Statement:
    """What is asked; `is_large` has the result come by links, `is_described` says that it reads no rows."""

    sql: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    is_large: bool = False
    is_described: bool = False


@dataclass(frozen=True, slots=True)
class Statements:
    """The statements of one workspace."""

    calls: Calls
    settings: DatabricksSettings

    async def all(self, statement: Statement) -> Cells:
        """All rows of a statement, of which there are few.

        :raises SourceInvalid, SourceUnavailable, CredentialsRefused: it fails, or takes too long.
        """
        result = await self._result(statement)
        pieces = [await self._in_time(result.next_piece) async for _ in _each(result)]
        return [row for piece in pieces for row in piece]

    @asynccontextmanager
    async def rows(self, statement: Statement) -> "AsyncIterator[Rows]":
        """The rows of a statement; the next piece is fetched while one is used."""
        result = await self._result(statement)
        pieces: asyncio.Queue[Cells | TailraceError] = asyncio.Queue(1)
        async with side_by_side() as tasks:
            ahead = tasks.create_task(self._fetch_ahead(result, pieces))
            try:
                yield Rows(pieces)
            finally:
                ahead.cancel()

    async def _fetch_ahead(self, result: "_Result", pieces: "asyncio.Queue[Cells | TailraceError]") -> None:
        try:
            async for _ in _each(result):
                await pieces.put(await self._in_time(result.next_piece))
            await pieces.put([])
        except TailraceError as error:
            await pieces.put(error)

    async def _in_time(self, step: Any) -> Any:  # noqa: ANN401 - what the step gives
        try:
            async with asyncio.timeout(self.settings.statement_timeout_s):
                return await step()
        except TimeoutError as error:
            raise SourceUnavailable(TOO_SLOW, code="SOURCE_TIMEOUT") from error
        except (KeyError, TypeError, ValueError) as error:
            raise SourceUnavailable("an answer of Databricks is not as its reference says") from error

    async def _result(self, statement: Statement) -> "_Result":
        answer = await self._in_time(lambda: self._carried_out(statement))
        manifest, result = answer.get("manifest") or {}, answer.get("result") or {}
        if manifest.get("truncated"):
            raise SourceInvalid("the result is larger than Databricks gives: read less at once", code="SOURCE_QUERY")
        return _Result(self.calls, answer["statement_id"], int(manifest.get("total_row_count") or 0), result)

    async def _carried_out(self, statement: Statement) -> Any:  # noqa: ANN401 - foreign JSON
        answer = await self.calls.tell(STATEMENTS, _body(statement, self.settings))
        address = f"{STATEMENTS}/{answer['statement_id']}"
        look_s, is_open = _FIRST_LOOK_S, True
        try:
            while is_open := _state(answer) in _OPEN:
                await asyncio.sleep(look_s)
                look_s = min(look_s * _SLOWER, _LONGEST_LOOK_S)
                answer = await self.calls.ask(address)
        finally:
            if is_open:
                await self._stop(address)
        match _state(answer):
            case "SUCCEEDED":
                return answer
            case "CLOSED" if answer.get("manifest"):
                # Closed by its last rows being given, which are in this answer: whether they are all, is counted.
                return answer
            case "FAILED":
                raise failed(answer["status"], is_described=statement.is_described)
            case "CANCELED":
                raise SourceUnavailable(f"the query was stopped in Databricks, or {TOO_SLOW}", code="SOURCE_TIMEOUT")
            case other:
                raise SourceUnavailable(f"Databricks gives no result: the statement is {other}")

    async def _stop(self, address: str) -> None:
        with suppress(TailraceError, TimeoutError):
            async with asyncio.timeout(_STOP_S):
                await self.calls.tell(f"{address}/cancel", {})


@dataclass(slots=True)
class Rows:
    """Rows in the order of a statement."""

    pieces: "asyncio.Queue[Cells | TailraceError]"
    _piece: Cells = field(default_factory=list)
    _at: int = 0

    async def fetch(self, at_most: int) -> Sequence[Sequence[str | None]]:
        """The next rows; none at the end."""
        if self._at >= len(self._piece):
            piece = await self.pieces.get()
            if isinstance(piece, TailraceError):
                raise piece
            self._piece, self._at = piece, 0
        begin, self._at = self._at, self._at + at_most
        return self._piece[begin : self._at]


@dataclass(slots=True)
class _Result:
    """The pieces of a result, which follow each other by number; `here` is where the next one lies, if that is known.

    A link lets in for 15 minutes at most, so each is asked for only when its piece is to be loaded.
    """

    calls: Calls
    statement_id: str
    rows: int
    here: Mapping[str, Any] | None
    number: int = 0
    is_at_end: bool = False
    seen: int = 0

    async def next_piece(self) -> Cells:
        """Its rows, empty pieces passed over.

        :raises SourceUnavailable: it cannot be had, or is not what it was said to be: nothing of it is given then.
        """
        piece: Cells = []
        while not piece and not self.is_at_end:
            piece, following = await self._piece()
            self.seen += len(piece)
            self.is_at_end = following is None
            if following is not None:
                self.here, self.number = None, following
        if self.is_at_end and self.seen != self.rows:
            raise SourceUnavailable(f"Databricks gave {self.seen} of {self.rows} rows of a result")
        return piece

    async def _piece(self) -> tuple[Cells, int | None]:
        told = self.here if self.here is not None else await self._asked()
        rows = told.get("data_array") or []
        if told.get("external_links"):
            told, rows = await self._linked(told)
        self._refuse_others(told, rows)
        return rows, told.get("next_chunk_index")

    async def _linked(self, here: Mapping[str, Any]) -> tuple[Mapping[str, Any], Cells]:
        for _ in range(_LINKS):
            with suppress(LinkEnded):
                return await self._loaded(here)
            here = await self._asked()
        return await self._loaded(here)

    async def _loaded(self, here: Mapping[str, Any]) -> tuple[Mapping[str, Any], Cells]:
        link, *_ = here["external_links"]
        return link, await self.calls.load(link["external_link"], link.get("http_headers") or {})

    def _refuse_others(self, told: Mapping[str, Any], rows: Cells) -> None:
        # Before anybody has them: a gap in the order of the keys would be taken for rows that are gone.
        expected = {"chunk_index": self.number, "row_offset": self.seen, "row_count": len(rows)}
        if any(told.get(name) is not None and int(told[name]) != value for name, value in expected.items()):
            raise SourceUnavailable(f"Databricks gave {len(rows)} rows of a result that are not those which it told")

    async def _asked(self) -> Mapping[str, Any]:
        address = f"{STATEMENTS}/{self.statement_id}/result/chunks/{self.number}"
        try:
            answer: Mapping[str, Any] = await self.calls.ask(address)
        except SourceInvalid as error:
            told = "Databricks has the result no more, which it keeps for an hour"
            raise SourceUnavailable(f"{told}: {error.message}") from None
        return answer


async def _each(result: _Result) -> AsyncIterator[None]:
    while not result.is_at_end:
        yield


def _state(answer: Any) -> str:  # noqa: ANN401 - foreign JSON
    return str(answer["status"]["state"])


def _body(statement: Statement, settings: DatabricksSettings) -> Mapping[str, object]:
    named = {"catalog": settings.catalog, "schema": settings.schema_name}
    return {
        "statement": statement.sql,
        "warehouse_id": settings.warehouse_id,
        "parameters": [
            {"name": name, "value": value, "type": "STRING"} for name, value in statement.parameters.items()
        ],
        "disposition": "EXTERNAL_LINKS" if statement.is_large else "INLINE",
        "format": "JSON_ARRAY",
        # Its name comes at once, so that it can be stopped by it.
        "wait_timeout": "0s",
        **{name: value for name, value in named.items() if value is not None},
    }
