"""Jobs of BigQuery: looked at without being run, begun by an id of ours, waited for, read by pages, cancelled."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import uuid4

from tailrace.connector_kit.bigquery_calls import BigQueryCalls, Call
from tailrace.connector_kit.bigquery_settings import BigQuerySettings
from tailrace.connector_kit.bigquery_sql import Field, Statement, field_of
from tailrace.connector_kit.blocks import rows_that_fit
from tailrace.connector_kit.warehouse import TOO_SLOW
from tailrace.core.errors import SourceInvalid, SourceUnavailable, TailraceError
from tailrace.core.rows import ColumnKind

Record: TypeAlias = tuple[Any, ...]

_FIRST_ROWS = 200
_ROWS_PER_PAGE = 20_000
_PAGE_CHARACTERS = 4 << 20
_WAIT_MS = 4_000
_BETWEEN_POLLS_S = 0.2
_GRACE_S = 5.0
_CANCEL_S = 10.0
_MAKERS: Mapping[ColumnKind, Callable[[str], object]] = {
    ColumnKind.INTEGER: int,
    ColumnKind.FLOAT: float,
    ColumnKind.BOOLEAN: lambda text: text == "true",
}
_TYPES: Mapping[ColumnKind, str] = {
    ColumnKind.INTEGER: "INT64",
    ColumnKind.FLOAT: "FLOAT64",
    ColumnKind.BOOLEAN: "BOOL",
}


@dataclass(frozen=True, slots=True)
class Looked:
    """What a dry run tells of a query: its columns, and where it would run."""

    fields: Sequence[Field]
    location: str | None


class Jobs:
    """The jobs of one connection."""

    def __init__(self, calls: BigQueryCalls, settings: BigQuerySettings) -> None:
        self._calls = calls
        self._settings = settings

    async def look_at(self, statement: Statement) -> Looked:
        """Have the server look at a statement, which costs nothing.

        :raises SourceInvalid: `SOURCE_QUERY` where it is refused, or is anything but one SELECT.
        """
        reference = {"projectId": self._settings.project, **_known(location=self._settings.location)}
        body = {"jobReference": reference, "configuration": self._configuration(statement) | {"dryRun": True}}
        found = await self._calls.ask(Call("POST", "jobs", body=body, is_dry=True))
        told = found.get("statistics", {}).get("query", {})
        if told.get("statementType") != "SELECT":
            raise SourceInvalid("the query must be one SELECT that only reads", code="SOURCE_QUERY")
        columns = told.get("schema", {}).get("fields", [])
        return Looked(_fields(columns), self._settings.location or found.get("jobReference", {}).get("location"))

    @asynccontextmanager
    async def running(self, statement: Statement, location: str | None) -> AsyncIterator["Job"]:
        """A job whose rows can be read; one that still works when the scope is left is cancelled.

        :raises SourceUnavailable: `SOURCE_TIMEOUT`, it took too long.
        """
        job = Job(self._calls, self._settings, location)
        try:
            await job.begin(self._configuration(statement))
            yield job
        finally:
            await job.end()

    async def all(self, statement: Statement, location: str | None, kinds: Sequence[ColumnKind]) -> Sequence[Record]:
        """All rows of a statement, of which there are few."""
        async with self.running(statement, location) as job:
            return [record async for page in job.pages(kinds) for record in page]

    def _configuration(self, statement: Statement) -> dict[str, object]:
        settings = self._settings
        query: dict[str, object] = {"query": statement.sql, "useLegacySql": False, "priority": "INTERACTIVE"}
        if statement.arguments:
            query |= {"parameterMode": "POSITIONAL", "queryParameters": [*map(_parameter, statement.arguments)]}
        if settings.default_dataset is not None:
            project, _, dataset = settings.default_dataset.rpartition(".")
            query["defaultDataset"] = {"projectId": project or settings.project, "datasetId": dataset}
        if settings.maximum_bytes_billed is not None:
            query["maximumBytesBilled"] = str(settings.maximum_bytes_billed)
        timeout_ms = str(round(settings.statement_timeout_s * 1000))
        return {"query": query, "jobTimeoutMs": timeout_ms, "labels": {"application": "tailrace"}}


class Job:
    """One statement at work."""

    def __init__(self, calls: BigQueryCalls, settings: BigQuerySettings, location: str | None) -> None:
        self._calls = calls
        self._limit_s = settings.statement_timeout_s
        self._reference = {
            "projectId": settings.project,
            "jobId": f"tailrace_{uuid4().hex}",
            **_known(location=location),
        }
        self._first: Mapping[str, Any] = {}
        self._may_work = False

    async def begin(self, configuration: Mapping[str, object]) -> None:
        """Return once the statement was carried out."""
        self._may_work = True
        try:
            async with asyncio.timeout(self._limit_s + _GRACE_S):
                body = {"jobReference": self._reference, "configuration": configuration}
                # One that is there already is the one of which no answer arrived.
                made = await self._calls.ask(Call("POST", "jobs", body=body))
                self._reference |= _known(location=made.get("jobReference", {}).get("location"))
                self._first = await self._page(_FIRST_ROWS)
                while not self._first.get("jobComplete"):
                    await asyncio.sleep(_BETWEEN_POLLS_S)
                    self._first = await self._page(_FIRST_ROWS)
        except TimeoutError as error:
            raise SourceUnavailable(TOO_SLOW, code="SOURCE_TIMEOUT") from error
        self._may_work = False

    async def pages(self, kinds: Sequence[ColumnKind]) -> AsyncIterator[Sequence[Record]]:
        """The rows, page by page, as what their columns hold; behind the columns of these kinds there are texts.

        :raises SourceInvalid: `SCHEMA_CHANGED`, the columns are of other types.
        :raises SourceUnavailable: they ended before all had come.
        """
        self._check(kinds)
        makers = [(at, _MAKERS[kind]) for at, kind in enumerate(kinds) if kind in _MAKERS]
        page, left, at_most = self._first, int(self._first.get("totalRows", 0)), _FIRST_ROWS
        while True:
            records = await asyncio.to_thread(records_of, page.get("rows", []), makers)
            left -= len(records)
            if records:
                yield records
                at_most = rows_that_fit(records, at_most=_ROWS_PER_PAGE, characters=_PAGE_CHARACTERS)
            token = page.get("pageToken")
            if not token:
                break
            page = await self._page(at_most, token)
        if left:
            raise SourceUnavailable("BigQuery ended the rows of the query before all had come")

    def _check(self, kinds: Sequence[ColumnKind]) -> None:
        # Between the look at a query and its job a column may become one of another type.
        told = [each.type_name for each in _fields(self._first.get("schema", {}).get("fields", []))]
        wanted = [_TYPES.get(kind, "STRING") for kind in kinds]
        if told != wanted + ["STRING"] * (len(told) - len(wanted)):
            raise SourceInvalid("the columns of the query changed since they were looked at", code="SCHEMA_CHANGED")

    async def end(self) -> None:
        """Cancel it, if it may still work."""
        if not self._may_work:
            return
        path = f"jobs/{self._reference['jobId']}/cancel"
        with suppress(TailraceError, TimeoutError):
            async with asyncio.timeout(_CANCEL_S):
                await self._calls.ask(Call("POST", path, self._place))

    @property
    def _place(self) -> dict[str, str | int]:
        return dict(_known(location=self._reference.get("location")))

    async def _page(self, at_most: int, token: str | None = None) -> Mapping[str, Any]:
        question = self._place | {"maxResults": at_most, "timeoutMs": _WAIT_MS} | _known(pageToken=token)
        path = f"queries/{self._reference['jobId']}"
        return await self._calls.ask(Call("GET", path, question, awaits_job=token is None))


def _fields(columns: Sequence[Mapping[str, str]]) -> Sequence[Field]:
    return [field_of(each["name"], each["type"], each.get("mode", "")) for each in columns]


def _known(**named: str | None) -> dict[str, str]:
    return {name: value for name, value in named.items() if value is not None}


def _parameter(value: str | Sequence[str]) -> Mapping[str, object]:
    if isinstance(value, str):
        return {"parameterType": {"type": "STRING"}, "parameterValue": {"value": value}}
    strings = {"type": "ARRAY", "arrayType": {"type": "STRING"}}
    return {"parameterType": strings, "parameterValue": {"arrayValues": [{"value": each} for each in value]}}


def records_of(rows: Sequence[Any], makers: Sequence[tuple[int, Callable[[str], object]]]) -> Sequence[Record]:
    """Rows of an answer, the cells at these places made of their texts.

    :raises SourceUnavailable: they are not as the reference of the API says; no value is told.
    """
    try:
        found = [[cell["v"] for cell in row["f"]] for row in rows]
        for cells in found:
            for at, make in makers:
                if cells[at] is not None:
                    cells[at] = make(cells[at])
    except (KeyError, IndexError, TypeError, ValueError):
        raise SourceUnavailable("an answer of BigQuery is not as its reference says") from None
    return [*map(tuple, found)]
