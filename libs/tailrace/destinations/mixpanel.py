"""Mixpanel: profiles of users and of groups, and events, up to two thousand a request. Not verified against Mixpanel.

Profiles are known by `$distinct_id`, those of groups by `$group_id`: `group:company` is the object of the group key
`company`, which Mixpanel does not list. Mixpanel's own properties are mapped by their names, `$name` and `$email`; any
other field becomes a property. A NULL clears one, by a second request. A delete takes the profile alone, for good; what
is an alias to Mixpanel leads to the profile that it stands for. Where a row of a request is refused, the others are
sent again: whether they were taken is not confirmed.

Events are appended: map `event`, `distinct_id`, `time`, `$insert_id` and `ip`; what else has a value becomes a
property. Of events with the same name, user, time and insert id Mixpanel shows one: map what tells a row from all
others, as a text if it is several columns, and it may come again in the next batch or run. It is sent as its MD5, as
Mixpanel takes 36 bytes of letters, digits and `-` alone; so it meets no event that came to Mixpanel in another way.
`ip` is where a person was: without it, Mixpanel takes the sender's for it. Map the constant 0 if there is none. A time
without a zone is UTC; Mixpanel refuses one before 1971 or more than an hour ahead, and names such as `anonymous`,
`null` or `0` for a user.

Events and the check of a connection need the project's id and a service account that is admin or owner; profiles go by
the project's token, which every page that uses Mixpanel shows, and which is no secret. What Mixpanel answers to
profiles is described by words alone, a `status` and an error for each record: that the form is that of events, and that
`strict` and `verbose` go together, is not confirmed. The `status` says that some record was valid and nothing of the
token, so the books say `NOT_VERIFIED` of profiles: look into Mixpanel after the first run, as nobody is told of a wrong
token. Of events Mixpanel counts what it took, which must come out. It cuts texts after 255 characters and tells nobody.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

from tailrace.connector_kit.destination import Clearing, Level, WritePlan
from tailrace.connector_kit.manifest.answer_rules import AnswerRule, Then
from tailrace.connector_kit.manifest.attribution import Indexed, Reason
from tailrace.connector_kit.manifest.auth import Basic
from tailrace.connector_kit.manifest.encoding import Encoding, dumped
from tailrace.connector_kit.manifest.engine import destination_of
from tailrace.connector_kit.manifest.limits import Bucket, RowLimit, SizeLimit
from tailrace.connector_kit.manifest.model import Fields, Kind, KnownField, KnownObject, Manifest, Objects
from tailrace.connector_kit.manifest.settings import Setting
from tailrace.connector_kit.manifest.templates import Slot, Template
from tailrace.connector_kit.manifest.throttles import RetryAfter, SaysNothing
from tailrace.connector_kit.manifest.writes import IdentityKey, Write
from tailrace.core.batches import Batch, BatchResult
from tailrace.core.rows import Operation, Row, Verdict

CHECKED = date(2026, 11, 23)
DOCS = "https://docs.mixpanel.com/reference/"
IMPORT = f"{DOCS}import-events"

UNSET = "$unset"
"""The field of a row that names the properties to clear."""

ROW_SIZE = SizeLimit(at_most="1 MB", source=f"{DOCS}user-profile-limits", checked=CHECKED)
REFUSED = "failed_records"
OF_A_RECORD = Reason(field="field")
ANSWERS = (
    AnswerRule(status=(200,), at="status", holds=("OK", "1"), then=Then.READ),
    AnswerRule(status=(200,), at="status", holds=("0",), then=Then.REFUSED),
    AnswerRule(status=(200,), then=Then.IN_DOUBT),
    AnswerRule(status=(400,), at=REFUSED, exists=True, then=Then.READ),
)


def profiles(path: str, page: str, key: str, more: dict[str, Template]) -> dict[Operation, Write]:
    """Profiles are written to and deleted by the same requests."""
    who: dict[str, Template] = {"$$token": "$settings.project_token", **more, f"${key}": Slot.KEY}
    rows = {Operation.UPSERT: who | {"$$set": Slot.OTHERS}, Operation.DELETE: who | {"$$delete": ""}}
    return {
        operation: Write(
            path=f"/{path}?strict=1&verbose=1&ip=0",
            rows_at="",
            row=row,
            key=IdentityKey(fields=(key,)),
            max_rows=RowLimit(at_most="2000 rows", source=DOCS + page, checked=CHECKED),
            max_size=SizeLimit(at_most="10 MB", source=IMPORT, checked=CHECKED, note="that of events: none is named"),
            max_row_size=ROW_SIZE,
            is_idempotent=True,
            attribution=Indexed(errors=REFUSED, rest="retry", is_final=False, reason=OF_A_RECORD),
            rules=ANSWERS,
        )
        for operation, row in rows.items()
    }


GROUPS = Kind(
    objects=Objects(prefix="group:"),
    fields=Fields(
        known=(KnownField(name="$group_id", label="Group id", is_key=True), KnownField(name="$name", label="Name")),
        are_all=False,
    ),
    operations=profiles("groups", "limits-1", "$group_id", {"$$group_key": Slot.OBJECT}),
)
EVENTS = Kind(
    objects=Objects(known=(KnownObject(name="events", label="Events"),)),
    fields=Fields(
        known=(
            KnownField(name="event", label="Name of the event"),
            KnownField(name="distinct_id", label="Distinct id of the user"),
            KnownField(name="time", label="Time", data_type="date-time"),
            KnownField(name="$insert_id", label="What tells the event from all others"),
            KnownField(name="ip", label="IP address, or 0"),
        ),
        are_all=False,
    ),
    operations={
        Operation.INSERT: Write(
            path="/import?strict=1&project_id={settings.project_id}",
            rows_at="",
            row={
                "event": "$fields.event",
                "properties": {
                    "*": Slot.OTHERS,
                    "distinct_id": "$fields.distinct_id",
                    "time": "$fields.time|epoch_ms",
                    "$$insert_id": "$fields.$insert_id|md5",
                    "ip": "$fields.ip",
                },
            },
            key=IdentityKey(fields=("event", "distinct_id")),
            appends=True,
            max_rows=RowLimit(at_most="2000 rows", source=IMPORT, checked=CHECKED),
            max_size=SizeLimit(
                at_most="10 MB", source=IMPORT, checked=CHECKED, note="an example of a refusal there speaks of 2 MiB"
            ),
            max_row_size=ROW_SIZE,
            is_idempotent=True,
            attribution=Indexed(errors=REFUSED, taken_count="num_records_imported", reason=OF_A_RECORD),
            rules=ANSWERS,
        )
    },
)

MANIFEST = Manifest(
    name="mixpanel",
    label="Mixpanel",
    level=Level.BRONZE,
    verified_against="Mixpanel's API description of 2026-08-21 by made-up answers; not against the real Mixpanel",
    docs=f"{DOCS}ingestion-api",
    checked=CHECKED,
    base_url="{region}",
    settings=(
        Setting(
            name="region",
            description="where the project's data is kept",
            choices={
                "us": "https://api.mixpanel.com",
                "eu": "https://api-eu.mixpanel.com",
                "in": "https://api-in.mixpanel.com",
            },
            default="us",
        ),
        Setting(name="project_id", description="the project's id", pattern="[0-9]{1,20}", example="1234567"),
        Setting(
            name="project_token",
            description="the project's token, by which profiles are written",
            pattern="[A-Za-z0-9]{1,64}",
            example="a0b1c2d3e4f5a0b1c2d3e4f5a0b1c2d3",
        ),
    ),
    auth=Basic(names=("service_account", "service_account_secret")),
    buckets=(
        Bucket(
            name="ingestion",
            rate="15/1s",
            source=IMPORT,
            checked=CHECKED,
            note="30,000 events a second by 2,000 a request; besides, 2 GB a minute",
        ),
    ),
    throttles=(RetryAfter(), SaysNothing(then_s=2)),
    check="/lookup-tables?project_id={project_id}",
    objects=Objects(known=(KnownObject(name="profiles", label="User profiles"),)),
    fields=Fields(
        known=(
            KnownField(name="$distinct_id", label="Distinct id", is_key=True),
            KnownField(name="$name", label="Name"),
            KnownField(name="$email", label="Email"),
            KnownField(name="$phone", label="Phone"),
            KnownField(name="$avatar", label="Picture"),
            KnownField(name="$created", label="Created", data_type="date-time"),
        ),
        are_all=False,
    ),
    encoding=Encoding(null="left_out", key="text"),
    operations=profiles("engage", "user-profile-limits", "$distinct_id", {}),
    kinds=(GROUPS, EVENTS),
    refusal=Reason(message="error", renamed={"400": "HTTP_400"}),
)


class MixpanelDestination(destination_of(MANIFEST)):  # type: ignore[misc]  # made at run time
    """What the manifest says, and after it the properties cleared that are NULL: a record does one thing."""

    clearing = Clearing.BY_NULL

    async def write(self, plan: WritePlan, batch: Batch) -> BatchResult:
        written: BatchResult = await super().write(plan, batch)
        if plan.target.operation is not Operation.UPSERT:
            return written
        told = zip(batch.rows, written.outcomes, strict=True)
        unset = [
            _unset(row, plan.target.key_fields[0]) if outcome.verdict is Verdict.DELIVERED else None
            for row, outcome in told
        ]
        rows = [row for row in unset if row is not None]
        if not rows:
            return written
        operation: Write = self._operation(plan)
        cleared = await self._written(plan, replace(batch, rows=rows), _clearing(operation))
        outcomes = iter(cleared.outcomes)
        pairs = zip(unset, written.outcomes, strict=True)
        return BatchResult(batch, [known if row is None else next(outcomes) for row, known in pairs])


def _clearing(write: Write) -> Write:
    """The operation that clears properties of the same profiles."""
    row = write.row if isinstance(write.row, Mapping) else {}
    who = {name: value for name, value in row.items() if name != "$$set"}
    return write.model_copy(update={"row": who | {"$$unset": f"$fields.{UNSET}"}})


def _unset(row: Row, key: str) -> Row | None:
    """The key of a row with the names of what is NULL in it; None where nothing is."""
    if b"null" not in row.body:
        return None
    fields = Encoding().fields(row.body)
    names: Sequence[str] = [name for name, value in fields.items() if value is None]
    return replace(row, body=dumped({key: fields.get(key), UNSET: names})) if names else None
