"""The requests to Customer.io, Iterable and Salesforce are those that are described, looked at on 2026-11-22.

https://docs.customer.io/files/journeys-track.json as it was on 2026-10-04, https://api.iterable.com/api/docs, and
Salesforce's guide to sObject collections, release 264.
"""

from urllib.parse import parse_qs, urlsplit

import jsonschema
import pytest

from tailrace.connector_kit.manifest.model import Manifest
from tailrace.core.rows import Operation
from tailrace.destinations.customerio import MANIFEST as CUSTOMERIO
from tailrace.destinations.iterable import MANIFEST as ITERABLE
from tailrace.destinations.salesforce import API
from tailrace.destinations.salesforce import MANIFEST as SALESFORCE
from tests.destinations.described import TEXT, Described, Json, record, recorded, refuse_what_is_not

PERSON: Json = {
    "type": {"const": "person"},
    "identifiers": {"oneOf": [record({name: TEXT}, name) for name in ("id", "email", "phone", "cio_id")]},
}
ANYTHING: Json = {"type": "object"}


def batch(action: str, more: dict[str, Json], *required: str) -> Described:
    item = record({**PERSON, "action": {"const": action}, **more}, "type", "identifiers", "action", *required)
    return Described("POST", "/api/v2/batch", record({"batch": {"type": "array", "items": item}}, "batch"))


USER = record(
    {
        "userId": TEXT,
        "email": TEXT,
        "dataFields": ANYTHING,
        "preferUserId": {"type": "boolean"},
        "mergeNestedObjects": {"type": "boolean"},
    }
)
USERS = record({"createNewFields": {"type": "boolean"}, "users": {"type": "array", "items": USER}}, "users")
EVENTS = CUSTOMERIO.family_of("events")
ULID: Json = {"type": "string", "pattern": "^[0-7][0-9A-HJKMNP-TV-Z]{25}$"}
EVENT = {"id": ULID, "name": TEXT, "timestamp": {"type": "integer"}, "attributes": ANYTHING}


def records(method: str, path: str, **own: Json) -> Described:
    """A collection of up to 200 records, each with its type; an upsert and an insert must not set their id."""
    known = {"attributes": record({"type": TEXT}, "type"), **own}
    unset: Json = {} if "Id" in own else {"not": {"required": ["Id"]}}
    listed = {"type": "array", "maxItems": 200, "items": record(known, *known, closed=False) | unset}
    body = record({"allOrNone": {"type": "boolean"}, "records": listed}, "records")
    return Described(method, f"{API}/composite/sobjects{path}", body)


DESCRIBED = {
    "customerio upsert": (CUSTOMERIO, Operation.UPSERT, batch("identify", {"attributes": ANYTHING})),
    "customerio delete": (CUSTOMERIO, Operation.DELETE, batch("delete", {})),
    "customerio events": (EVENTS, Operation.INSERT, batch("event", EVENT, "name")),
    "iterable upsert": (ITERABLE, Operation.UPSERT, Described("POST", "/api/users/bulkUpdate", USERS)),
    "salesforce upsert": (
        SALESFORCE,
        Operation.UPSERT,
        records("PATCH", "/listed_object/key_field", key_field=TEXT),
    ),
    "salesforce update": (SALESFORCE, Operation.UPDATE, records("PATCH", "", Id=TEXT)),
    "salesforce insert": (SALESFORCE, Operation.INSERT, records("POST", "")),
    "salesforce delete": (SALESFORCE, Operation.DELETE, Described("DELETE", f"{API}/composite/sobjects", None)),
    "iterable delete": (ITERABLE, Operation.DELETE, Described("DELETE", "/api/users/byUserId/key-0", None)),
}


@pytest.mark.parametrize("name", DESCRIBED)
async def test_request_is_as_the_vendor_describes_it(name: str) -> None:
    manifest, operation, described = DESCRIBED[name]

    refuse_what_is_not(described, await recorded(manifest, operation))


@pytest.mark.parametrize(
    ("manifest", "name", "row"),
    [
        (CUSTOMERIO, "customerio upsert", {"id": 42, "other_field": 1.5}),
        (CUSTOMERIO, "customerio delete", {"id": 42}),
        (EVENTS, "customerio events", {"id": 42, "name": "bought", "timestamp": "2026-11-22T10:00:00Z"}),
        (ITERABLE, "iterable upsert", {"userId": 42, "other_field": True}),
        (ITERABLE, "iterable upsert", {"userId": 42, "email": None}),
    ],
)
async def test_key_that_is_a_number_is_sent_as_the_vendor_describes_it(
    manifest: Manifest, name: str, row: Json
) -> None:
    _, operation, described = DESCRIBED[name]

    refuse_what_is_not(described, await recorded(manifest, operation, row))


async def test_ids_to_delete_stand_in_the_address() -> None:
    asked = await recorded(SALESFORCE, Operation.DELETE)

    told = parse_qs(urlsplit(asked.url).query, strict_parsing=True)
    assert {name: values[0].split(",") for name, values in told.items()} == {
        "ids": ["id-key-0", "id-key-1", "id-key-2"],
        "allOrNone": ["false"],
    }


@pytest.mark.parametrize("name", ["customerio upsert", "iterable upsert", "salesforce upsert"])
@pytest.mark.parametrize(
    "wrong", [{"batch": [{"type": "person"}]}, {"users": [{"userId": 1}]}, {"records": [{"Id": "1"}]}, {"rows": []}]
)
def test_description_refuses_what_the_vendor_would(name: str, wrong: Json) -> None:
    _, _, described = DESCRIBED[name]

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, described.body or {})


def test_every_operation_is_described() -> None:
    operations = [
        (family.objects, operation)
        for manifest in (CUSTOMERIO, ITERABLE, SALESFORCE)
        for family in manifest.families
        for operation in family.operations
    ]

    assert len(operations) == len(DESCRIBED)
