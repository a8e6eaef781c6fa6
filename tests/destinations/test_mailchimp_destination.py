"""The answers are made after Mailchimp's description of its Marketing API, 3.0.55."""

from base64 import b64encode
from collections.abc import Sequence
from typing import ClassVar

import jsonschema
import orjson
import pytest

from tailrace.connector_kit.destination import Clearing, Field, Target
from tailrace.connector_kit.field_kinds import FieldKind
from tailrace.connector_kit.http import HttpResponse
from tailrace.connector_kit.manifest.engine import destination_of
from tailrace.core.batches import Batch
from tailrace.core.rows import Operation, Row, RowKey, Verdict
from tailrace.core.snapshots import hash_row
from tailrace.destinations.mailchimp import MANIFEST, MailchimpDestination
from tailrace.testing.fake_http import FakeHttp, answer
from tailrace.testing.manifest_contract import ManifestContract
from tailrace.testing.samples import Sample
from tests.destinations.described import TEXT, Described, Json, record, recorded, refuse_what_is_not

API = "https://us6.api.mailchimp.com/3.0"
SETTINGS = {"data_center": "us6", "api_key": "0123456789abcdef-us6"}
SHOWS = {"Authorization": "Basic " + b64encode(b"tailrace:0123456789abcdef-us6").decode()}
ROWS = (
    {"email_address": "A@x.example", "status": "subscribed", "FNAME": "Ada", "tags": ["a"], "vip": True},
    {"email_address": "b@x.example", "status": "pending", "FNAME": None, "SCORE": 1.5, "language": "de"},
)
MEMBERS = [
    {
        "email_address": "A@x.example",
        "status": "subscribed",
        "tags": ["a"],
        "vip": True,
        "merge_fields": {"FNAME": "Ada"},
    },
    {
        "email_address": "b@x.example",
        "status": "pending",
        "language": "de",
        "merge_fields": {"FNAME": "", "SCORE": 1.5},
    },
]
BOTH = ["delivered", "delivered"]
# The address and the digest are those of Mailchimp's own example.
URIST = ("Urist.McVankab@freddiesjokes.com", "62eeb292278cc15f5817cb78f7790b08")


def counted(*errors: dict[str, str], count: int | None = None) -> HttpResponse:
    told = {"new_members": [], "updated_members": [], "total_created": 1, "total_updated": 0}
    return answer(200, told | {"errors": errors, "error_count": len(errors) if count is None else count})


def error(address: str) -> dict[str, str]:
    told = {"error_code": "ERROR_GENERIC", "field": "FNAME", "field_message": "too long"}
    return told | {"email_address": address, "error": "no"}


def problem(status: int, title: str, **more: object) -> HttpResponse:
    return answer(status, {"type": "about:blank", "title": title, "status": status, "detail": "no", **more})


def upsert(told: HttpResponse, means: Sequence[str] | str, *, is_checked: bool = False) -> Sample:
    path = f"/lists/abc123?skip_merge_validation={'false' if is_checked else 'true'}"
    return Sample(
        about=Operation.UPSERT,
        object_name="abc123",
        key="email_address",
        rows=ROWS,
        answers=[told],
        means=means,
        asks=("POST", API + path, {"update_existing": True, "sync_tags": False, "members": MEMBERS}),
        shows=SHOWS,
        settings=SETTINGS | ({"required_merge_fields": "checked"} if is_checked else {}),
    )


def rest() -> Sample:
    """A row with every field that Mailchimp has besides merge fields."""
    row: dict[str, object] = {
        "email_address": "a@x.example",
        "status": "subscribed",
        "email_type": "text",
        "location": {"latitude": 47.1, "longitude": 8.5},
        "interests": {"9143cf3bd1": True},
        "ip_signup": "192.0.2.1",
        "timestamp_signup": "2026-11-22T00:00:00Z",
        "ip_opt": "192.0.2.1",
        "timestamp_opt": "2026-11-22T00:00:00Z",
    }
    return Sample(
        about=Operation.UPSERT,
        object_name="abc123",
        key="email_address",
        rows=[row],
        answers=[counted()],
        means=["delivered"],
        asks=(
            "POST",
            f"{API}/lists/abc123?skip_merge_validation=true",
            {"update_existing": True, "sync_tags": False, "members": [row | {"merge_fields": {}}]},
        ),
        settings=SETTINGS,
    )


def delete(told: HttpResponse, means: Sequence[str] | str, *, address: str = URIST[0]) -> Sample:
    return Sample(
        about=Operation.DELETE,
        object_name="abc123",
        key="email_address",
        rows=[{"email_address": address}],
        answers=[told],
        means=means,
        asks=("DELETE", f"{API}/lists/abc123/members/{URIST[1]}", None),
        shows=SHOWS,
        settings=SETTINGS,
    )


def unfit(about: Operation, key: str, row: dict[str, object]) -> Sample:
    return Sample(
        about=about,
        object_name="abc123",
        key=key,
        rows=[row],
        answers=[counted()],
        means="DESTINATION_INVALID",
        settings=SETTINGS,
    )


MERGE_FIELDS = answer(
    200,
    {
        "merge_fields": [
            {"tag": "FNAME", "name": "First name", "type": "text"},
            {"tag": "BIRTHDAY", "name": "Birthday", "type": "birthday"},
        ]
    },
)
KNOWN = [
    "email_address:key",
    "status",
    "tags",
    "email_type",
    "language",
    "vip",
    "location",
    "interests",
    "ip_signup",
    "timestamp_signup",
    "ip_opt",
    "timestamp_opt",
]
OF_A_FIELD = "fields=merge_fields.tag,merge_fields.name,merge_fields.type&count=1000"


class TestMailchimp(ManifestContract):
    manifest = MANIFEST
    samples: ClassVar = (
        upsert(counted(), BOTH),
        upsert(counted(), BOTH, is_checked=True),
        rest(),
        upsert(counted(error("a@x.example")), ["rejected:ERROR_GENERIC:FNAME", "delivered"]),
        upsert(counted(error("b@x.example")), ["delivered", "rejected:ERROR_GENERIC:FNAME"]),
        upsert(counted(error("somebody@x.example")), "IN_DOUBT"),
        upsert(counted(error("a@x.example"), count=2), "IN_DOUBT"),
        upsert(counted(count=1), "IN_DOUBT"),
        upsert(answer(200, {}), "IN_DOUBT"),
        upsert(problem(400, "Invalid Resource"), "DESTINATION_VALIDATION"),
        upsert(problem(401, "API Key Invalid"), "CREDENTIALS_REFUSED"),
        upsert(problem(403, "Forbidden"), "CREDENTIALS_REFUSED"),
        upsert(answer(403), "RATE_LIMIT:2"),
        upsert(problem(404, "Resource Not Found"), "DESTINATION_INVALID"),
        upsert(problem(429, "Too Many Requests"), "RATE_LIMIT:2"),
        upsert(problem(500, "InternalServerError"), "DESTINATION_UNAVAILABLE"),
        delete(answer(204), ["delivered"]),
        delete(answer(204), ["delivered"], address=f" {URIST[0]} "),
        delete(problem(404, "Resource Not Found"), ["delivered"]),
        delete(problem(405, "Method Not Allowed"), ["rejected:CANNOT_BE_ARCHIVED"]),
        delete(
            problem(400, "Invalid Resource", errors=[{"field": "email_address", "message": "no"}]),
            ["rejected:INVALID_RESOURCE:email_address"],
        ),
        unfit(Operation.UPSERT, "email_address", {"email_address": "a@x.example"}),
        unfit(Operation.UPSERT, "EXT_ID", {"EXT_ID": "1", "status": "subscribed"}),
        unfit(Operation.DELETE, "EXT_ID", {"EXT_ID": "1"}),
        Sample(
            about="check",
            answers=[answer(200, {"health_status": "Everything's Chimpy!"})],
            means=[],
            asks=("GET", f"{API}/ping", None),
            shows=SHOWS,
            settings=SETTINGS,
        ),
        Sample(
            about="objects",
            answers=[answer(200, {"lists": [{"id": "abc123", "name": "News"}]})],
            means=["abc123"],
            asks=("GET", f"{API}/lists?fields=lists.id,lists.name&count=1000", None),
            settings=SETTINGS,
        ),
        Sample(
            about="fields",
            object_name="abc123",
            answers=[answer(200, {"lists": [{"id": "abc123", "name": "News"}]}), MERGE_FIELDS],
            means=[*KNOWN, "FNAME", "BIRTHDAY"],
            asks=("GET", f"{API}/lists/abc123/merge-fields?{OF_A_FIELD}", None),
            settings=SETTINGS,
        ),
    )
    # The user is always the same, and not asked for.
    unseen: ClassVar = ("auth.names.0",)


MEMBER = record(
    {"email_address": TEXT, "status": TEXT, "merge_fields": {"type": "object"}, "vip": {"type": "boolean"}},
    "email_address",
    "status",
)
BODY = record(
    {
        "members": {"type": "array", "maxItems": 500, "items": MEMBER},
        "update_existing": {"type": "boolean"},
        "sync_tags": {"type": "boolean"},
    },
    "members",
)


async def test_upsert_is_as_mailchimp_describes_it() -> None:
    described = Described("POST", "/3.0/lists/listed_object", BODY)

    refuse_what_is_not(described, await recorded(MANIFEST, Operation.UPSERT))
    row: Json = {"email_address": "a@x.example", "status": "subscribed", "other_field": None}
    refuse_what_is_not(described, await recorded(MANIFEST, Operation.UPSERT, row))


@pytest.mark.parametrize("wrong", [{}, {"members": [{"email_address": "a@x.example"}]}, {"members": [{"status": "x"}]}])
def test_description_refuses_what_mailchimp_would(wrong: Json) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, BODY)


async def test_batches_are_cut_by_the_limits_and_fields_are_known_by_their_kinds() -> None:
    connector = destination_of(MANIFEST)
    lists = answer(200, {"lists": [{"id": "abc123", "name": "News"}]})
    http = FakeHttp(lists, MERGE_FIELDS, lists, MERGE_FIELDS)

    async with connector.open(connector.settings_type.model_validate(SETTINGS), http) as destination:
        fields: Sequence[Field] = await destination.fields("abc123")
        names = ("email_address", "status", "FNAME")
        plan = await destination.plan(Target("abc123", Operation.UPSERT, ("email_address",), names))

    assert {field.name: field.kind for field in fields}["BIRTHDAY"] is FieldKind.TEXT
    assert plan.rows_per_batch == 500
    assert plan.bytes_per_batch <= 4_000_000
    assert connector.clearing is Clearing.BY_EMPTY_TEXT


@pytest.mark.parametrize(
    ("told", "verdict"),
    [
        (answer(200, {"status": "archived"}), Verdict.DELIVERED),
        (answer(200, {"status": "cleaned"}), Verdict.REJECTED),
        (problem(404, "Resource Not Found"), Verdict.REJECTED),
    ],
    ids=["archived", "cleaned", "went meanwhile"],
)
async def test_contact_who_is_archived_already_is_deleted(told: HttpResponse, verdict: Verdict) -> None:
    lists = answer(200, {"lists": [{"id": "abc123", "name": "News"}]})
    http = FakeHttp(lists, MERGE_FIELDS, problem(405, "Method Not Allowed"), told)
    body = orjson.dumps({"email_address": URIST[0]})
    batch = Batch(Operation.DELETE, [Row(RowKey((URIST[0],)), body, hash_row(body))], "batch-1")

    async with MailchimpDestination.open(MailchimpDestination.settings_type.model_validate(SETTINGS), http) as opened:
        plan = await opened.plan(Target("abc123", Operation.DELETE, ("email_address",), ("email_address",)))
        [outcome] = (await opened.write(plan, batch)).outcomes

    contact = f"{API}/lists/abc123/members/{URIST[1]}"
    assert [(sent.method, sent.url) for sent in http.requests[2:]] == [
        ("DELETE", contact),
        ("GET", f"{contact}?fields=status"),
    ]
    assert outcome.verdict is verdict
