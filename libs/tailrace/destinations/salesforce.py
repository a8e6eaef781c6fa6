"""Salesforce: records by collections, and from 2,000 rows by jobs of Bulk API 2.0. Not verified against Salesforce.

Upserts are by an external id, updates by `Id`; inserts add records blindly, as far as no unique field forbids it.
Deletes ask for the ids of an external id first; a record that is not there is deleted, and a key that several records
have is rejected.
Objects and fields are those that describe calls show. NULL clears a field. The credentials are those of a connected
app, by client credentials or by an assertion (JWT) for a user.

Fewer rows than `bulk_from_rows` go 200 a request, one after the other; what a failed request keeps from being sent is
tried again. More rows become a job: created, filled, closed, and asked about until it is done. A job that takes longer
than a write may is asked about again by the next attempt with the same batch. Its results come in any order and are
joined by the key; its counts must come out. In a job `#N/A` stands for NULL, so a text of just that is rejected there,
and an empty cell for a field that is left out.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from io import StringIO

from pydantic import Field

from tailrace.connector_kit.destination import Level, Target, WritePlan
from tailrace.connector_kit.http import HttpClient
from tailrace.connector_kit.manifest.answer_rules import AnswerRule, Then
from tailrace.connector_kit.manifest.attribution import Aligned, Reason
from tailrace.connector_kit.manifest.auth import ClientCredentials, EitherGrant, JwtBearer
from tailrace.connector_kit.manifest.calls import Answer, Caller
from tailrace.connector_kit.manifest.encoding import Encoding, as_text, dumped
from tailrace.connector_kit.manifest.engine import destination_of
from tailrace.connector_kit.manifest.limits import Bucket, RowLimit, SizeLimit
from tailrace.connector_kit.manifest.model import Fields, Listing, Manifest, Objects
from tailrace.connector_kit.manifest.parts import number_at, text_at
from tailrace.connector_kit.manifest.settings import Setting, settings_type
from tailrace.connector_kit.manifest.templates import Slot
from tailrace.connector_kit.manifest.throttles import RetryAfter, SaysNothing, UsedOfMost
from tailrace.connector_kit.manifest.writes import Ask, LookedUpKey, Method, NamedKey, PathKey, Write
from tailrace.core.batches import Batch, BatchResult
from tailrace.core.clock import Clock
from tailrace.core.errors import (
    BatchRefused,
    DestinationUnavailable,
    InDoubt,
    TailraceError,
    Throttled,
    Unavailable,
    Unfinished,
)
from tailrace.core.rows import DELIVERED, Operation, RowOutcome, rejected, retry, unknown

CHECKED = date(2026, 11, 22)
API = "/services/data/v62.0"
DOCS = "https://developer.salesforce.com/docs/atlas.en-us."
COLLECTIONS = DOCS + "api_rest.meta/api_rest/resources_composite_sobjects_collections.htm"
LIMITS = (
    DOCS + "salesforce_app_limits_cheatsheet.meta/salesforce_app_limits_cheatsheet/salesforce_app_limits_overview.htm"
)
OAUTH = "https://help.salesforce.com/s/articleView?id=sf.remoteaccess_oauth_jwt_flow.htm"
TOKENS = "https://{domain}.my.salesforce.com/services/oauth2/token"

JOBS = f"{API}/jobs/ingest"
ENDS = frozenset({"JobComplete", "Failed", "Aborted"})
COLLECTION_ROWS = 200
BATCH_BYTES = 16_000_000
"""A job takes 150 MB; this is what a process may hold of one batch."""

NULL = "#N/A"
POLL_S = 2.0
WRITE_S = 45.0
"""How long a write waits for a job, less than the engine gives it."""

REASON = Reason(
    code="errors.0.statusCode",
    message="errors.0.message",
    field="errors.0.fields.0",
    meanings={"UNABLE_TO_LOCK_ROW": "retry"},
    renamed={"DUPLICATE_VALUE": "ALREADY_EXISTS", "ENTITY_IS_DELETED": "NOT_FOUND"},
)


COLLECTION = RowLimit(at_most="200 rows", source=COLLECTIONS, checked=CHECKED)
SIZE = SizeLimit(at_most="4 MB", source=COLLECTIONS, checked=CHECKED, note="a size of ours")
GONE = {**REASON.meanings, "ENTITY_IS_DELETED": "delivered", "NOT_FOUND": "delivered"}
IDS = LookedUpKey(
    ask=Ask(
        method="GET",
        path=f"{API}/query?q=SELECT+Id,{{key_name}}+FROM+{{object}}+WHERE+{{key_name}}+IN+({{all_keys|soql}})",
        rows_at="",
    ),
    each="records",
    id="Id",
    key="{key_name}",
    fold="lower",
)


def collection(method: str, path: str, key: NamedKey | PathKey, *, is_idempotent: bool) -> Write:
    """An operation on up to 200 records, each for itself."""
    return Write.model_validate(
        {
            "method": method,
            "path": f"{API}/composite/sobjects{path}",
            "body": {"allOrNone": False},
            "rows_at": "records",
            "row": {"attributes": {"type": Slot.OBJECT}, "*": Slot.FIELDS},
            "key": key,
            "max_rows": COLLECTION,
            "max_size": SIZE,
            "is_idempotent": is_idempotent,
            "attribution": Aligned(status="success", reason=REASON),
        }
    )


MANIFEST = Manifest(
    name="salesforce",
    label="Salesforce",
    level=Level.BRONZE,
    verified_against="an organisation in memory, made after Salesforce's guides; not against the real Salesforce",
    docs=COLLECTIONS,
    checked=CHECKED,
    base_url="https://{domain}.my.salesforce.com",
    settings=(
        Setting(name="domain", description="what stands before .my.salesforce.com in the organisation's address"),
        Setting(
            name="login",
            description="whether it is a sandbox",
            choices={"production": "https://login.salesforce.com", "sandbox": "https://test.salesforce.com"},
            default="production",
        ),
        Setting(
            name="username",
            description="for jwt_bearer: the user that writes",
            default="",
            pattern=r"[A-Za-z0-9._+@-]{1,200}",
        ),
    ),
    auth=EitherGrant(
        ways=(
            ClientCredentials(token_url=TOKENS, source=OAUTH, base_url_at="instance_url"),
            JwtBearer(
                token_url=TOKENS,
                source=OAUTH,
                issuer="{client_id}",
                subject="{username}",
                audience="{login}",
                base_url_at="instance_url",
            ),
        )
    ),
    buckets=(Bucket(name="daily", rate="100000/1d", source=LIMITS, checked=CHECKED),),
    throttles=(RetryAfter(), UsedOfMost(header="Sforce-Limit-Info", then_s=600), SaysNothing(then_s=30)),
    check=f"{API}/limits",
    objects=Objects(
        listing=Listing(path=f"{API}/sobjects", each="sobjects"), label="labelPlural", is_writable="createable"
    ),
    fields=Fields(
        listing=Listing(path=f"{API}/sobjects/{{object}}/describe", each="fields"),
        is_key="externalId",
        is_writable="updateable",
    ),
    encoding=Encoding(array="text", nested="text"),
    operations={
        Operation.UPSERT: collection("PATCH", "/{object}/{key_name}", PathKey(), is_idempotent=True),
        Operation.UPDATE: collection("PATCH", "", NamedKey(fields=("Id",)), is_idempotent=True),
        Operation.INSERT: collection("POST", "", NamedKey(), is_idempotent=False),
        Operation.DELETE: Write(
            method="DELETE",
            path=f"{API}/composite/sobjects?ids={{all_found}}&allOrNone=false",
            rows_at="",
            key=IDS,
            max_rows=COLLECTION,
            max_size=SIZE,
            is_idempotent=True,
            attribution=Aligned(status="success", reason=REASON.model_copy(update={"meanings": GONE, "renamed": {}})),
        ),
    },
    rules=(
        AnswerRule(status=(403,), at="0.errorCode", holds=("REQUEST_LIMIT_EXCEEDED",), then=Then.THROTTLED),
        AnswerRule(status=(400,), at="0.errorCode", holds=("UNABLE_TO_LOCK_ROW",), then=Then.LATER),
    ),
    refusal=Reason(code="0.errorCode", message="0.message", field="0.fields.0"),
)


class SalesforceSettings(settings_type(MANIFEST.name, MANIFEST.all_settings)):  # type: ignore[misc]  # made at run time
    """An organisation, who writes to it, and from how many rows on by a job."""

    bulk_from_rows: int = Field(default=2000, ge=2, le=100_000, description="a batch of so many rows becomes a job")


class SalesforceDestination(destination_of(MANIFEST)):  # type: ignore[misc]  # made at run time
    """Collections as the manifest says; batches that are large enough by a job."""

    name = MANIFEST.name
    settings_type = SalesforceSettings

    def __init__(self, settings: SalesforceSettings, http: HttpClient, clock: Clock) -> None:
        super().__init__(settings, http, clock)
        self._bulk_from_rows = settings.bulk_from_rows
        self._jobs = Jobs(self._caller, clock)

    async def plan(self, target: Target) -> WritePlan:
        plan: WritePlan = await super().plan(target)
        rows = self._settings.rows_per_batch or self._bulk_from_rows
        return replace(plan, rows_per_batch=rows, bytes_per_batch=BATCH_BYTES, requests_per_s=None)

    async def write(self, plan: WritePlan, batch: Batch) -> BatchResult:
        if len(batch.rows) >= self._bulk_from_rows and batch.operation is not Operation.DELETE:
            return BatchResult(batch, await self._jobs.run(plan.target, batch))
        outcomes: list[RowOutcome] = []
        while len(outcomes) < len(batch.rows):
            part = replace(batch, rows=batch.rows[len(outcomes) : len(outcomes) + COLLECTION_ROWS])
            try:
                outcomes += (await super().write(plan, part)).outcomes
            except (Unavailable, BatchRefused, InDoubt) as error:
                if not outcomes:
                    raise
                outcomes += _left_over(error, len(part.rows), len(batch.rows) - len(outcomes))
        return BatchResult(batch, outcomes)


@dataclass(slots=True)
class Jobs:
    """Jobs of Bulk API 2.0, by the batch that each was made for."""

    caller: Caller
    clock: Clock
    _running: dict[str, str] = field(default_factory=dict)

    async def run(self, target: Target, batch: Batch) -> Sequence[RowOutcome]:
        """What became of each row, once the job is done.

        :raises Unfinished: it is not done yet; the same batch may be written again, and no second job is made.
        :raises InDoubt: nobody can say what became of the rows.
        """
        fields = [MANIFEST.encoding.fields(body) for body in batch.bodies]
        keys = [as_text(each.get(target.key_fields[0])) for each in fields]
        unfit = [_unfit(each, key) for each, key in zip(fields, keys, strict=True)]
        sent = {at: each for at, each in enumerate(fields) if unfit[at] is None}
        if not sent:
            return [each for each in unfit if each is not None]
        job_id = self._running.get(batch.idempotency_key) or await self._submitted(target, batch, list(sent.values()))
        failed = await self._finished(job_id, batch.idempotency_key, target.key_fields[0], len(sent))
        if not failed.keys() <= {keys[at] for at in sent}:
            raise InDoubt("the results of the job name a key that was not sent")
        return [unfit[at] or failed.get(keys[at], DELIVERED) for at in range(len(fields))]

    async def _submitted(self, target: Target, batch: Batch, rows: Sequence[Mapping[str, object]]) -> str:
        """The id of a job that has all rows and works on them."""
        wanted = {
            "object": target.object_name,
            "operation": batch.operation,
            "contentType": "CSV",
            "lineEnding": "LF",
            "columnDelimiter": "COMMA",
        }
        if batch.operation is Operation.UPSERT:
            wanted["externalIdFieldName"] = target.key_fields[0]
        # A job that is not closed does nothing: until then an answer that is lost leaves nothing in doubt.
        made = await self._before_closing("POST", JOBS, dumped(wanted))
        job_id = text_at(made.document, "id")
        if not job_id.isalnum():
            raise DestinationUnavailable("the answer to the request for a job names none")
        await self._before_closing("PUT", f"{JOBS}/{job_id}/batches", _table(target.fields, rows), media="text/csv")
        self._running[batch.idempotency_key] = job_id
        await self.caller.send("PATCH", f"{JOBS}/{job_id}", dumped({"state": "UploadComplete"}))
        return job_id

    async def _before_closing(self, method: Method, path: str, body: bytes, media: str = "application/json") -> Answer:
        try:
            return await self.caller.send(method, path, body, media=media)
        except InDoubt as error:
            raise DestinationUnavailable(error.message) from error

    async def _finished(self, job_id: str, batch_id: str, key_name: str, rows: int) -> Mapping[str, RowOutcome]:
        """The rows that failed, by key."""
        until = self.clock.monotonic() + WRITE_S
        while (state := text_at(job := await self.caller.ask(f"{JOBS}/{job_id}"), "state")) not in ENDS:
            if state == "Open":  # the answer to its closing was lost on the way there
                await self.caller.send("PATCH", f"{JOBS}/{job_id}", dumped({"state": "UploadComplete"}))
            if self.clock.monotonic() >= until:
                raise Unfinished("the job is not done yet", retry_after_s=POLL_S)
            await self.clock.sleep(POLL_S)
        failed = await self._told(job_id, "failedResults", key_name)
        left = await self._told(job_id, "unprocessedrecords", key_name)
        del self._running[batch_id]
        processed, refused = number_at(job, "numberRecordsProcessed"), number_at(job, "numberRecordsFailed")
        if refused != len(failed) or (processed or 0) + len(left) != rows:
            raise InDoubt(f"the job counts {processed or 0:g} processed and {refused or 0:g} failed of {rows} rows")
        return {**left, **failed}

    async def _told(self, job_id: str, which: str, key_name: str) -> dict[str, RowOutcome]:
        answer = await self.caller.send("GET", f"{JOBS}/{job_id}/{which}", media="text/csv")
        rows = csv.DictReader(StringIO(answer.body.decode(errors="replace"), newline=""))
        return {row.get(key_name) or "": _outcome(row) for row in rows}


def _table(names: Sequence[str], rows: Sequence[Mapping[str, object]]) -> bytes:
    text = StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(names)
    table.writerows([[_cell(row, name) for name in names] for row in rows])
    return text.getvalue().encode()


def _cell(row: Mapping[str, object], name: str) -> str:
    """A value of the table; an empty one leaves a field as it is."""
    return as_text(row[name]) or NULL if name in row else ""


def _unfit(fields: Mapping[str, object], key: str) -> RowOutcome | None:
    if not key:
        return rejected("EMPTY_KEY", "the destination needs a value in the key")
    name = next((name for name, value in fields.items() if value == NULL), None)
    told = f"a job takes the text {NULL} for NULL"
    return None if name is None else rejected("NOT_REPRESENTABLE", told, field=name)


def _outcome(row: Mapping[str, str]) -> RowOutcome:
    """What became of a row that failed, or that the job did not come to."""
    if "sf__Error" not in row:
        return retry("NOT_PROCESSED", "the job ended before it came to this row")
    code, _, message = row["sf__Error"].partition(":")
    return REASON.outcome({"errors": [{"statusCode": code, "message": message}]})


def _left_over(error: TailraceError, part: int, rows: int) -> Sequence[RowOutcome]:
    """Outcomes of rows whose request failed after others of the batch had been applied."""
    wait_s = error.retry_after_s if isinstance(error, Throttled) else None
    rest = retry("NOT_SENT", "an earlier request of the batch failed", retry_after_s=wait_s)
    first = unknown(error.message) if isinstance(error, InDoubt) else rest
    return [first] * part + [rest] * (rows - part)
