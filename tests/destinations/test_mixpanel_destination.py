"""The answers are made after Mixpanel's description of its ingestion API, looked at on 2026-11-23."""

from base64 import b64encode
from collections.abc import Sequence
from typing import ClassVar

from tailrace.connector_kit.http import HttpResponse
from tailrace.core.rows import Operation
from tailrace.destinations.mixpanel import MANIFEST
from tailrace.testing.fake_http import answer
from tailrace.testing.manifest_contract import ManifestContract
from tailrace.testing.samples import Sample

API = "https://api.mixpanel.com"
STRICT = "?strict=1&verbose=1&ip=0"
TOKEN = "a0b1c2d3e4f5a0b1c2d3e4f5a0b1c2d3"
SETTINGS = {
    "project_id": "1234567",
    "project_token": TOKEN,
    "service_account": "sync.1a2b3c.mp-service-account",
    "service_account_secret": "made-up-secret",
}
SHOWS = {
    "Authorization": "Basic " + b64encode(b"sync.1a2b3c.mp-service-account:made-up-secret").decode(),
    "Accept": "application/json",
}
TAKEN = answer(200, {"code": 200, "num_records_imported": 2, "status": "OK"})
VERBOSE = answer(200, {"error": None, "status": 1})
UNREADABLE = answer(200, {"error": "data, missing or empty", "status": 0})
INVALID = "some data points in the request failed validation"
BOTH = ["delivered", "delivered"]

PEOPLE: Sequence[dict[str, object]] = (
    {"$distinct_id": 42, "$email": "a@x.example", "seats": 1.5},
    {"$distinct_id": "u2", "$email": None},
)
TEAMS: Sequence[dict[str, object]] = ({"$group_id": 7, "$name": "Acme"}, {"$group_id": "b", "seats": 12})
# The digests of "a" and "abc" are those of RFC 1321.
EVENTS: Sequence[dict[str, object]] = (
    {"event": "paid", "distinct_id": 42, "time": "2026-11-22", "$insert_id": "a", "ip": 0, "sum": 1.5, "note": None},
    {"event": "left", "distinct_id": "", "time": "2026-11-22T01:00:00.5+01:00", "$insert_id": "abc", "ip": "1.2.3.4"},
)
SENT_EVENTS: list[object] = [
    {
        "event": "paid",
        "properties": {
            "sum": 1.5,
            "distinct_id": "42",
            "time": 1795305600000,
            "$insert_id": "0cc175b9c0f1b6a831c399e269772661",
            "ip": 0,
        },
    },
    {
        "event": "left",
        "properties": {
            "distinct_id": "",
            "time": 1795305600500,
            "$insert_id": "900150983cd24fb0d6963f7d28e17f72",
            "ip": "1.2.3.4",
        },
    },
]


def failed(at: int, field: str = "properties.time") -> HttpResponse:
    told = {"index": at, "insert_id": "0cc175b9", "field": field, "message": "it is invalid"}
    return answer(400, {"code": 400, "error": INVALID, "status": "Bad Request", "failed_records": [told]})


def profile(key: str, value: str, **more: object) -> dict[str, object]:
    return {"$token": TOKEN, key: value, **more}


def team(value: str, **more: object) -> dict[str, object]:
    return profile("$group_id", value, **{"$group_key": "company"}, **more)


def case(name: str, told: HttpResponse, means: Sequence[str] | str) -> Sample:
    about, object_name, key, rows, path, sent = CASES[name]
    return Sample(
        about=about,
        object_name=object_name,
        key=key,
        rows=rows,
        answers=[told],
        means=means,
        asks=("POST", API + path, sent),
        shows=SHOWS,
        settings=SETTINGS,
    )


CASES: dict[str, tuple[Operation, str, str, Sequence[dict[str, object]], str, object]] = {
    "set": (
        Operation.UPSERT,
        "profiles",
        "$distinct_id",
        PEOPLE,
        f"/engage{STRICT}",
        [
            profile("$distinct_id", "42", **{"$set": {"$email": "a@x.example", "seats": 1.5}}),
            profile("$distinct_id", "u2", **{"$set": {}}),
        ],
    ),
    "delete": (
        Operation.DELETE,
        "profiles",
        "$distinct_id",
        [{"$distinct_id": 42}, {"$distinct_id": "u2"}],
        f"/engage{STRICT}",
        [profile("$distinct_id", each, **{"$delete": ""}) for each in ("42", "u2")],
    ),
    "set groups": (
        Operation.UPSERT,
        "group:company",
        "$group_id",
        TEAMS,
        f"/groups{STRICT}",
        [team("7", **{"$set": {"$name": "Acme"}}), team("b", **{"$set": {"seats": 12}})],
    ),
    "delete groups": (
        Operation.DELETE,
        "group:company",
        "$group_id",
        [{"$group_id": 7}, {"$group_id": "b"}],
        f"/groups{STRICT}",
        [team(each, **{"$delete": ""}) for each in ("7", "b")],
    ),
    "events": (
        Operation.INSERT,
        "events",
        "$insert_id",
        EVENTS,
        "/import?strict=1&project_id=1234567",
        SENT_EVENTS,
    ),
}
PROFILES = ("set", "delete", "set groups", "delete groups")
ANSWERED = (
    *((told, BOTH) for told in (TAKEN, VERBOSE)),
    (UNREADABLE, "DESTINATION_VALIDATION"),
    (answer(200, {}), "IN_DOUBT"),
    (answer(200, 1), "IN_DOUBT"),
    (failed(2), "IN_DOUBT"),
    (answer(400, {"code": 400, "error": "invalid JSON", "status": "Bad Request"}), "DESTINATION_VALIDATION"),
)
REFUSED = (
    (answer(401, {"code": 401, "error": "Invalid credentials", "status": "Unauthorized"}), "CREDENTIALS_REFUSED"),
    (answer(403, {"error": "no", "status": "error"}), "CREDENTIALS_REFUSED"),
    (answer(413, {"code": 413, "error": "request exceeds max limit"}), "DESTINATION_VALIDATION"),
    (answer(429, {"code": 429, "error": "Project exceeded rate limits."}), "RATE_LIMIT:2"),
    (answer(429, {"code": 429}, {"retry-after": "7"}), "RATE_LIMIT:7"),
    (answer(502), "DESTINATION_UNAVAILABLE"),
)
TABLES = answer(200, {"code": 200, "status": "OK", "results": []})
PERSON_FIELDS = ["$distinct_id:key", "$name", "$email", "$phone", "$avatar", "$created"]
EVENT_FIELDS = ["event", "distinct_id", "time", "$insert_id", "ip"]


class TestMixpanel(ManifestContract):
    manifest = MANIFEST
    samples: ClassVar = (
        *(case(name, told, means) for name in CASES for told, means in ANSWERED),
        *(case("events", told, means) for told, means in REFUSED),
        case("events", answer(200, {"code": 200, "num_records_imported": 1, "status": "OK"}), "IN_DOUBT"),
        case("events", failed(1), ["delivered", "rejected:REJECTED:properties.time"]),
        *(case(name, failed(0, "$set"), ["rejected:REJECTED:$set", "retry:NOT_TAKEN"]) for name in PROFILES),
        Sample(
            about=Operation.DELETE,
            object_name="profiles",
            key="$distinct_id",
            rows=[{"$distinct_id": "u1"}],
            answers=[answer(400, {"code": 400, "error": "invalid JSON"})],
            means=["rejected:HTTP_400"],
            asks=(
                "POST",
                f"https://api-eu.mixpanel.com/engage{STRICT}",
                [profile("$distinct_id", "u1", **{"$delete": ""})],
            ),
            settings=SETTINGS | {"region": "eu"},
        ),
        *(
            Sample(
                about="check",
                answers=[TABLES],
                means=[],
                asks=("GET", f"https://{host}.mixpanel.com/lookup-tables?project_id=1234567", None),
                shows=SHOWS,
                settings=SETTINGS | {"region": region},
            )
            for region, host in (("us", "api"), ("eu", "api-eu"), ("in", "api-in"))
        ),
        Sample(about="objects", answers=[TABLES], means=["profiles", "events"], settings=SETTINGS),
        *(
            Sample(about="fields", object_name=name, answers=[TABLES], means=means, settings=SETTINGS)
            for name, means in (
                ("profiles", PERSON_FIELDS),
                ("group:company", ["$group_id:key", "$name"]),
                ("events", EVENT_FIELDS),
            )
        ),
        *(
            Sample(
                about=Operation.INSERT,
                object_name="events",
                key="$insert_id",
                rows=[{name: value for name, value in EVENTS[0].items() if name != lacking}],
                answers=[TAKEN],
                means="DESTINATION_INVALID",
                settings=SETTINGS,
            )
            for lacking in ("event", "distinct_id", "time", "ip")
        ),
        *(
            Sample(
                about=about,
                object_name=name,
                key="$name",
                rows=[{"$name": "Ada"}],
                answers=[TAKEN],
                means="DESTINATION_INVALID",
                settings=SETTINGS,
            )
            for name in ("profiles", "group:company")
            for about in (Operation.UPSERT, Operation.DELETE)
        ),
    )
    # Whatever it says but `delivered` means the same.
    unseen: ClassVar = tuple(
        f"{kind}operations.{about}.attribution.rest" for kind in ("", "kinds.0.") for about in ("upsert", "delete")
    )
