"""The answers are made after Braze's documents, errors of rows after those that others saw."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from tailrace.connector_kit.http import HttpResponse
from tailrace.core.rows import Operation
from tailrace.destinations.braze import MANIFEST
from tailrace.testing.fake_http import answer
from tailrace.testing.manifest_contract import ManifestContract
from tailrace.testing.samples import Sample

API = "https://rest.iad-01.braze.com"
SETTINGS = {"instance": "US-01", "api_key": "made-up-key"}
SHOWS = {"Authorization": "Bearer made-up-key"}
PRIORITIES = ["identified", "most_recently_updated"]
OK: Mapping[str, object] = {"message": "success"}
INVALID = "Valid data must be provided in the 'attributes', 'events', or 'purchases' fields."
BOTH = ["delivered", "delivered"]


def error(at: int, array: str = "attributes") -> dict[str, object]:
    told = "The value provided for the 'email' field is not a valid email."
    return {"type": told, "input_array": array, "index": at}


def case(about: Operation, name: str, asks: tuple[str, str, object], *rows: dict[str, object], key: str) -> Sample:
    """A request for rows, whose answer is still to come."""
    return Sample(
        about=about,
        object_name=name,
        key=key,
        rows=rows,
        answers=(),
        means=(),
        asks=(asks[0], API + asks[1], asks[2]),
        shows=SHOWS,
        settings=SETTINGS,
    )


def answered(asked: Sample, told: HttpResponse, means: Sequence[str] | str) -> Sample:
    return Sample(
        about=asked.about,
        object_name=asked.object_name,
        key=asked.key,
        rows=asked.rows,
        answers=[told],
        means=means,
        asks=asked.asks,
        shows=asked.shows,
        settings=asked.settings,
    )


def tracked(about: Operation, name: str, array: str, sent: list[object], *rows: dict[str, object], key: str) -> Sample:
    return case(about, name, ("POST", "/users/track", {array: sent}), *rows, key=key)


def users(about: Operation, *, is_update: bool) -> Sample:
    first: dict[str, object] = {"external_id": 42, "email": "a@x.example", "plan": "pro"}
    second: dict[str, object] = {"external_id": "u2", "email": None, "seats": 1.5}
    flag = {"_update_existing_only": is_update}
    sent: list[object] = [flag | first | {"external_id": "42"}, flag | second]
    return tracked(about, "users", "attributes", sent, first, second, key="external_id")


def by_alias(about: Operation, *, is_update: bool) -> Sample:
    rows: list[dict[str, object]] = [{"alias_name": at, "alias_label": "crm", "plan": "pro"} for at in (1, 2)]
    sent: list[object] = [
        {
            "_update_existing_only": is_update,
            "user_alias": {"alias_name": str(row["alias_name"]), "alias_label": "crm"},
            "plan": "pro",
        }
        for row in rows
    ]
    return tracked(about, "users_by_alias", "attributes", sent, *rows, key="alias_name")


def deletes(key: str, array: str, sent: list[object]) -> Sample:
    rows: list[dict[str, object]] = [{key: 7}, {key: "b"}]
    return case(Operation.DELETE, "users", ("POST", "/users/delete", {array: sent}), *rows, key=key)


def items(about: Operation, method: str, sent: list[object]) -> Sample:
    rows: list[dict[str, object]] = [{"id": 7, "Name": "Inn"}, {"id": "b", "Name": None}]
    return case(about, "catalog:inns", (method, "/catalogs/inns/items", {"items": sent}), *rows, key="id")


WHEN = {"time": "2026-11-22T00:00:00+00:00"}
KNOWN = {"_update_existing_only": True}
PAID: dict[str, object] = {"name": "paid", "time": "2026-11-22", "sum": 1.5}
BOUGHT: dict[str, object] = {
    "product_id": "pen",
    "currency": "CHF",
    "price": "2.50",
    "quantity": 2,
    "time": "2026-11-22",
}
PEN = {"product_id": "pen", "currency": "CHF", "price": 2.5, "quantity": 2} | WHEN
INNS: list[object] = [{"id": "7", "Name": "Inn"}, {"id": "b", "Name": None}]
TRACKED = (
    users(Operation.UPSERT, is_update=False),
    users(Operation.UPDATE, is_update=True),
    by_alias(Operation.UPSERT, is_update=False),
    by_alias(Operation.UPDATE, is_update=True),
    tracked(
        Operation.INSERT,
        "events",
        "events",
        [
            {"external_id": "42", "app_id": "a", "name": "paid", "properties": {"sum": 1.5, "key": "k1"}} | WHEN,
            {"email": "a@x.example", "phone": "1", "name": "paid", "properties": {"sum": 1.5, "key": "k2"}}
            | WHEN
            | KNOWN,
        ],
        PAID | {"external_id": 42, "app_id": "a", "key": "k1"},
        PAID | KNOWN | {"email": "a@x.example", "external_id": None, "phone": 1, "key": "k2"},
        key="key",
    ),
    tracked(
        Operation.INSERT,
        "purchases",
        "purchases",
        [
            {"braze_id": "b1", "app_id": "a", "properties": {"color": "red"}} | PEN,
            {"external_id": "u2", "email": "a@x.example", "phone": "1", "properties": {}} | PEN | KNOWN,
        ],
        BOUGHT | {"braze_id": "b1", "app_id": "a", "color": "red"},
        BOUGHT | KNOWN | {"external_id": "u2", "email": "a@x.example", "phone": 1},
        key="external_id",
    ),
)
DELETED = (
    deletes("external_id", "external_ids", ["7", "b"]),
    deletes("braze_id", "braze_ids", ["7", "b"]),
    deletes("email", "email_addresses", [{"email": each, "prioritization": PRIORITIES} for each in ("7", "b")]),
    deletes("phone", "phone_numbers", [{"phone": each, "prioritization": PRIORITIES} for each in ("7", "b")]),
)
ITEMS = (
    items(Operation.UPSERT, "PUT", INNS),
    items(Operation.UPDATE, "PATCH", INNS),
    items(Operation.DELETE, "DELETE", [{"id": "7"}, {"id": "b"}]),
)
TAKEN = (
    *((answer(status, OK), BOTH) for status in (200, 201, 202)),
    (answer(202, {"message": "queued"}), BOTH),
    *((answer(status, {"message": "no"}), "DESTINATION_VALIDATION") for status in (200, 201, 202)),
    *((answer(status, {}), "IN_DOUBT") for status in (200, 201, 202)),
)
IN_PART = (
    (answer(201, {**OK, "attributes_processed": 1, "errors": [error(1)]}), ["delivered", "rejected:REJECTED"]),
    (answer(201, {**OK, "errors": [error(0), error(0)]}), ["rejected:REJECTED", "delivered"]),
    (answer(201, {**OK, "errors": [error(2)]}), "IN_DOUBT"),
    (answer(201, {**OK, "errors": ["some minor error"]}), "IN_DOUBT"),
)
QUEUED = tuple((answer(status, {"deleted": 2}), BOTH) for status in (200, 201, 202))
REFUSED = (
    (answer(400, {"message": INVALID, "errors": [error(0), error(1)]}), "DESTINATION_VALIDATION"),
    (answer(401, {"message": "Invalid API key"}), "CREDENTIALS_REFUSED"),
    (answer(403, {"message": "Access Denied"}), "CREDENTIALS_REFUSED"),
    (answer(404, {"message": "Invalid URL"}), "DESTINATION_INVALID"),
    (answer(413), "DESTINATION_VALIDATION"),
    (answer(429, {"message": "no"}, {"x-ratelimit-reset": "1637708400"}), "RATE_LIMIT:0"),
    (answer(429, {"message": "no"}, {"x-ratelimit-reset": "32503680000"}), "RATE_LIMIT:900"),
    (answer(429, {"message": "no"}), "RATE_LIMIT:3"),
    (answer(500, {"message": "no"}), "DESTINATION_UNAVAILABLE"),
)
ALONE = (
    (
        tracked(
            Operation.UPSERT,
            "users",
            "attributes",
            [{"_update_existing_only": False, "email": "x"}],
            {"email": "x"},
            key="email",
        ),
        answer(400, {"message": INVALID, "errors": [error(0)]}),
        "rejected:HTTP_400",
    ),
    (
        case(
            Operation.UPSERT,
            "catalog:inns",
            ("PUT", "/catalogs/inns/items", {"items": [{"id": "a b"}]}),
            {"id": "a b"},
            key="id",
        ),
        answer(400, {"errors": [{"id": "invalid-ids", "message": "no"}]}),
        "rejected:invalid-ids",
    ),
)
BY_EACH_KEY = tuple(
    (tracked(about, "users", "attributes", [{"_update_existing_only": flag, key: "7"}], {key: 7}, key=key), OK)
    for about, flag in ((Operation.UPSERT, False), (Operation.UPDATE, True))
    for key in ("external_id", "braze_id", "email", "phone")
)
EVENT_BY_BRAZE_ID = tracked(
    Operation.INSERT,
    "events",
    "events",
    [{"braze_id": "7", "name": "paid", "properties": {"sum": 1.5}} | WHEN],
    PAID | {"braze_id": 7},
    key="braze_id",
)
UNFIT = (
    *(
        Sample(
            about=Operation.INSERT,
            object_name=name,
            key="external_id",
            rows=[{field: value for field, value in row.items() if field != lacking} | {"external_id": "u1"}],
            answers=[answer(201, OK)],
            means="DESTINATION_INVALID",
            settings=SETTINGS,
        )
        for name, row, needed in (("events", PAID, ("name", "time")), ("purchases", BOUGHT, tuple(BOUGHT)))
        for lacking in needed
    ),
    *(
        Sample(
            about=about,
            object_name="catalog:inns",
            key="Name",
            rows=[{"Name": "Inn"}],
            answers=[answer(202, OK)],
            means="DESTINATION_INVALID",
            settings=SETTINGS,
        )
        for about in (Operation.UPSERT, Operation.UPDATE, Operation.DELETE)
    ),
)
CATALOGS = answer(200, {**OK, "catalogs": [{"name": "inns", "fields": [{"name": "id", "type": "string"}]}]})


def question(about: Literal["check", "objects", "fields"], name: str, means: list[str], *, asks: bool) -> Sample:
    return Sample(
        about=about,
        object_name=name,
        answers=[CATALOGS],
        means=means,
        asks=("GET", f"{API}/catalogs", None) if asks else None,
        shows=SHOWS if asks else {},
        settings=SETTINGS,
    )


ASKED = (
    question("check", "", [], asks=True),
    question("objects", "", ["users", "users_by_alias", "events", "purchases", "catalog:inns"], asks=True),
    question("fields", "users", ["external_id:key", "braze_id:key", "email:key", "phone:key"], asks=False),
    question("fields", "catalog:inns", ["id:key"], asks=True),
)


class TestBraze(ManifestContract):
    manifest = MANIFEST
    samples: ClassVar = (
        *(answered(each, told, means) for each in TRACKED for told, means in (*TAKEN, *IN_PART)),
        *(answered(each, told, means) for each in DELETED for told, means in (*TAKEN, *QUEUED, *IN_PART)),
        *(answered(each, told, means) for each in ITEMS for told, means in TAKEN),
        *(answered(TRACKED[0], told, means) for told, means in REFUSED),
        *(answered(asked, told, [means]) for asked, told, means in ALONE),
        *(answered(asked, answer(201, told), ["delivered"]) for asked, told in (*BY_EACH_KEY, (EVENT_BY_BRAZE_ID, OK))),
        *UNFIT,
        *ASKED,
    )
