"""Braze: users, events, purchases and catalogs, by its REST API. Not verified against Braze.

Users are known by `external_id`, `braze_id`, `email` or `phone`; what is mapped besides becomes an attribute. An upsert
makes the profiles that are missing; an update writes to none but those that there are (`_update_existing_only`), and
Braze does not say which were missing. NULL removes an attribute. A time should have its zone. A value such as
`{"inc": 1}` counts twice when its batch is sent again. Where several profiles have an address or a number, Braze writes
to the identified one that changed last; a delete asks for the same one, of which the form is not confirmed for numbers.
What is deleted is gone for good.

Users by an alias, `users_by_alias`, want `alias_name` as the key, and `alias_label`, which may be a constant. They are
not deleted.

Events and purchases are appended: map who, by one of the keys above, `time`, and `name` or `product_id`, `currency`,
`price` and `quantity`; what is mapped besides, but for `app_id`, becomes a property. A time without a zone is UTC.
Profiles that are missing are made, unless the constant `true` is mapped to `_update_existing_only`. Braze takes an
event that comes twice for two, so a sync should say by `delivery.onAmbiguous` what becomes of rows in doubt. Braze
means to give purchases up, for events of its own names.

Items of catalogs, `catalog:...`, are known by `id`. An upsert makes an item or replaces it, also the fields that are
not mapped or left out; an update changes the mapped ones of an item that there is. Fields are not looked up.

Braze answers once the rows are in its queue, in times of maintenance that they are "queued". Of users, events and
purchases it says by their position which it does not take; what it finds later it does not tell. The API key needs the
permissions `users.track` and `users.delete`, to check and to list what there is also `catalogs.get`, and for items
`catalogs.replace_items`, `catalogs.update_items` and `catalogs.delete_items`.
"""

from datetime import date

from tailrace.connector_kit.destination import Level
from tailrace.connector_kit.manifest.answer_rules import AnswerRule, Then
from tailrace.connector_kit.manifest.attribution import AllOrNothing, Indexed, Reason
from tailrace.connector_kit.manifest.auth import ApiKey
from tailrace.connector_kit.manifest.encoding import Encoding
from tailrace.connector_kit.manifest.limits import Bucket, RowLimit, SizeLimit
from tailrace.connector_kit.manifest.model import Fields, Kind, KnownField, KnownObject, Listing, Manifest, Objects
from tailrace.connector_kit.manifest.settings import Setting
from tailrace.connector_kit.manifest.templates import Slot, Template
from tailrace.connector_kit.manifest.throttles import ResetAt, SaysNothing
from tailrace.connector_kit.manifest.writes import Ask, IdentityKey, Method, NamedKey, Write
from tailrace.core.rows import Operation

CHECKED = date(2026, 11, 23)
DOCS = "https://www.braze.com/docs/api/basics/"
LIMITS = "https://www.braze.com/docs/api/api_limits/"
USERS = "https://www.braze.com/docs/api/endpoints/user_data/"
DELETE = f"{USERS}post_user_delete/"
ITEMS = "https://www.braze.com/docs/api/endpoints/catalogs/catalog_items/asynchronous/"
HOSTS = {
    **{f"US-0{n}": f"https://rest.iad-0{n}.braze.com" for n in range(1, 9)},
    "US-10": "https://rest.us-10.braze.com",
    **{f"EU-0{n}": f"https://rest.fra-0{n}.braze.eu" for n in (1, 2)},
    **{f"{name}-01": f"https://rest.{name.lower()}-01.braze.com" for name in ("AU", "ID", "JP", "KR")},
}

KEYS = ("external_id", "braze_id", "email", "phone")
WHICH: Template = ["identified", "most_recently_updated"]
SIZE = SizeLimit(at_most="4 MB", source=USERS, checked=CHECKED)
TAKEN = (200, 201, 202)
SUCCESS = (
    AnswerRule(status=TAKEN, at="message", holds=("success", "queued"), then=Then.READ),
    AnswerRule(status=TAKEN, at="message", exists=True, then=Then.REFUSED),
    AnswerRule(status=TAKEN, then=Then.IN_DOUBT),
)
BY_POSITION = Indexed(reason=Reason(message="type"))


def track(rows_at: str, row: dict[str, Template], key: NamedKey | IdentityKey, *, appends: bool = False) -> Write:
    """Users' attributes, or what they did."""
    return Write(
        path="/users/track",
        rows_at=rows_at,
        row=row,
        key=key,
        appends=appends,
        max_rows=RowLimit(
            at_most="75 rows",
            source=LIMITS,
            checked=CHECKED,
            note="50 by Monthly Active Users CY 24-25: rows_per_batch",
        ),
        max_size=SIZE,
        is_idempotent=not appends,
        attribution=BY_POSITION,
        rules=SUCCESS,
        bucket="track",
    )


def attributes(row: dict[str, Template], key: IdentityKey) -> dict[Operation, Write]:
    """Attributes of users, of those that there are or of new ones too."""
    return {
        operation: track("attributes", {"_update_existing_only": is_update, **row}, key)
        for operation, is_update in ((Operation.UPSERT, False), (Operation.UPDATE, True))
    }


def deeds(name: str, label: str, row: dict[str, Template]) -> Kind:
    """What users did, with who and what in the row, and all else as properties."""
    told = {"time": "$fields.time|iso", **row}
    known = IdentityKey(fields=(*KEYS, "app_id", "_update_existing_only", *told))
    write = track(name, {"*": Slot.IDENTITY, **told, "properties": Slot.OTHERS}, known, appends=True)
    return Kind(objects=Objects(known=(KnownObject(name=name, label=label),)), operations={Operation.INSERT: write})


def by(rows_at: str, row: Template) -> Ask:
    """Users to delete by another key."""
    return Ask(path="/users/delete", rows_at=rows_at, row=row)


def items(method: Method, row: Template, page: str) -> Write:
    """Items of a catalog."""
    return Write(
        method=method,
        deletes_by_body=method == "DELETE",
        path="/catalogs/{object}/items",
        rows_at="items",
        row=row,
        key=IdentityKey(fields=("id",)),
        max_rows=RowLimit(at_most="50 rows", source=f"{ITEMS}{page}/", checked=CHECKED),
        max_size=SIZE,
        is_idempotent=True,
        attribution=AllOrNothing(),
        rules=SUCCESS,
        bucket="items",
    )


ALIASES = Kind(
    objects=Objects(known=(KnownObject(name="users_by_alias", label="Users by alias"),)),
    operations=attributes(
        {
            "user_alias": {"alias_name": "$fields.alias_name", "alias_label": "$fields.alias_label"},
            "*": Slot.OTHERS,
        },
        IdentityKey(fields=("alias_name", "alias_label")),
    ),
)
CATALOGS = Kind(
    objects=Objects(prefix="catalog:", listing=Listing(path="/catalogs", each="catalogs"), label="name"),
    fields=Fields(known=(KnownField(name="id", label="Id", is_key=True),), are_all=False),
    operations={
        Operation.UPSERT: items("PUT", Slot.FIELDS, "put_update_catalog_items"),
        Operation.UPDATE: items("PATCH", Slot.FIELDS, "patch_catalog_items_bulk"),
        Operation.DELETE: items("DELETE", {"id": Slot.KEY}, "delete_catalog_items_bulk"),
    },
)

MANIFEST = Manifest(
    name="braze",
    label="Braze",
    level=Level.BRONZE,
    verified_against="answers made after Braze's documents and answers that others report; not against the real Braze",
    docs=DOCS,
    checked=CHECKED,
    base_url="{instance}",
    settings=(
        Setting(name="instance", description="the instance, as the dashboard's address tells it", choices=HOSTS),
    ),
    auth=ApiKey(header="Authorization", value="Bearer {api_key}", description="a REST API key of the workspace"),
    buckets=(
        Bucket(
            name="track",
            rate="3000/3s",
            source=LIMITS,
            checked=CHECKED,
            note="where an older contract says 50,000 a minute, set 50000/1min",
        ),
        Bucket(name="deletes", rate="20000/1min", source=LIMITS, checked=CHECKED),
        Bucket(name="items", rate="16000/1min", source=LIMITS, checked=CHECKED),
    ),
    throttles=(ResetAt(header="X-RateLimit-Reset"), SaysNothing(then_s=3)),
    check="/catalogs",
    objects=Objects(known=(KnownObject(name="users", label="Users"),)),
    fields=Fields(
        known=(
            KnownField(name="external_id", label="External id", is_key=True),
            KnownField(name="braze_id", label="Braze id", is_key=True),
            KnownField(name="email", label="Email", is_key=True),
            KnownField(name="phone", label="Phone", is_key=True),
        ),
        are_all=False,
    ),
    encoding=Encoding(key="text"),
    operations={
        **attributes({"*": Slot.FIELDS}, IdentityKey(fields=KEYS)),
        Operation.DELETE: Write(
            path="/users/delete",
            rows_at="external_ids",
            row=Slot.KEY,
            key=NamedKey(fields=KEYS),
            by_key={
                "braze_id": by("braze_ids", Slot.KEY),
                "email": by("email_addresses", {"email": Slot.KEY, "prioritization": WHICH}),
                "phone": by("phone_numbers", {"phone": Slot.KEY, "prioritization": WHICH}),
            },
            max_rows=RowLimit(at_most="50 rows", source=DELETE, checked=CHECKED),
            max_size=SIZE,
            is_idempotent=True,
            attribution=BY_POSITION,
            rules=(AnswerRule(status=TAKEN, at="deleted", exists=True, then=Then.READ), *SUCCESS),
            bucket="deletes",
        ),
    },
    kinds=(
        ALIASES,
        deeds("events", "Events", {"name": "$fields.name"}),
        deeds(
            "purchases",
            "Purchases",
            {
                "product_id": "$fields.product_id",
                "currency": "$fields.currency",
                "price": "$fields.price|number",
                "quantity": "$fields.quantity|number",
            },
        ),
        CATALOGS,
    ),
    refusal=Reason(code="errors.0.id", message="errors.0.type"),
)
