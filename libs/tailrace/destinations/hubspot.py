"""HubSpot: contacts, companies, deals, tickets and custom objects, a hundred a request. Not verified against HubSpot.

Upserts and inserts carry a trace id for each row, by which HubSpot says which of them failed. Updates and deletes want
HubSpot's own ids, which are asked for by the key first: what is not there is `NOT_FOUND`, or deleted already. A delete
archives; HubSpot keeps what is archived for 90 days.

HubSpot takes values as text; an empty text clears a property, and so does NULL. Contacts by `email` cannot be upserted
in part there: map a unique property of your own as the key, or every property that shall keep its value.

Lists of contacts that are filled by hand, `list:...`, take contacts by any unique property of theirs: an upsert adds
them, a delete takes them out, and to mirror keeps the list as the query is. Properties can be made.
"""

from datetime import date

from tailrace.connector_kit.destination import Level
from tailrace.connector_kit.field_kinds import FieldKind
from tailrace.connector_kit.manifest.answer_rules import AnswerRule, Then
from tailrace.connector_kit.manifest.attribution import AllOrNothing, Keyed, Reason, RejectedKeys, Traced
from tailrace.connector_kit.manifest.auth import Bearer
from tailrace.connector_kit.manifest.encoding import Encoding
from tailrace.connector_kit.manifest.limits import Bucket, RowLimit, SizeLimit
from tailrace.connector_kit.manifest.model import Fields, Kind, KnownObject, Listing, Manifest, Objects
from tailrace.connector_kit.manifest.new_fields import NewFields
from tailrace.connector_kit.manifest.templates import Slot
from tailrace.connector_kit.manifest.throttles import NothingLeft, RetryAfter, SaysNothing
from tailrace.connector_kit.manifest.writes import Ask, LookedUpKey, NamedKey, Write
from tailrace.core.rows import Operation

CHECKED = date(2026, 11, 22)
GUIDE = "https://developers.hubspot.com/docs/guides/api/crm/objects/contacts"
LIMITS = "https://developers.hubspot.com/docs/guides/apps/api-usage/usage-details"

ROWS = RowLimit(at_most="100 rows", source=GUIDE, checked=CHECKED)
SIZE = SizeLimit(at_most="4 MB", source=GUIDE, checked=CHECKED, note="a size of ours: HubSpot names none")
EXISTS = Reason(code="category", renamed={"CONFLICT": "ALREADY_EXISTS"})
IS_GONE = Reason(code="category", renamed={"OBJECT_NOT_FOUND": "NOT_FOUND"})
IDS = LookedUpKey(
    ask=Ask(
        path="/crm/v3/objects/{object}/batch/read",
        body={"idProperty": Slot.KEY_NAME, "properties": [Slot.KEY_NAME]},
        rows_at="inputs",
        row={"id": Slot.KEY},
    ),
    each="results",
    id="id",
    key="properties.{key_name}",
    fold="lower",
    errors="errors",
    code="category",
    absent=("OBJECT_NOT_FOUND",),
)


def by_trace(reason: Reason) -> Traced:
    """Failures name the trace ids of their rows, and so do results."""
    return Traced(trace="context.objectWriteTraceId", result_trace="objectWriteTraceId", reason=reason)


def members(verb: str, attribution: Keyed | AllOrNothing) -> Write:
    """Contacts of a list are added or taken out by their ids."""
    return Write(
        method="PUT",
        path=f"/crm/v3/lists/{{object}}/memberships/{verb}",
        rows_at="",
        row=Slot.FOUND,
        key=IDS.model_copy(update={"ask": IDS.ask.model_copy(update={"path": "/crm/v3/objects/contacts/batch/read"})}),
        max_rows=ROWS,
        max_size=SIZE,
        is_idempotent=True,
        attribution=attribution,
    )


MISSING = RejectedKeys(at="recordIdsMissing", code="NOT_FOUND", message="there is no such contact")
LISTS = Kind(
    has_members=True,
    objects=Objects(
        prefix="list:",
        listing=Listing(
            path="/crm/v3/lists/search",
            body={"processingTypes": ["MANUAL", "SNAPSHOT"], "count": 500},
            each="lists",
            next="offset",
            more="hasMore",
            cursor="offset",
        ),
        name="listId",
        label="name",
        where={"objectTypeId": "0-1"},
    ),
    fields=Fields(listing=Listing(path="/crm/v3/properties/contacts", each="results"), is_key="hasUniqueValue"),
    operations={
        Operation.UPSERT: members("add", Keyed(names="found", lists=(MISSING,))),
        Operation.DELETE: members("remove", AllOrNothing()),
    },
)


MANIFEST = Manifest(
    name="hubspot",
    label="HubSpot",
    level=Level.BRONZE,
    verified_against="the requests that HubSpot's SDK makes, hubspot-api-client 12.0.0; not against the real HubSpot",
    docs=GUIDE,
    checked=CHECKED,
    base_url="https://api.hubapi.com",
    auth=Bearer(description="the access token of a private app with read and write scopes for the objects"),
    buckets=(
        Bucket(
            name="burst",
            rate="100/10s",
            source=LIMITS,
            checked=CHECKED,
            left="X-HubSpot-RateLimit-Remaining",
            most="X-HubSpot-RateLimit-Max",
            span_ms="X-HubSpot-RateLimit-Interval-Milliseconds",
        ),
        Bucket(
            name="daily",
            rate="250000/1d",
            source=LIMITS,
            checked=CHECKED,
            left="X-HubSpot-RateLimit-Daily-Remaining",
            most="X-HubSpot-RateLimit-Daily",
        ),
    ),
    throttles=(
        RetryAfter(),
        NothingLeft(header="X-HubSpot-RateLimit-Daily-Remaining", then_s=600),
        SaysNothing(then_s=10),
    ),
    check="/account-info/v3/details",
    objects=Objects(
        known=(
            KnownObject(name="contacts", label="Contacts"),
            KnownObject(name="companies", label="Companies"),
            KnownObject(name="deals", label="Deals"),
            KnownObject(name="tickets", label="Tickets"),
        ),
        listing=Listing(path="/crm-object-schemas/v3/schemas", each="results"),
        name="fullyQualifiedName",
        label="labels.plural",
    ),
    fields=Fields(
        listing=Listing(path="/crm/v3/properties/{object}", each="results"),
        is_key="hasUniqueValue",
        is_read_only="modificationMetadata.readOnlyValue",
    ),
    encoding=Encoding(null="empty_text", boolean="text", number="text", array="joined_by_semicolon", nested="text"),
    operations={
        Operation.UPSERT: Write(
            path="/crm/v3/objects/{object}/batch/upsert",
            rows_at="inputs",
            row={
                "id": Slot.KEY,
                "idProperty": Slot.KEY_NAME,
                "objectWriteTraceId": Slot.TRACE,
                "properties": Slot.FIELDS,
            },
            key=NamedKey(),
            max_rows=ROWS,
            max_size=SIZE,
            is_idempotent=True,
            attribution=by_trace(Reason(code="category")),
        ),
        Operation.INSERT: Write(
            path="/crm/v3/objects/{object}/batch/create",
            rows_at="inputs",
            row={"objectWriteTraceId": Slot.TRACE, "properties": Slot.FIELDS},
            max_rows=ROWS,
            max_size=SIZE,
            is_idempotent=True,  # a unique key refuses what is there already
            attribution=by_trace(EXISTS),
        ),
        Operation.UPDATE: Write(
            path="/crm/v3/objects/{object}/batch/update",
            rows_at="inputs",
            row={"id": Slot.FOUND, "objectWriteTraceId": Slot.TRACE, "properties": Slot.FIELDS},
            key=IDS,
            max_rows=ROWS,
            max_size=SIZE,
            is_idempotent=True,
            attribution=by_trace(IS_GONE),
        ),
        Operation.DELETE: Write(
            path="/crm/v3/objects/{object}/batch/archive",
            rows_at="inputs",
            row={"id": Slot.FOUND},
            key=IDS,
            max_rows=ROWS,
            max_size=SIZE,
            is_idempotent=True,
            attribution=AllOrNothing(),
        ),
    },
    kinds=(LISTS,),
    new_fields=NewFields(
        path="/crm/v3/properties/{object}",
        kinds={
            FieldKind.TEXT: {"type": "string", "fieldType": "text"},
            FieldKind.INTEGER: {"type": "number", "fieldType": "number"},
            FieldKind.NUMBER: {"type": "number", "fieldType": "number"},
            FieldKind.DATE: {"type": "date", "fieldType": "date"},
            FieldKind.TIMESTAMP: {"type": "datetime", "fieldType": "date"},
        },
        objects={
            "contacts": {"groupName": "contactinformation"},
            "companies": {"groupName": "companyinformation"},
            "deals": {"groupName": "dealinformation"},
            "tickets": {"groupName": "ticketinformation"},
        },
        else_object={"groupName": "{object}_information"},
    ),
    rules=(
        AnswerRule(status=(477,), then=Then.LATER),
        AnswerRule(status=(423,), then=Then.THROTTLED),
    ),
    refusal=EXISTS,
)
