"""Salesforce: records by collections, and from 2,000 rows by jobs of Bulk API 2.0. Not verified against Salesforce.

Upserts are by an external id, updates by `Id`; inserts add records blindly, as far as no unique field forbids it.
Deletes ask for the ids of an external id first; a record that is not there is deleted, and a key that several records
have is rejected.
Objects and fields are those that describe calls show. NULL clears a field. The credentials are those of a connected
app, by client credentials or by an assertion (JWT) for a user.

Fewer rows than `bulk_from_rows` go 200 a request, one after the other; what a failed request keeps from being sent is
tried again. More rows become a job, deletes too, with the ids that were found: created, filled, closed, and asked about
until it is done. A job that takes longer than a write may is asked about again by the next attempt with the same batch,
for six hours in all.
Its results come in any order and are joined by the key; its counts must come out. In a job `#N/A` stands for NULL, so a
text of just that is rejected there, and an empty cell for a field that is left out.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import date

from pydantic import Field

from tailrace.connector_kit.destination import Level, Target, WritePlan
from tailrace.connector_kit.http import HttpClient
from tailrace.connector_kit.long_jobs import LongJobs
from tailrace.connector_kit.manifest.answer_rules import AnswerRule, Then
from tailrace.connector_kit.manifest.attribution import Aligned, Reason
from tailrace.connector_kit.manifest.auth import ClientCredentials, EitherGrant, JwtBearer
from tailrace.connector_kit.manifest.delivery import AMBIGUOUS
from tailrace.connector_kit.manifest.encoding import Encoding, as_text
from tailrace.connector_kit.manifest.engine import destination_of
from tailrace.connector_kit.manifest.limits import Bucket, RowLimit, SizeLimit
from tailrace.connector_kit.manifest.model import Fields, Listing, Manifest, Objects
from tailrace.connector_kit.manifest.settings import Setting, settings_type
from tailrace.connector_kit.manifest.templates import Slot
from tailrace.connector_kit.manifest.throttles import RetryAfter, SaysNothing, UsedOfMost
from tailrace.connector_kit.manifest.writes import Ask, LookedUpKey, NamedKey, PathKey, Write
from tailrace.connector_kit.salesforce_jobs import POLL_S, Jobs, Load, why_unfit
from tailrace.connector_kit.twins import refuse_twins
from tailrace.core.batches import Batch, BatchResult
from tailrace.core.clock import Clock
from tailrace.core.errors import BatchRefused, InDoubt, TailraceError, Throttled, Unavailable
from tailrace.core.rows import DELIVERED, Operation, RowOutcome, retry, unknown

CHECKED = date(2026, 11, 22)
API = "/services/data/v62.0"
DOCS = "https://developer.salesforce.com/docs/atlas.en-us."
COLLECTIONS = DOCS + "api_rest.meta/api_rest/resources_composite_sobjects_collections.htm"
LIMITS = (
    DOCS + "salesforce_app_limits_cheatsheet.meta/salesforce_app_limits_cheatsheet/salesforce_app_limits_overview.htm"
)
OAUTH = "https://help.salesforce.com/s/articleView?id=sf.remoteaccess_oauth_jwt_flow.htm"
TOKENS = "https://{domain}.my.salesforce.com/services/oauth2/token"

COLLECTION_ROWS = 200
BATCH_BYTES = 16_000_000
"""A job takes 150 MB; this is what a process may hold of one batch."""

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
ABSENT = REASON.model_copy(update={"meanings": GONE, "renamed": {}})
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
    whole="done",
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
    verified_against=(
        "Salesforce's guide to collections, release 264, the jobs that simple-salesforce 1.12.10 makes, and an"
        " organisation in memory; not against the real Salesforce"
    ),
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
            attribution=Aligned(status="success", reason=ABSENT),
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
        self._jobs = Jobs(self._caller, LongJobs(clock, POLL_S), f"{API}/jobs/ingest")
        self._ids_by_batch: dict[str, Sequence[Collection[str] | RowOutcome]] = {}

    async def plan(self, target: Target) -> WritePlan:
        plan: WritePlan = await super().plan(target)
        rows = self._settings.rows_per_batch or self._bulk_from_rows
        return replace(plan, rows_per_batch=rows, bytes_per_batch=BATCH_BYTES, requests_per_s=None)

    async def write(self, plan: WritePlan, batch: Batch) -> BatchResult:
        if len(batch.rows) >= self._bulk_from_rows:
            by_job = self._delete_by_job if batch.operation is Operation.DELETE else self._write_by_job
            return BatchResult(batch, await by_job(plan, batch))
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

    async def _write_by_job(self, plan: WritePlan, batch: Batch) -> Sequence[RowOutcome]:
        target, key_name = plan.target, plan.target.key_fields[0]
        fields = [MANIFEST.encoding.fields(body) for body in batch.bodies]
        keys = [as_text(each.get(key_name)) for each in fields]
        unfit = [why_unfit(each, key) for each, key in zip(fields, keys, strict=True)]
        refuse_twins([key for key, why in zip(keys, unfit, strict=True) if why is None])
        rows = {key: each for key, each, why in zip(keys, fields, unfit, strict=True) if why is None}
        load = Load(target.object_name, batch.operation, key_name, target.fields, rows, REASON)
        failed = await self._jobs.failed(batch.idempotency_key, load) if rows else {}
        return [why or failed.get(key, DELIVERED) for key, why in zip(keys, unfit, strict=True)]

    async def _delete_by_job(self, plan: WritePlan, batch: Batch) -> Sequence[RowOutcome]:
        """What a job that runs was made for is not looked up again: it may be gone by then."""
        batch_id = batch.idempotency_key
        try:
            found = self._ids_by_batch[batch_id] = await self._ids(plan, batch)
            settled = [_not_to_delete(each) for each in found]
            ids = [next(iter(each), "") if isinstance(each, Collection) else "" for each in found]
            rows = {id_: {"Id": id_} for id_, done in zip(ids, settled, strict=True) if done is None}
            load = Load(plan.target.object_name, batch.operation, "Id", ("Id",), rows, ABSENT)
            failed = await self._jobs.failed(batch_id, load) if rows else {}
        finally:
            if self._jobs.running.id_of(batch_id) is None:
                self._ids_by_batch.pop(batch_id, None)
        return [done or failed.get(id_, DELIVERED) for id_, done in zip(ids, settled, strict=True)]

    async def _ids(self, plan: WritePlan, batch: Batch) -> Sequence[Collection[str] | RowOutcome]:
        if batch.idempotency_key in self._ids_by_batch:
            return self._ids_by_batch[batch.idempotency_key]
        starts = range(0, len(batch.rows), COLLECTION_ROWS)
        parts = [replace(batch, rows=batch.rows[at : at + COLLECTION_ROWS]) for at in starts]
        return [each for part in parts for each in await self.found(plan, part, IDS)]


def _not_to_delete(found: Collection[str] | RowOutcome) -> RowOutcome | None:
    """What is decided of a row to delete by what was found of it; None of one with one id."""
    if isinstance(found, RowOutcome):
        return found
    if not found:
        return DELIVERED
    return AMBIGUOUS if len(found) > 1 else None


def _left_over(error: TailraceError, part: int, rows: int) -> Sequence[RowOutcome]:
    """Outcomes of rows whose request failed after others of the batch had been applied."""
    wait_s = error.retry_after_s if isinstance(error, Throttled) else None
    rest = retry("NOT_SENT", "an earlier request of the batch failed", retry_after_s=wait_s)
    first = unknown(error.message) if isinstance(error, InDoubt) else rest
    return [first] * part + [rest] * (rows - part)
