"""Intercom: users, companies, events, and tags as lists of users. Not verified against Intercom.

Users are Intercom's contacts with the role `user`, known by `external_id` or `email`; leads are left alone. Intercom
has no upsert of them: each is searched for, then updated or made, two requests a row. Its search may not see who was
made some minutes ago. Then making them is refused as a conflict, which is tried again; a delete takes them for gone, so
let some minutes pass before who was just added is taken out. A delete is for good. Of a user that somebody archived
there, nothing can be written: the conflict stays, and says the id.

Companies are upserted by `company_id`, and not deleted: how Intercom's ids for them are looked up is not described
closely enough. Users and companies are not attached to each other, and Intercom shows no company that has no user. It
cuts `monthly_spend` to a whole number. Fields that are not Intercom's own are custom attributes, which have to be
there. NULL clears; Intercom says so of some of its own fields, not of custom attributes. Times are dates and times or
seconds since 1970; those of custom attributes are seconds.

Tags, `tag:...`, take users by either key: an upsert tags them, a delete takes the tag off.

Events are appended: map `event_name`, `created_at`, and `user_id` (the user's `external_id`), `email` or `id`; other
fields become metadata, of which Intercom ignores all but the first ten. Events of a user with the same name and second
may be one to Intercom: it says that it may ignore what is sent again, and so it may ignore the second of two that
happened at once.
"""

from datetime import date

from tailrace.connector_kit.destination import Level
from tailrace.connector_kit.field_kinds import FieldKind
from tailrace.connector_kit.manifest.answer_rules import AnswerRule, Then
from tailrace.connector_kit.manifest.attribution import Reason, Single
from tailrace.connector_kit.manifest.auth import Bearer
from tailrace.connector_kit.manifest.encoding import Encoding
from tailrace.connector_kit.manifest.limits import Bucket, RowLimit, SizeLimit
from tailrace.connector_kit.manifest.model import Fields, Kind, KnownField, KnownObject, Listing, Manifest, Objects
from tailrace.connector_kit.manifest.settings import Setting
from tailrace.connector_kit.manifest.templates import Slot, Template
from tailrace.connector_kit.manifest.throttles import ResetAt, SaysNothing
from tailrace.connector_kit.manifest.writes import Ask, IdentityKey, LookedUpKey, NamedKey, Write
from tailrace.core.rows import Operation

CHECKED = date(2026, 11, 23)
VERSION = "2.16"
DOCS = f"https://developers.intercom.com/docs/references/{VERSION}/rest-api/api.intercom.io/"
LIMITS = "https://developers.intercom.com/docs/references/rest-api/errors/rate-limiting"
ONE = RowLimit(at_most="1 rows", source=DOCS, checked=CHECKED)
SIZE = SizeLimit(at_most="1 MB", source=DOCS, checked=CHECKED, note="a size of ours: Intercom names none")

IS_GONE = AnswerRule(status=(404,), then=Then.REFUSED)
IS_GONE_ALREADY = AnswerRule(status=(404,), then=Then.DELIVERED)
USERS = LookedUpKey(
    fields=("external_id", "email"),
    ask=Ask(
        path="/contacts/search",
        row={
            "query": {
                "operator": "AND",
                "value": [
                    {"field": "role", "operator": "=", "value": "user"},
                    {"field": Slot.KEY_NAME, "operator": "=", "value": Slot.KEY},
                ],
            }
        },
    ),
    each="data",
    id="id",
    key="{key_name}",
    fold="lower",
    exact=("external_id",),
)
USER: dict[str, Template] = {"*": Slot.KNOWN, "custom_attributes": Slot.CUSTOM}


def of_user(method: str, path: str, row: Template, rule: AnswerRule, *, create: Ask | None = None) -> Write:
    """A user is searched for, then something is done to what was found."""
    return Write.model_validate(
        {
            "method": method,
            "path": path,
            "row": row,
            "key": USERS.model_copy(update={"create": create}),
            "max_rows": ONE,
            "max_size": SIZE,
            "is_idempotent": True,
            "attribution": Single(),
            "rules": (rule,),
            "bucket": "users",
        }
    )


def fields(model: str, *known: KnownField) -> Fields:
    """Intercom's own fields, as a request takes them, and the custom attributes that the workspace has."""
    return Fields(
        known=known,
        listing=Listing(path=f"/data_attributes?model={model}", each="data"),
        data_type="data_type",
        kinds={"date": FieldKind.INTEGER},
        is_writable="custom",
    )


COMPANIES = Kind(
    objects=Objects(known=(KnownObject(name="companies", label="Companies"),)),
    fields=fields(
        "company",
        KnownField(name="company_id", label="Company id", is_key=True),
        KnownField(name="name", label="Name"),
        KnownField(name="plan", label="Plan"),
        KnownField(name="size", label="Employees", data_type="integer"),
        KnownField(name="website", label="Website"),
        KnownField(name="industry", label="Industry"),
        KnownField(name="monthly_spend", label="Monthly spend", data_type="integer"),
        KnownField(name="remote_created_at", label="Created", data_type="timestamp"),
    ),
    operations={
        Operation.UPSERT: Write(
            path="/companies",
            row={"*": Slot.KNOWN, "company_id": Slot.KEY, "custom_attributes": Slot.CUSTOM},
            key=NamedKey(fields=("company_id",)),
            max_rows=ONE,
            max_size=SIZE,
            is_idempotent=True,
            attribution=Single(),
        )
    },
)
EVENTS = Kind(
    objects=Objects(known=(KnownObject(name="events", label="Events"),)),
    fields=Fields(
        known=(
            KnownField(name="event_name", label="Name"),
            KnownField(name="created_at", label="Time", data_type="timestamp", example="2026-11-22T00:00:00Z"),
            KnownField(name="user_id", label="The user's external id"),
            KnownField(name="email", label="The user's email"),
            KnownField(name="id", label="Intercom's id of the user or lead"),
        ),
        are_all=False,
    ),
    operations={
        Operation.INSERT: Write(
            path="/events",
            row={
                "*": Slot.IDENTITY,
                "event_name": "$fields.event_name",
                "created_at": "$fields.created_at|number",
                "metadata": Slot.OTHERS,
            },
            key=IdentityKey(fields=("user_id", "email", "id", "event_name", "created_at")),
            appends=True,
            max_rows=ONE,
            max_size=SIZE,
            is_idempotent=True,
            attribution=Single(),
            rules=(IS_GONE,),
        )
    },
)
TAGS = Kind(
    has_members=True,
    objects=Objects(prefix="tag:", listing=Listing(path="/tags", each="data"), name="id", label="name"),
    operations={
        Operation.UPSERT: of_user("POST", "/contacts/{found}/tags", {"id": Slot.OBJECT}, IS_GONE),
        Operation.DELETE: of_user("DELETE", "/contacts/{found}/tags/{object}", {}, IS_GONE_ALREADY),
    },
)

MANIFEST = Manifest(
    name="intercom",
    label="Intercom",
    level=Level.BRONZE,
    verified_against=f"Intercom's API description, version {VERSION}, by made-up answers; not the real Intercom",
    docs=DOCS,
    checked=CHECKED,
    base_url="{region}",
    headers={"Intercom-Version": VERSION},
    settings=(
        Setting(
            name="region",
            description="where the workspace's data is kept",
            choices={
                "us": "https://api.intercom.io",
                "eu": "https://api.eu.intercom.io",
                "au": "https://api.au.intercom.io",
            },
            default="us",
        ),
    ),
    auth=Bearer(description="an access token of the workspace that may read and write users, companies, events, tags"),
    buckets=(
        Bucket(
            name="calls",
            rate="1666/10s",
            source=LIMITS,
            checked=CHECKED,
            note="10,000 a minute, which Intercom spreads over 10 seconds; all private apps of a workspace 25,000",
            left="X-RateLimit-Remaining",
            most="X-RateLimit-Limit",
        ),
        Bucket(name="users", rate="833/10s", source=LIMITS, checked=CHECKED, note="half of it: a row is two requests"),
    ),
    throttles=(ResetAt(header="X-RateLimit-Reset"), SaysNothing(then_s=10)),
    check="/me",
    objects=Objects(known=(KnownObject(name="users", label="Users"),)),
    fields=fields(
        "contact",
        KnownField(name="external_id", label="External id", is_key=True),
        KnownField(name="email", label="Email", is_key=True),
        KnownField(name="email_verified", label="Email is verified", data_type="boolean"),
        KnownField(name="phone", label="Phone"),
        KnownField(name="name", label="Name"),
        KnownField(name="avatar", label="Avatar"),
        KnownField(name="owner_id", label="Owner"),
        KnownField(name="unsubscribed_from_emails", label="Unsubscribed from emails", data_type="boolean"),
        KnownField(name="signed_up_at", label="Signed up", data_type="timestamp"),
        KnownField(name="last_seen_at", label="Last seen", data_type="timestamp"),
    ),
    encoding=Encoding(key="text", epoch_s=("signed_up_at", "last_seen_at", "remote_created_at", "created_at")),
    operations={
        Operation.UPSERT: of_user(
            "PUT", "/contacts/{found}", USER, IS_GONE, create=Ask(path="/contacts", row={"role": "user", **USER})
        ),
        Operation.UPDATE: of_user("PUT", "/contacts/{found}", USER, IS_GONE),
        Operation.DELETE: of_user("DELETE", "/contacts/{found}", {}, IS_GONE_ALREADY),
    },
    kinds=(COMPANIES, EVENTS, TAGS),
    refusal=Reason(
        code="errors.0.code", message="errors.0.message", field="errors.0.field", meanings={"conflict": "retry"}
    ),
)
