"""Klaviyo: profiles, by import jobs or one by one; events; members of lists. Not verified against Klaviyo.

Profiles are known by `external_id`, `email` or `phone_number` (as `+15005550006`); Klaviyo's own id is no key here.
Klaviyo's attributes are mapped by their names, an address as one object, `location`. Any other field becomes a custom
property.

From `bulk_from_rows` rows on, 50 if not set, a batch becomes an import job of up to 10,000 profiles or 5 MB, each of up
to 100 kB. It is asked about until it is done; one that takes longer than a write may is asked about again by the next
attempt, for six hours in all. An import cannot clear a field. So a row with a NULL goes by itself, which clears it, and
is slow, 750 a minute: let mappings `skip` NULL where nothing has to be cleared. Failures of a job are told by the row's
key in `original_payload`, else by the position in `source.pointer`. Klaviyo documents neither closely: where rows are
not named, or counts do not come out, the batch is sent again in halves, down to rows that go by themselves.

Profiles are not deleted: Klaviyo does so for data privacy alone, one a request, all that belongs to a person, for good.
To take people out, mirror to a list: `list:...` adds profiles that are there, by any key, and consents to nothing.

Events are appended: map `metric`, its name, any key of the profile, and `time`, `value`, `value_currency` or
`backfill`; other fields become their properties. Metrics and profiles that Klaviyo does not know are made. It accepts
events and says no more. Each has a `unique_id`, the same when its batch is sent again after a lost answer. Should
Klaviyo then refuse a batch for events that it has, its halves have other ids, and the events may be taken twice.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

from pydantic import Field

from tailrace.connector_kit.destination import Level, Target, WritePlan
from tailrace.connector_kit.http import HttpClient
from tailrace.connector_kit.klaviyo_jobs import JOB, POLL_S, PROFILE, PROFILE_SIZE, ROWS, SIZE, Imports
from tailrace.connector_kit.long_jobs import LongJobs
from tailrace.connector_kit.manifest.attribution import AllOrNothing, Reason, Single
from tailrace.connector_kit.manifest.auth import ApiKey
from tailrace.connector_kit.manifest.encoding import Encoding
from tailrace.connector_kit.manifest.engine import destination_of
from tailrace.connector_kit.manifest.limits import Bucket, RowLimit, SizeLimit
from tailrace.connector_kit.manifest.model import Fields, Kind, KnownField, KnownObject, Listing, Manifest, Objects
from tailrace.connector_kit.manifest.rendering import Rendered, empty_bytes
from tailrace.connector_kit.manifest.settings import settings_type
from tailrace.connector_kit.manifest.templates import Slot, Template
from tailrace.connector_kit.manifest.throttles import RetryAfter
from tailrace.connector_kit.manifest.writes import Ask, IdentityKey, LookedUpKey, Write
from tailrace.connector_kit.masking import all_masked, secret_words
from tailrace.core.batches import Batch, BatchResult
from tailrace.core.clock import Clock
from tailrace.core.errors import BatchRefused, Throttled, Unfinished
from tailrace.core.rows import Operation, RowOutcome

CHECKED = date(2026, 11, 23)
REVISION = "2026-07-15"
DOCS = "https://developers.klaviyo.com/en/reference/"
JSON_API = "application/vnd.api+json"
KEYS = ("external_id", "email", "phone_number")
PROFILES = "profiles"
PAGE = "page%5Bsize%5D"

WRITE_S = 45.0
"""How long a write goes on, less than the engine gives it."""

PAUSE_S = 1.0

EVENT: Template = {
    "type": "event",
    "attributes": {
        "*": Slot.KNOWN,
        "properties": Slot.CUSTOM,
        "metric": {"data": {"type": "metric", "attributes": {"name": "$fields.metric"}}},
        "unique_id": Slot.ULID,
    },
}
EVENTS = Kind(
    objects=Objects(known=(KnownObject(name="events", label="Events"),)),
    fields=Fields(
        known=(
            KnownField(name="metric", label="Name of the metric"),
            KnownField(name="time", label="Time", data_type="date-time"),
            KnownField(name="value", label="Value", data_type="number"),
            KnownField(name="value_currency", label="Currency of the value"),
            KnownField(name="backfill", label="Starts no flow", data_type="boolean"),
        ),
        are_all=False,
    ),
    operations={
        Operation.INSERT: Write(
            path="/api/event-bulk-create-jobs",
            body={"data": {"type": "event-bulk-create-job"}},
            rows_at="data.attributes.events-bulk-create.data",
            row={
                "type": "event-bulk-create",
                "attributes": {
                    "profile": {"data": {"type": "profile", "attributes": Slot.IDENTITY}},
                    "events": {"data": [EVENT]},
                },
            },
            key=IdentityKey(fields=KEYS),
            appends=True,
            max_rows=RowLimit(at_most="1000 rows", source=f"{DOCS}bulk_create_events", checked=CHECKED),
            max_size=SizeLimit(at_most="5 MB", source=f"{DOCS}bulk_create_events", checked=CHECKED),
            is_idempotent=True,
            attribution=AllOrNothing(is_final=False),
            bucket="bulk",
        )
    },
)


def members(method: str, page: str) -> Write:
    """Profiles are added to a list or taken out by the ids that Klaviyo gave them."""
    key_fields = "fields%5Bprofile%5D={key_name}"
    ask = Ask(
        method="GET",
        path=f"/api/profiles?filter=any({{key_name}},[{{all_keys|json}}])&{key_fields}&{PAGE}=100",
        rows_at="",
    )
    return Write.model_validate(
        {
            "method": method,
            "deletes_by_body": method == "DELETE",
            "path": "/api/lists/{object}/relationships/profiles",
            "rows_at": "data",
            "row": {"type": "profile", "id": Slot.FOUND},
            "key": LookedUpKey(fields=KEYS, ask=ask, each="data", id="id", key="attributes.{key_name}", fold="lower"),
            "max_rows": RowLimit(
                at_most="100 rows", source=f"{DOCS}get_profiles", checked=CHECKED, note="a page of profiles"
            ),
            "max_size": SizeLimit(
                at_most="5 MB", source=DOCS + page, checked=CHECKED, note="a size of ours: Klaviyo names none"
            ),
            "is_idempotent": True,
            "attribution": AllOrNothing(),
            "bucket": "bulk",
        }
    )


LISTS = Kind(
    has_members=True,
    objects=Objects(
        prefix="list:",
        listing=Listing(path="/api/lists", each="data", next="links.next", cursor="page[cursor]"),
        name="id",
        label="attributes.name",
    ),
    operations={
        Operation.UPSERT: members("POST", "add_profiles_to_list"),
        Operation.DELETE: members("DELETE", "remove_profiles_from_list"),
    },
)

MANIFEST = Manifest(
    name="klaviyo",
    label="Klaviyo",
    level=Level.BRONZE,
    verified_against=(
        "Klaviyo's API description, revision 2026-07-15, by made-up answers and an account in memory;"
        " not against the real Klaviyo"
    ),
    docs=DOCS + "api_overview",
    checked=CHECKED,
    base_url="https://a.klaviyo.com",
    headers={"revision": REVISION, "Accept": JSON_API, "Content-Type": JSON_API},
    auth=ApiKey(
        header="Authorization",
        value="Klaviyo-API-Key {api_key}",
        description="a private key with profiles, lists (to read and write) and events (to write)",
    ),
    buckets=(
        Bucket(name="profiles", rate="750/1min", source=f"{DOCS}create_or_update_profile", checked=CHECKED),
        Bucket(name="bulk", rate="150/1min", source=f"{DOCS}bulk_import_profiles", checked=CHECKED),
    ),
    throttles=(RetryAfter(),),
    check=f"/api/lists?{PAGE}=1",
    objects=Objects(known=(KnownObject(name=PROFILES, label="Profiles"),)),
    fields=Fields(
        known=(
            KnownField(name="external_id", label="External id", is_key=True),
            KnownField(name="email", label="Email", is_key=True),
            KnownField(name="phone_number", label="Phone number", is_key=True),
            KnownField(name="first_name", label="First name"),
            KnownField(name="last_name", label="Last name"),
            KnownField(name="organization", label="Organization"),
            KnownField(name="locale", label="Locale"),
            KnownField(name="title", label="Title"),
            KnownField(name="image", label="Image"),
            KnownField(name="location", label="Location", data_type="object"),
        ),
        are_all=False,
    ),
    encoding=Encoding(key="text"),
    operations={
        Operation.UPSERT: Write(
            path="/api/profile-import",
            row={"data": PROFILE},
            key=IdentityKey(fields=KEYS),
            max_rows=RowLimit(at_most="1 rows", source=f"{DOCS}create_or_update_profile", checked=CHECKED),
            max_size=PROFILE_SIZE,
            max_row_size=PROFILE_SIZE,
            is_idempotent=True,
            attribution=Single(),
            bucket="profiles",
        ),
    },
    kinds=(LISTS, EVENTS),
    refusal=Reason(code="errors.0.code", message="errors.0.detail", field="errors.0.source.pointer"),
)


class KlaviyoSettings(settings_type(MANIFEST.name, MANIFEST.all_settings)):  # type: ignore[misc]  # made at run time
    """An account, and from how many rows on profiles are imported by a job."""

    bulk_from_rows: int = Field(default=50, ge=2, le=10_000, description="a batch of so many profiles becomes a job")


class KlaviyoDestination(destination_of(MANIFEST)):  # type: ignore[misc]  # made at run time
    """What the manifest says, and batches of profiles that are large enough by a job."""

    name = MANIFEST.name
    settings_type = KlaviyoSettings

    def __init__(self, settings: KlaviyoSettings, http: HttpClient, clock: Clock) -> None:
        super().__init__(settings, http, clock)
        self._bulk_from_rows = settings.bulk_from_rows
        self._imports = Imports(self._caller, LongJobs(clock, POLL_S), settings.bytes_per_batch or SIZE.size_bytes)
        self._done_by_batch: dict[str, dict[int, RowOutcome]] = {}

    async def plan(self, target: Target) -> WritePlan:
        plan: WritePlan = await super().plan(target)
        if target.object_name != PROFILES:
            # A list asks for ids by one page of profiles: who is not on it would be taken for one who is not there.
            return replace(plan, rows_per_batch=min(plan.rows_per_batch, self._operation(plan).max_rows.rows))
        rows, most_bytes = self._settings.rows_per_batch or ROWS.rows, self._imports.most_bytes
        empty = min(empty_bytes(JOB, self._frame(target), rows), most_bytes // 2)
        pace = self._pressure.requests_per_s("bulk")
        return replace(plan, rows_per_batch=rows, bytes_per_batch=most_bytes - empty, requests_per_s=pace)

    async def write(self, plan: WritePlan, batch: Batch) -> BatchResult:
        if plan.target.object_name != PROFILES:
            written: BatchResult = await super().write(plan, batch)
            return written
        done = self._done_by_batch.setdefault(batch.idempotency_key, {})
        before = len(done)
        try:
            await self._go_on(plan, batch, done)
        except BatchRefused:
            del self._done_by_batch[batch.idempotency_key]  # it goes on in halves, which are other batches
            raise
        except Throttled as throttled:
            if len(done) == before:
                raise
            # Some rows got through, so that this silence is not a part of the last one.
            raise Unfinished(throttled.message, retry_after_s=throttled.retry_after_s) from throttled
        del self._done_by_batch[batch.idempotency_key]
        return BatchResult(batch, [done[at] for at in range(len(batch.rows))])

    async def _go_on(self, plan: WritePlan, batch: Batch, done: dict[int, RowOutcome]) -> None:
        """Write the rows that are not done.

        :raises Unfinished: there are still some; the same batch written again goes on where this one stopped.
        """
        until = self._clock.monotonic() + WRITE_S
        made = enumerate(self._made(plan, batch))
        together = {at: row for at, row in made if isinstance(row, Rendered) and not _clears(row)}
        if len(together) >= self._bulk_from_rows and not together.keys() <= done.keys():
            told = await self._imports.outcomes(self._frame(plan.target, batch.idempotency_key), together, until)
            done |= zip(told, all_masked(told.values(), secret_words(self._sign_in.secrets)), strict=True)
        for at in [at for at in range(len(batch.rows)) if at not in done]:
            if self._clock.monotonic() >= until:
                raise Unfinished("the profiles go one by one", retry_after_s=PAUSE_S)
            [done[at]] = (await super().write(plan, replace(batch, rows=[batch.rows[at]]))).outcomes


def _clears(row: Rendered) -> bool:
    """Whether it has a NULL, which an import would leave out."""
    location = row.fields.get("location")
    parts = location.values() if isinstance(location, Mapping) else ()
    return None in row.fields.values() or None in parts
