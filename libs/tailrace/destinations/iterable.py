"""Iterable: user profiles, up to a thousand a request. Not verified against Iterable.

Users are known by `userId` or `email`, as the project is set up; where both are mapped, the user id decides. Fields
that a project does not have yet are made by the first value, whose type they keep. Iterable answers once it has taken
the batch and works later. It lists the users that it did not take by their address or id, a list a reason. A user that
was forgotten is never taken again. A user that does not exist is deleted already.
"""

from datetime import date

from tailrace.connector_kit.destination import Level
from tailrace.connector_kit.field_kinds import FieldKind
from tailrace.connector_kit.manifest.answer_rules import AnswerRule, Then
from tailrace.connector_kit.manifest.attribution import Keyed, Reason, RejectedKeys, Single
from tailrace.connector_kit.manifest.auth import ApiKey
from tailrace.connector_kit.manifest.encoding import Encoding
from tailrace.connector_kit.manifest.limits import Bucket, RowLimit, SizeLimit
from tailrace.connector_kit.manifest.model import Fields, KnownField, KnownObject, Listing, Manifest, Objects
from tailrace.connector_kit.manifest.settings import Setting
from tailrace.connector_kit.manifest.templates import Slot
from tailrace.connector_kit.manifest.throttles import InBody, SaysNothing
from tailrace.connector_kit.manifest.writes import IdentityKey, PathKey, Write
from tailrace.core.rows import Operation

CHECKED = date(2026, 11, 22)
DOCS = "https://api.iterable.com/api/docs"
KEYS = ("userId", "email")
REASONS = {
    "invalid": ("INVALID", "Iterable takes no such address or id"),
    "notFound": ("NOT_FOUND", "there is no such user"),
    "conflict": ("CONFLICT", "address and id belong to two users"),
    "forgotten": ("FORGOTTEN", "this user asked to be forgotten and is never taken again"),
    "invalidData": ("INVALID_DATA", "a field's value is not of the type that the field has in the project"),
}
PLACES = {"failedUpdates.": REASONS, "": {"invalid": REASONS["invalid"]}}

MANIFEST = Manifest(
    name="iterable",
    label="Iterable",
    level=Level.BRONZE,
    verified_against="answers made after Iterable's API description; not against the real Iterable",
    docs=DOCS,
    checked=CHECKED,
    base_url="{region}",
    settings=(
        Setting(
            name="region",
            description="where the project's data is kept",
            choices={"us": "https://api.iterable.com", "eu": "https://api.eu.iterable.com"},
            default="us",
        ),
    ),
    auth=ApiKey(header="Api-Key", description="a server-side API key of the project"),
    buckets=(
        Bucket(name="updates", rate="5/1s", source=DOCS, checked=CHECKED),
        Bucket(name="deletes", rate="100/1s", source=DOCS, checked=CHECKED),
    ),
    throttles=(InBody(at="params.rateLimitReset", unit="s"), SaysNothing(then_s=1)),
    check="/api/users/getFields",
    objects=Objects(known=(KnownObject(name="users", label="Users"),)),
    fields=Fields(
        known=(
            KnownField(name="userId", label="User id", is_key=True),
            KnownField(name="email", label="Email", is_key=True),
        ),
        listing=Listing(path="/api/users/getFields", each="fields"),
        kinds={"date": FieldKind.TIMESTAMP},
        are_all=False,
    ),
    encoding=Encoding(key="text"),
    operations={
        Operation.UPSERT: Write(
            path="/api/users/bulkUpdate",
            rows_at="users",
            row={"*": Slot.IDENTITY, "dataFields": Slot.OTHERS, "preferUserId": True, "mergeNestedObjects": False},
            body={"createNewFields": True},
            key=IdentityKey(fields=KEYS),
            max_rows=RowLimit(
                at_most="1000 rows", source=DOCS, checked=CHECKED, note="a number of ours: Iterable names none"
            ),
            max_size=SizeLimit(at_most="4 MB", source=DOCS, checked=CHECKED),
            is_idempotent=True,
            attribution=Keyed(
                lists=tuple(
                    RejectedKeys(at=f"{place}{name}{kind}", code=code, message=message)
                    for place, names in PLACES.items()
                    for name, (code, message) in names.items()
                    for kind in ("UserIds", "Emails")
                ),
                fold="lower",
                failed_count="failCount",
            ),
            bucket="updates",
        ),
        Operation.DELETE: Write(
            method="DELETE",
            path="/api/users/{key}",
            path_by_key={"userId": "/api/users/byUserId/{key}"},
            key=PathKey(fields=KEYS),
            max_rows=RowLimit(at_most="1 rows", source=DOCS, checked=CHECKED),
            max_size=SizeLimit(at_most="4 MB", source=DOCS, checked=CHECKED),
            is_idempotent=True,
            attribution=Single(),
            rules=(AnswerRule(status=(404,), then=Then.DELIVERED),),
            bucket="deletes",
        ),
    },
    refusal=Reason(code="code", message="msg"),
)
