"""Jobs of Salesforce's Bulk API 2.0: created, filled, closed, and asked about until they are done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tailrace.connector_kit.csv_tables import csv_of, rows_of
from tailrace.connector_kit.long_jobs import LongJobs
from tailrace.connector_kit.manifest.attribution import Reason
from tailrace.connector_kit.manifest.calls import Answer, Caller
from tailrace.connector_kit.manifest.encoding import as_text, dumped
from tailrace.connector_kit.manifest.parts import number_at, text_at
from tailrace.connector_kit.manifest.questions import Question
from tailrace.connector_kit.manifest.writes import Method
from tailrace.core.errors import DestinationUnavailable, InDoubt
from tailrace.core.rows import Operation, RowOutcome, rejected, retry

FIELD_CHARACTERS, ROW_CHARACTERS = 32_000, 400_000
"""https://developer.salesforce.com/docs/atlas.en-us.api_asynch.meta/api_asynch/bulk_api_2_limits.htm, 2026-11-22."""

NULL = "#N/A"
WRITE_S = 45.0
"""How long a write waits for a job, less than the engine gives it."""

ENDS = frozenset({"JobComplete", "Failed", "Aborted"})
"""The states of a job that nothing more becomes of."""

POLL_S = 2.0
_RESULT_BYTES = 64 << 20  # every row again, each with what is wrong with it
_CLOSED = dumped({"state": "UploadComplete"})


@dataclass(frozen=True, slots=True)
class Load:
    """Rows of one batch for a job, by the field that its results are joined by, and what its errors mean."""

    object_name: str
    operation: Operation
    key_name: str
    names: Sequence[str]
    rows: Mapping[str, Mapping[str, object]]
    reason: Reason

    @property
    def wanted(self) -> Mapping[str, str]:
        """The request for such a job."""
        wanted = {"object": self.object_name, "operation": self.operation}
        wanted |= {"contentType": "CSV", "lineEnding": "LF", "columnDelimiter": "COMMA"}
        return wanted | ({"externalIdFieldName": self.key_name} if self.operation is Operation.UPSERT else {})


@dataclass(slots=True)
class Jobs:
    """Jobs of Bulk API 2.0."""

    caller: Caller
    running: LongJobs
    path: str

    async def failed(self, batch_id: str, load: Load) -> Mapping[str, RowOutcome]:
        """The rows that failed, by key, once the job is done.

        :raises Unfinished: it is not done yet; the same batch may be written again, and no second job is made.
        :raises InDoubt: nobody can say what became of the rows.
        """
        job_id = self.running.id_of(batch_id) or await self._submitted(batch_id, load)
        failed = await self._finished(job_id, batch_id, load)
        if not failed.keys() <= load.rows.keys():
            raise InDoubt("the results of the job name a key that was not sent")
        return failed

    async def _submitted(self, batch_id: str, load: Load) -> str:
        """The id of a job that has all rows and works on them."""
        # A job that is not closed does nothing: until then an answer that is lost leaves nothing in doubt.
        made = await self._before_closing("POST", self.path, dumped(load.wanted))
        job_id = text_at(made.document, "id")
        if not job_id.isalnum():
            raise DestinationUnavailable("the answer to the request for a job names none")
        table = csv_of(load.names, [[_cell(row, name) for name in load.names] for row in load.rows.values()])
        await self._before_closing("PUT", f"{self.path}/{job_id}/batches", table, media="text/csv")
        self.running.begin(batch_id, job_id)
        await self.caller.send("PATCH", f"{self.path}/{job_id}", _CLOSED)
        return job_id

    async def _before_closing(self, method: Method, path: str, body: bytes, media: str = "application/json") -> Answer:
        try:
            return await self.caller.send(method, path, body, media=media)
        except InDoubt as error:
            raise DestinationUnavailable(error.message) from error

    async def _finished(self, job_id: str, batch_id: str, load: Load) -> Mapping[str, RowOutcome]:
        until = self.running.clock.monotonic() + WRITE_S
        job = await self.running.ended(batch_id, lambda: self._ended(job_id), until)
        failed = await self._told(job_id, "failedResults", load)
        left = await self._told(job_id, "unprocessedrecords", load)
        self.running.forget(batch_id)
        processed, refused = number_at(job, "numberRecordsProcessed"), number_at(job, "numberRecordsFailed")
        if refused != len(failed) or (processed or 0) + len(left) != len(load.rows):
            told = f"{processed or 0:g} processed and {refused or 0:g} failed of {len(load.rows)} rows"
            raise InDoubt(f"the job counts {told}")
        return {**left, **failed}

    async def _ended(self, job_id: str) -> object | None:
        """What is said of the job in the end."""
        job = await self.caller.ask(f"{self.path}/{job_id}")
        state = text_at(job, "state")
        if state == "Open":  # the answer to its closing was lost on the way there
            await self.caller.send("PATCH", f"{self.path}/{job_id}", _CLOSED)
        return job if state in ENDS else None

    async def _told(self, job_id: str, which: str, load: Load) -> dict[str, RowOutcome]:
        asked = Question("GET", f"{self.path}/{job_id}/{which}", media="text/csv", takes_bytes=_RESULT_BYTES)
        answer = await self.caller.request(asked)
        return {row.get(load.key_name) or "": _outcome(row, load.reason) for row in rows_of(answer.body)}


def why_unfit(fields: Mapping[str, object], key: str) -> RowOutcome | None:
    """Why a row cannot go into a job, if it cannot."""
    if not key:
        return rejected("EMPTY_KEY", "the destination needs a value in the key")
    sizes = {name: len(as_text(value)) for name, value in fields.items()}
    if NULL in fields.values():
        name = next(name for name, value in fields.items() if value == NULL)
        return rejected("NOT_REPRESENTABLE", f"a job takes the text {NULL} for NULL", field=name)
    if max(sizes.values()) > FIELD_CHARACTERS:
        told = f"a job takes {FIELD_CHARACTERS} characters in a field"
        return rejected("NOT_REPRESENTABLE", told, field=max(sizes, key=lambda name: sizes[name]))
    told = f"a job takes {ROW_CHARACTERS} characters in a record"
    return rejected("ROW_TOO_LARGE", told) if sum(sizes.values()) > ROW_CHARACTERS else None


def _cell(row: Mapping[str, object], name: str) -> str:
    """A value of the table; an empty one leaves a field as it is."""
    return as_text(row[name]) or NULL if name in row else ""


def _outcome(row: Mapping[str, str], reason: Reason) -> RowOutcome:
    """What became of a row that failed, or that the job did not come to."""
    if "sf__Error" not in row:
        return retry("NOT_PROCESSED", "the job ended before it came to this row")
    code, _, message = row["sf__Error"].partition(":")
    return reason.outcome({"errors": [{"statusCode": code, "message": message}]})
