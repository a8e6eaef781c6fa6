"""The answers are made after Iterable's API description: bulk updates, deletes, fields, limits."""

from typing import ClassVar

from tailrace.connector_kit.http import HttpResponse
from tailrace.core.rows import Operation
from tailrace.destinations.iterable import MANIFEST, REASONS
from tailrace.testing.fake_http import answer
from tailrace.testing.manifest_contract import ManifestContract
from tailrace.testing.samples import Sample

API = "https://api.iterable.com"
SETTINGS = {"api_key": "made-up-api-key"}
SHOWS = {"Api-Key": "made-up-api-key"}
BY_ID = ({"userId": "u1", "email": "A@x.example", "score": 1.5}, {"userId": "U2", "email": None, "tags": ["a"]})
BY_ADDRESS = ({"email": "A@x.example", "score": 2}, {"email": "b@x.example", "score": None})
ANSWERED = {"successCount": 1, "failCount": 1}


def user(identity: dict[str, object], fields: dict[str, object]) -> object:
    return identity | {"dataFields": fields, "preferUserId": True, "mergeNestedObjects": False}


def by_id(told: HttpResponse, means: list[str] | str) -> Sample:
    users = [
        user({"userId": "u1", "email": "A@x.example"}, {"score": 1.5}),
        user({"userId": "U2"}, {"tags": ["a"]}),
    ]
    return Sample(
        about=Operation.UPSERT,
        object_name="users",
        key="userId",
        rows=BY_ID,
        answers=[told],
        means=means,
        asks=("POST", f"{API}/api/users/bulkUpdate", {"createNewFields": True, "users": users}),
        shows=SHOWS,
        settings=SETTINGS,
    )


def of_one_family(told: HttpResponse, means: list[str] | str) -> Sample:
    rows: list[dict[str, object]] = [
        {"userId": "u1", "email": "a@x.example"},
        {"userId": "u2", "email": "A@x.example"},
    ]
    asked = {"createNewFields": True, "users": [user(each, {}) for each in rows]}
    return Sample(
        about=Operation.UPSERT,
        object_name="users",
        key="userId",
        rows=rows,
        answers=[told],
        means=means,
        asks=("POST", f"{API}/api/users/bulkUpdate", asked),
        settings=SETTINGS,
    )


def by_number() -> Sample:
    return Sample(
        about=Operation.UPSERT,
        object_name="users",
        key="userId",
        rows=({"userId": 42, "score": 1},),
        answers=[answer(200, {"successCount": 1, "failCount": 0})],
        means=["delivered"],
        asks=("POST", f"{API}/api/users/bulkUpdate", {"createNewFields": True, "users": [NUMBERED]}),
        settings=SETTINGS,
    )


def by_address(told: HttpResponse, means: list[str] | str) -> Sample:
    users = [user({"email": "A@x.example"}, {"score": 2}), user({"email": "b@x.example"}, {"score": None})]
    return Sample(
        about=Operation.UPSERT,
        object_name="users",
        key="email",
        rows=BY_ADDRESS,
        answers=[told],
        means=means,
        asks=(
            "POST",
            "https://api.eu.iterable.com/api/users/bulkUpdate",
            {"createNewFields": True, "users": users},
        ),
        settings=SETTINGS | {"region": "eu"},
    )


def delete(key: str, path: str, told: HttpResponse, means: list[str] | str) -> Sample:
    return Sample(
        about=Operation.DELETE,
        object_name="users",
        key=key,
        rows=[{key: "a b/c"}],
        answers=[told],
        means=means,
        asks=("DELETE", f"{API}/api/users/{path}", None),
        shows=SHOWS,
        settings=SETTINGS,
    )


def listed(name: str, *keys: str) -> HttpResponse:
    return answer(200, ANSWERED | {"failedUpdates": {name: list(keys)}})


NUMBERED = user({"userId": "42"}, {"score": 1})
UPDATED = (
    by_number(),
    by_id(answer(200, {"successCount": 2, "failCount": 0}), ["delivered", "delivered"]),
    by_id(answer(200, {"successCount": 1, "failCount": 1}), "IN_DOUBT"),
    by_id(answer(200, {"successCount": 2}), "IN_DOUBT"),
    by_address(answer(200, {"successCount": 2, "failCount": 0}), ["delivered", "delivered"]),
    *(by_id(listed(f"{name}UserIds", "u2"), ["delivered", f"rejected:{REASONS[name][0]}"]) for name in REASONS),
    *(
        by_address(listed(f"{name}Emails", "a@x.example"), [f"rejected:{REASONS[name][0]}", "delivered"])
        for name in REASONS
    ),
    by_id(listed("invalidUserIds", "somebody"), "IN_DOUBT"),
    by_id(answer(200, ANSWERED | {"invalidUserIds": ["u1"]}), ["rejected:INVALID", "delivered"]),
    by_address(answer(200, ANSWERED | {"invalidEmails": ["b@x.example"]}), ["delivered", "rejected:INVALID"]),
    by_id(listed("conflictEmails", "a@x.example"), ["rejected:CONFLICT", "delivered"]),
    of_one_family(answer(200, {"successCount": 2, "failCount": 0}), ["delivered", "delivered"]),
    of_one_family(listed("invalidUserIds", "u2"), ["delivered", "rejected:INVALID"]),
    of_one_family(listed("conflictEmails", "a@x.example"), "DESTINATION_VALIDATION"),
    by_id(answer(400, {"code": "RequestFieldsTypesMismatched", "msg": "no"}), "DESTINATION_VALIDATION"),
    by_id(answer(401, {"code": "BadApiKey"}), "CREDENTIALS_REFUSED"),
    by_id(answer(429, {"code": "RateLimitExceeded", "params": {"rateLimitReset": 7}}), "RATE_LIMIT:7"),
    by_id(answer(429, {"code": "RateLimitExceeded"}), "RATE_LIMIT:1"),
)
DELETED = (
    delete("userId", "byUserId/a%20b%2Fc", answer(200, {"code": "Success"}), ["delivered"]),
    delete("email", "a%20b%2Fc", answer(404, {"code": "NotFound"}), ["delivered"]),
    delete("email", "a%20b%2Fc", answer(400, {"code": "BadParams", "msg": "no"}), ["rejected:BadParams"]),
)
FIELDS = answer(200, {"fields": {"score": "double", "email": "string"}})
ASKED = (
    Sample(
        about="check",
        answers=[FIELDS],
        means=[],
        asks=("GET", f"{API}/api/users/getFields", None),
        shows=SHOWS,
        settings=SETTINGS,
    ),
    Sample(about="objects", answers=[FIELDS], means=["users"], settings=SETTINGS),
    Sample(
        about="fields",
        object_name="users",
        answers=[FIELDS],
        means=["userId:key", "email:key", "score"],
        asks=("GET", f"{API}/api/users/getFields", None),
        settings=SETTINGS,
    ),
)


class TestIterable(ManifestContract):
    manifest = MANIFEST
    samples: ClassVar = (*UPDATED, *DELETED, *ASKED)
