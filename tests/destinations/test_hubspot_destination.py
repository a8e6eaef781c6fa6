"""The answers are made after HubSpot's OpenAPI documents and guides: contacts, batches, properties, limits."""

from typing import ClassVar

from tailrace.connector_kit.http import HttpResponse
from tailrace.core.rows import Operation
from tailrace.destinations.hubspot import MANIFEST
from tailrace.testing.fake_http import answer
from tailrace.testing.manifest_contract import ManifestContract
from tailrace.testing.samples import Sample

API = "https://api.hubapi.com"
SETTINGS = {"token": "pat-na1-made-up"}
CONTACTS = f"{API}/crm/v3/objects/contacts/batch"
ROWS = (
    {"id": "a1", "email": "a@example.com", "age": 41},
    {"id": "a2", "email": None, "vip": True, "tags": ["x", "y"], "at": {"x": 1.50}},
)
TRACES = ("sample00-0", "sample00-1")
PROPERTIES = [
    {"id": "a1", "email": "a@example.com", "age": "41"},
    {"id": "a2", "email": "", "vip": "true", "tags": "x;y", "at": '{"x":1.5}'},
]


def sample(about: Operation, *answers: HttpResponse, means: list[str] | str, inputs: list[object], last: str) -> Sample:
    return Sample(
        about=about,
        object_name="contacts",
        rows=ROWS,
        answers=answers,
        means=means,
        asks=("POST", f"{CONTACTS}/{last}", {"inputs": inputs}),
        shows={"Authorization": "Bearer pat-na1-made-up"},
        settings=SETTINGS,
    )


def done(*traces: str) -> list[dict[str, object]]:
    return [{"id": "51", "properties": {}, "objectWriteTraceId": trace} for trace in traces]


def failure(trace: str, category: str) -> dict[str, object]:
    context = {"objectWriteTraceId": [trace]}
    return {"status": "error", "category": category, "message": "no", "context": context}


UPSERTS: list[object] = [
    {"id": "a1", "idProperty": "id", "objectWriteTraceId": TRACES[0], "properties": PROPERTIES[0]},
    {"id": "a2", "idProperty": "id", "objectWriteTraceId": TRACES[1], "properties": PROPERTIES[1]},
]
INSERTS: list[object] = [
    {"objectWriteTraceId": TRACES[0], "properties": PROPERTIES[0]},
    {"objectWriteTraceId": TRACES[1], "properties": PROPERTIES[1]},
]
UPDATES: list[object] = [{"id": "901", "objectWriteTraceId": TRACES[0], "properties": PROPERTIES[0]}]
RESULTS = [{"id": "901", "properties": {"id": "a1"}}]
FOUND = answer(200, {"status": "COMPLETE", "results": RESULTS})


def found_but(category: str) -> HttpResponse:
    """The first of two is found, and the other one not, for a reason."""
    error = {"status": "error", "category": category, "message": "no", "context": {"ids": ["a2"]}}
    return answer(207, {"status": "COMPLETE", "results": RESULTS, "numErrors": 1, "errors": [error]})


IDS: list[object] = [{"id": "a1"}, {"id": "a2"}]


def upsert(told: HttpResponse, means: list[str] | str) -> Sample:
    return sample(Operation.UPSERT, told, means=means, inputs=UPSERTS, last="upsert")


UPSERTED = (
    upsert(answer(200, {"status": "COMPLETE", "results": done(*TRACES)}), ["delivered", "delivered"]),
    upsert(
        answer(207, {"results": done(TRACES[0]), "numErrors": 1, "errors": [failure(TRACES[1], "VALIDATION_ERROR")]}),
        ["delivered", "rejected:VALIDATION_ERROR"],
    ),
    upsert(answer(207, {"results": [], "errors": []}), ["unknown:IN_DOUBT", "unknown:IN_DOUBT"]),
    upsert(answer(200, {"results": done("", "")}), ["delivered", "delivered"]),
    upsert(answer(200, {"results": done(TRACES[0])}), ["delivered", "unknown:IN_DOUBT"]),
    upsert(answer(400, {"status": "error", "category": "VALIDATION_ERROR", "message": "no"}), "DESTINATION_VALIDATION"),
    upsert(answer(401, {"status": "error", "category": "INVALID_AUTHENTICATION"}), "CREDENTIALS_REFUSED"),
    upsert(answer(403, {"status": "error", "category": "MISSING_SCOPES"}), "CREDENTIALS_REFUSED"),
    upsert(answer(423, {"status": "error"}), "RATE_LIMIT:10"),
    upsert(answer(429, {"category": "RATE_LIMITS"}, {"x-hubspot-ratelimit-remaining": "0"}), "RATE_LIMIT:10"),
    upsert(answer(429, {"category": "RATE_LIMITS"}, {"x-hubspot-ratelimit-daily-remaining": "0"}), "RATE_LIMIT:600"),
    upsert(answer(429, {"category": "RATE_LIMITS"}, {"retry-after": "3"}), "RATE_LIMIT:3"),
    upsert(answer(429, {"category": "RATE_LIMITS"}), "RATE_LIMIT:10"),
    upsert(answer(477, {}), "DESTINATION_UNAVAILABLE"),
)


INSERTED = (
    sample(
        Operation.INSERT,
        answer(201, {"results": done(TRACES[1])}),
        means=["unknown:IN_DOUBT", "delivered"],
        inputs=INSERTS,
        last="create",
    ),
    sample(
        Operation.INSERT,
        answer(207, {"results": done(TRACES[0]), "errors": [failure(TRACES[1], "CONFLICT")]}),
        means=["delivered", "rejected:ALREADY_EXISTS"],
        inputs=INSERTS,
        last="create",
    ),
    sample(
        Operation.INSERT,
        answer(201, {"results": done(*TRACES)}),
        means=["delivered", "delivered"],
        inputs=INSERTS,
        last="create",
    ),
    Sample(
        about=Operation.INSERT,
        object_name="contacts",
        rows=ROWS[:1],
        answers=[answer(409, {"category": "CONFLICT", "message": "Contact already exists. Existing ID: 51"})],
        means=["rejected:ALREADY_EXISTS"],
        settings=SETTINGS,
    ),
)
LOOKED_UP = (
    sample(
        Operation.UPDATE,
        FOUND,
        answer(200, {"results": done(TRACES[0], "somebody-else")}),
        means=["delivered", "rejected:NOT_FOUND"],
        inputs=UPDATES,
        last="update",
    ),
    sample(
        Operation.UPDATE,
        FOUND,
        answer(200, {"results": done(TRACES[0])}),
        means=["delivered", "rejected:NOT_FOUND"],
        inputs=UPDATES,
        last="update",
    ),
    sample(
        Operation.UPDATE,
        FOUND,
        answer(207, {"results": [], "errors": [failure(TRACES[0], "OBJECT_NOT_FOUND")]}),
        means=["rejected:NOT_FOUND", "rejected:NOT_FOUND"],
        inputs=UPDATES,
        last="update",
    ),
    sample(
        Operation.DELETE,
        FOUND,
        answer(204),
        means=["delivered", "delivered"],
        inputs=[{"id": "901"}],
        last="archive",
    ),
    *(
        Sample(
            about=operation,
            object_name="contacts",
            rows=ROWS,
            answers=[found_but(category), told],
            means=means,
            settings=SETTINGS,
        )
        for operation, told in (
            (Operation.UPDATE, answer(200, {"results": done(TRACES[0])})),
            (Operation.DELETE, answer(204)),
        )
        for category, means in (
            ("OBJECT_NOT_FOUND", ["delivered", "rejected:NOT_FOUND" if operation is Operation.UPDATE else "delivered"]),
            ("INTERNAL_ERROR", "DESTINATION_UNAVAILABLE"),
        )
    ),
    *(
        Sample(
            about=operation,
            object_name="contacts",
            rows=ROWS,
            answers=[answer(200, {"results": []})],
            means=means,
            asks=("POST", f"{CONTACTS}/read", {"idProperty": "id", "properties": ["id"], "inputs": IDS}),
            settings=SETTINGS,
        )
        for operation, means in (
            (Operation.UPDATE, ["rejected:NOT_FOUND", "rejected:NOT_FOUND"]),
            (Operation.DELETE, ["delivered", "delivered"]),
        )
    ),
)
SMALL_LETTERS = tuple(
    Sample(
        about=operation,
        object_name="contacts",
        rows=[{"id": "A1"}],
        answers=[FOUND, told],
        means=["delivered"],
        asks=("POST", f"{CONTACTS}/{last}", {"inputs": [{"id": "901"} | more]}),
        settings=SETTINGS,
    )
    for operation, told, last, more in (
        (Operation.DELETE, answer(204), "archive", {}),
        (
            Operation.UPDATE,
            answer(200, {"results": done(TRACES[0])}),
            "update",
            {"objectWriteTraceId": TRACES[0], "properties": {"id": "A1"}},
        ),
    )
)
SCHEMAS = {"results": [{"fullyQualifiedName": "p77_car", "labels": {"plural": "Cars"}}]}
PROPERTIES_OF_CONTACTS = {
    "results": [
        {"name": "email", "label": "Email", "type": "string", "hasUniqueValue": True},
        {"name": "createdate", "type": "datetime", "modificationMetadata": {"readOnlyValue": True}},
        {"name": "age", "type": "number", "hasUniqueValue": False, "modificationMetadata": {"readOnlyValue": False}},
    ]
}
SEARCH = {"processingTypes": ["MANUAL", "SNAPSHOT"], "count": 500}
LISTS: dict[str, object] = {
    "total": 3,
    "offset": 3,
    "lists": [
        {"listId": "7", "name": "Customers", "objectTypeId": "0-1"},
        {"listId": "8", "name": "Firms", "objectTypeId": "0-2"},
    ],
}
FIRST_LISTS = answer(200, LISTS | {"hasMore": True})
LAST_LISTS = answer(200, {"offset": 3, "hasMore": False, "lists": [{"listId": "10", "objectTypeId": "0-1"}]})


def member(operation: Operation, told: dict[str, list[str]], means: list[str], last: str) -> Sample:
    return Sample(
        about=operation,
        object_name="list:7",
        rows=[{"id": "A1"}, {"id": "a9"}],
        answers=[FOUND, answer(200, told)],
        means=means,
        asks=("PUT", f"{API}/crm/v3/lists/7/memberships/{last}", ["901"]),
        settings=SETTINGS,
    )


def told_members(*missing: str) -> dict[str, list[str]]:
    return {"recordsIdsAdded": [], "recordIdsRemoved": [], "recordIdsMissing": list(missing)}


MEMBERS = (
    member(Operation.UPSERT, told_members(), ["delivered", "rejected:NOT_FOUND"], "add"),
    member(Operation.UPSERT, told_members("901"), ["rejected:NOT_FOUND", "rejected:NOT_FOUND"], "add"),
    member(Operation.DELETE, told_members(), ["delivered", "delivered"], "remove"),
    member(Operation.DELETE, told_members("901"), ["delivered", "delivered"], "remove"),
    *(
        Sample(
            about=operation,
            object_name="list:7",
            rows=[{"id": "A1"}, {"id": "a2"}],
            answers=[found_but(category), answer(200, told_members())],
            means=means,
            settings=SETTINGS,
        )
        for operation in (Operation.UPSERT, Operation.DELETE)
        for category, means in (
            ("OBJECT_NOT_FOUND", ["delivered", "rejected:NOT_FOUND" if operation is Operation.UPSERT else "delivered"]),
            ("INTERNAL_ERROR", "DESTINATION_UNAVAILABLE"),
        )
    ),
    *(
        Sample(
            about=operation,
            object_name="list:7",
            rows=[{"id": "a1"}],
            answers=[answer(200, {"results": []})],
            means=[means],
            asks=("POST", f"{CONTACTS}/read", {"idProperty": "id", "properties": ["id"], "inputs": [{"id": "a1"}]}),
            settings=SETTINGS,
        )
        for operation, means in ((Operation.UPSERT, "rejected:NOT_FOUND"), (Operation.DELETE, "delivered"))
    ),
)
ASKED = (
    Sample(
        about="check",
        answers=[answer(200, {"portalId": 1})],
        means=[],
        asks=("GET", f"{API}/account-info/v3/details", None),
        shows={"Authorization": "Bearer pat-na1-made-up"},
        settings=SETTINGS,
    ),
    Sample(
        about="objects",
        answers=[answer(200, SCHEMAS), FIRST_LISTS, LAST_LISTS],
        means=["contacts", "companies", "deals", "tickets", "p77_car", "list:7", "list:10"],
        asks=("POST", f"{API}/crm/v3/lists/search", {**SEARCH, "offset": 3}),
        settings=SETTINGS,
    ),
    Sample(
        about="objects",
        answers=[answer(401, {"category": "INVALID_AUTHENTICATION"})],
        means="CREDENTIALS_REFUSED",
        asks=("GET", f"{API}/crm-object-schemas/v3/schemas", None),
        settings=SETTINGS,
    ),
    Sample(
        about="fields",
        object_name="p77_car",
        answers=[answer(200, SCHEMAS), answer(200, PROPERTIES_OF_CONTACTS)],
        means=["email:key", "createdate:read_only", "age"],
        asks=("GET", f"{API}/crm/v3/properties/p77_car", None),
        settings=SETTINGS,
    ),
    Sample(
        about="fields",
        object_name="list:7",
        answers=[answer(200, LISTS | {"hasMore": False}), answer(200, PROPERTIES_OF_CONTACTS)],
        means=["email:key", "createdate", "age"],
        asks=("GET", f"{API}/crm/v3/properties/contacts", None),
        settings=SETTINGS,
    ),
    Sample(
        about="fields",
        object_name="contacts",
        answers=[answer(200, SCHEMAS), answer(200, PROPERTIES_OF_CONTACTS)],
        means=["email:key", "createdate:read_only", "age"],
        asks=("GET", f"{API}/crm/v3/properties/contacts", None),
        settings=SETTINGS,
    ),
)


class TestHubSpot(ManifestContract):
    manifest = MANIFEST
    samples: ClassVar = (*UPSERTED, *INSERTED, *LOOKED_UP, *SMALL_LETTERS, *MEMBERS, *ASKED)
