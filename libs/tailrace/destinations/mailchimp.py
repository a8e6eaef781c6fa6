"""Mailchimp: contacts of audiences, five hundred a request. Not verified against Mailchimp.

An object is an audience, whose contacts are known by `email_address`. `status` must be mapped, as a constant if it is
the same for all: an upsert sets it, so that `subscribed` subscribes somebody again who has left since. Merge fields are
mapped by their tags, such as `FNAME`; an address is one object. `tags` is a list of names, which are added: none is
taken away. NULL is sent as an empty text, which clears a merge field: let mappings `skip` NULL in other fields. What a
row lacks keeps what it holds, which is not confirmed for merge fields. Required merge fields may be missing, unless
`required_merge_fields` says `checked`.

A delete archives a contact, one a request. Mailchimp archives nobody who is archived already, pending or cleaned, and
does not say which: so it is asked, and who is archived counts as deleted. The others are rejected. The data center is
the end of the API key, `us6` of `...-us6`.

Mailchimp takes ten requests at once for a user and says nothing about how long to wait. A 403 without an explanation is
taken for a throttle too, as others report it under much load.
"""

from datetime import date

from tailrace.connector_kit.destination import Level, WritePlan
from tailrace.connector_kit.field_kinds import FieldKind
from tailrace.connector_kit.manifest.answer_rules import AnswerRule, Then
from tailrace.connector_kit.manifest.attribution import Keyed, Reason, Single
from tailrace.connector_kit.manifest.auth import Basic
from tailrace.connector_kit.manifest.encoding import Encoding
from tailrace.connector_kit.manifest.engine import destination_of
from tailrace.connector_kit.manifest.limits import Bucket, RowLimit, SizeLimit
from tailrace.connector_kit.manifest.model import Fields, KnownField, Listing, Manifest, Objects
from tailrace.connector_kit.manifest.parts import text_at
from tailrace.connector_kit.manifest.rendering import Rendered, path_of
from tailrace.connector_kit.manifest.settings import Setting
from tailrace.connector_kit.manifest.templates import Slot
from tailrace.connector_kit.manifest.throttles import TooManyAtOnce
from tailrace.connector_kit.manifest.writes import IdentityKey, PathKey, Write
from tailrace.core.batches import Batch, BatchResult
from tailrace.core.errors import DestinationInvalid
from tailrace.core.rows import DELIVERED, Operation, RowOutcome

CHECKED = date(2026, 11, 23)
DOCS = "https://mailchimp.com/developer/marketing/api/"
BATCH = f"{DOCS}lists/batch-subscribe-or-unsubscribe/"
ARCHIVE = f"{DOCS}list-members/archive-list-member/"
LIMITS = "https://mailchimp.com/developer/marketing/docs/fundamentals/"
CANNOT_BE_ARCHIVED = "CANNOT_BE_ARCHIVED"
SIZE = SizeLimit(at_most="4 MB", source=BATCH, checked=CHECKED, note="a size of ours: Mailchimp names none")

MANIFEST = Manifest(
    name="mailchimp",
    label="Mailchimp",
    level=Level.BRONZE,
    verified_against="Mailchimp's API description, 3.0.55, by made-up answers; not against the real Mailchimp",
    docs=f"{DOCS}lists/",
    checked=CHECKED,
    base_url="https://{data_center}.api.mailchimp.com/3.0",
    settings=(
        Setting(
            name="data_center",
            description="what stands behind the - of the API key",
            pattern="[a-z]{2}[0-9]{1,3}",
            example="us6",
        ),
        Setting(
            name="required_merge_fields",
            description="whether a row without a merge field that the audience requires is refused",
            choices={"ignored": "true", "checked": "false"},
            default="ignored",
        ),
    ),
    auth=Basic(names=("user", "api_key"), fixed_user="tailrace"),
    buckets=(
        Bucket(
            name="requests",
            rate="10/1s",
            source=LIMITS,
            checked=CHECKED,
            note="a number of ours: Mailchimp counts requests at once, ten",
        ),
    ),
    throttles=(TooManyAtOnce(then_s=2),),
    check="/ping",
    objects=Objects(
        listing=Listing(path="/lists?fields=lists.id,lists.name&count=1000", each="lists"), name="id", label="name"
    ),
    fields=Fields(
        known=(
            KnownField(name="email_address", label="Email address", is_key=True),
            KnownField(name="status", label="Status"),
            KnownField(name="tags", label="Tags", data_type="array"),
            KnownField(name="email_type", label="html or text"),
            KnownField(name="language", label="Language"),
            KnownField(name="vip", label="VIP", data_type="boolean"),
            KnownField(name="location", label="Location", data_type="object"),
            KnownField(name="interests", label="Interests by id", data_type="object"),
            KnownField(name="ip_signup", label="IP address of the sign-up"),
            KnownField(name="timestamp_signup", label="Time of the sign-up", data_type="date-time"),
            KnownField(name="ip_opt", label="IP address of the opt-in"),
            KnownField(name="timestamp_opt", label="Time of the opt-in", data_type="date-time"),
        ),
        listing=Listing(
            path="/lists/{object}/merge-fields?fields=merge_fields.tag,merge_fields.name,merge_fields.type&count=1000",
            each="merge_fields",
        ),
        name="tag",
        kinds={
            "dropdown": FieldKind.TEXT,
            "radio": FieldKind.TEXT,
            "imageurl": FieldKind.TEXT,
            "birthday": FieldKind.TEXT,
            "zip": FieldKind.TEXT,
        },
    ),
    encoding=Encoding(null="empty_text"),
    operations={
        Operation.UPSERT: Write(
            path="/lists/{object}?skip_merge_validation={settings.required_merge_fields}",
            body={"update_existing": True, "sync_tags": False},
            rows_at="members",
            row={"*": Slot.KNOWN, "status": "$fields.status", "merge_fields": Slot.CUSTOM},
            key=IdentityKey(fields=("email_address",)),
            max_rows=RowLimit(at_most="500 rows", source=BATCH, checked=CHECKED),
            max_size=SIZE,
            is_idempotent=True,
            attribution=Keyed(
                errors="errors",
                key="email_address",
                fold="lower",
                failed_count="error_count",
                reason=Reason(code="error_code", message="error", field="field"),
            ),
        ),
        Operation.DELETE: Write(
            method="DELETE",
            path="/lists/{object}/members/{key|trim|lower|md5}",
            key=PathKey(fields=("email_address",)),
            max_rows=RowLimit(at_most="1 rows", source=ARCHIVE, checked=CHECKED),
            max_size=SIZE,
            is_idempotent=True,
            attribution=Single(),
            rules=(
                AnswerRule(status=(404,), then=Then.DELIVERED),
                AnswerRule(status=(405,), then=Then.REFUSED),
            ),
        ),
    },
    rules=(AnswerRule(status=(403,), at="title", exists=False, then=Then.THROTTLED),),
    refusal=Reason(
        code="title",
        message="detail",
        field="errors.0.field",
        renamed={"Invalid Resource": "INVALID_RESOURCE", "Method Not Allowed": CANNOT_BE_ARCHIVED},
    ),
)


class MailchimpDestination(destination_of(MANIFEST)):  # type: ignore[misc]  # made at run time
    """What the manifest says; who cannot be archived is asked for, as whoever is archived already cannot be either."""

    async def write(self, plan: WritePlan, batch: Batch) -> BatchResult:
        written: BatchResult = await super().write(plan, batch)
        if all(outcome.code != CANNOT_BE_ARCHIVED for outcome in written.outcomes):
            return written
        told = zip(self._made(plan, batch), written.outcomes, strict=True)
        return BatchResult(batch, [await self._judged(plan, row, outcome) for row, outcome in told])

    async def _judged(self, plan: WritePlan, row: Rendered | RowOutcome, outcome: RowOutcome) -> RowOutcome:
        """The outcome, or that of a contact who is archived already, such as by a delete whose answer was lost."""
        if isinstance(row, RowOutcome) or outcome.code != CANNOT_BE_ARCHIVED:
            return outcome
        contact = path_of(self._operation(plan), self._frame(plan.target), [row])
        try:
            found = await self._caller.ask(f"{contact}?fields=status")
        except DestinationInvalid:
            return outcome
        return DELIVERED if text_at(found, "status") == "archived" else outcome
