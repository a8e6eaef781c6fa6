"""The requests to Braze are those that its documents describe, looked at on 2026-11-23.

https://www.braze.com/docs/api/objects_filters/ for the objects, https://www.braze.com/docs/api/endpoints/ for the rest.
"""

import jsonschema
import orjson
import pytest
from pydantic import ValidationError

from tailrace.connector_kit.destination import Target, WritePlan
from tailrace.connector_kit.manifest.engine import destination_of
from tailrace.core.batches import Batch
from tailrace.core.rows import Operation, Row, RowKey
from tailrace.core.snapshots import hash_row
from tailrace.destinations.braze import MANIFEST
from tailrace.testing.fake_http import FakeHttp, answer
from tests.destinations.described import TEXT, Described, Json, record, recorded, refuse_what_is_not

SETTINGS = {"instance": "US-01", "api_key": "made-up-key"}
OK = {"message": "success"}
CATALOGS = answer(200, OK | {"catalogs": [{"name": "inns"}]})
WHO: Json = {"external_id": TEXT, "braze_id": TEXT, "email": TEXT, "phone": TEXT}
ONE_KEY: Json = {"anyOf": [{"required": [name]} for name in WHO]}
BY_ALIAS: Json = {"user_alias": record({"alias_name": TEXT, "alias_label": TEXT}, "alias_name", "alias_label")}
ONE_ALIAS: Json = {"anyOf": [{"required": ["user_alias"]}]}
TIME: Json = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d:\d\d|Z)$"}
PROPERTIES: Json = {"type": "object", "propertyNames": {"pattern": "^[^$]", "not": {"enum": ["time", "event_name"]}}}
PURCHASE: Json = {
    "product_id": TEXT,
    "currency": {"type": "string", "pattern": "^[A-Z]{3}$"},
    "price": {"type": "number"},
    "quantity": {"type": "integer", "maximum": 100},
}


def listed(name: str, most: int, item: Json) -> Json:
    """A body with nothing but one list."""
    return record({name: {"type": "array", "minItems": 1, "maxItems": most, "items": item}}, name)


def track(name: str, item: Json) -> Described:
    return Described("POST", "/users/track", listed(name, 75, item))


def attributes(who: Json, more: Json, *, is_update: bool) -> Described:
    flag: Json = {"_update_existing_only": {"const": is_update}}
    return track("attributes", record(flag | who, *flag, closed=False) | more)


def deed(array: str, told: Json) -> Described:
    flag: Json = {"_update_existing_only": {"type": "boolean"}}
    known = {**WHO, **flag, "app_id": TEXT, "time": TIME, "properties": PROPERTIES, **told}
    return track(array, record(known, "time", *told) | ONE_KEY)


def items(method: str, more: Json) -> Described:
    item_id: Json = {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,250}$"}
    return Described(method, "/catalogs/listed_object/items", listed("items", 50, record({"id": item_id}, "id") | more))


ANY_FIELD: Json = {"additionalProperties": True}
USERS, ALIASES, EVENTS, PURCHASES, CATALOG = MANIFEST.families
DESCRIBED = {
    "users upsert": (USERS, Operation.UPSERT, attributes(WHO, ONE_KEY, is_update=False)),
    "users update": (USERS, Operation.UPDATE, attributes(WHO, ONE_KEY, is_update=True)),
    "users delete": (USERS, Operation.DELETE, Described("POST", "/users/delete", listed("external_ids", 50, TEXT))),
    "aliases upsert": (ALIASES, Operation.UPSERT, attributes(BY_ALIAS, ONE_ALIAS, is_update=False)),
    "aliases update": (ALIASES, Operation.UPDATE, attributes(BY_ALIAS, ONE_ALIAS, is_update=True)),
    "events": (EVENTS, Operation.INSERT, deed("events", {"name": TEXT})),
    "purchases": (PURCHASES, Operation.INSERT, deed("purchases", PURCHASE)),
    "items upsert": (CATALOG, Operation.UPSERT, items("PUT", ANY_FIELD)),
    "items update": (CATALOG, Operation.UPDATE, items("PATCH", ANY_FIELD)),
    "items delete": (CATALOG, Operation.DELETE, items("DELETE", {})),
}
BOUGHT: Json = {"product_id": "pen", "currency": "CHF", "price": "2.50", "quantity": "2", "time": "2026-11-22 09:30:00"}


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("users upsert", {"external_id": 42, "email": "a@x.example", "other_field": 1.5}),
        ("users update", {"external_id": 42, "phone": 15043277269}),
        ("users delete", {"external_id": 42}),
        ("aliases upsert", {"alias_name": 42, "alias_label": 7, "other_field": None}),
        ("aliases update", {"alias_name": 42, "alias_label": "crm"}),
        ("events", {"external_id": 42, "name": "paid", "time": "2026-11-22", "app_id": 7, "sum": 1.5}),
        ("events", {"external_id": None, "email": "a@x.example", "name": "paid", "time": "2026-11-22T09:30:00Z"}),
        (
            "events",
            {"external_id": None, "phone": 1, "name": "paid", "time": "2026-11-22", "_update_existing_only": True},
        ),
        ("purchases", BOUGHT | {"external_id": 42, "color": "red"}),
        ("items upsert", {"id": 42, "Name": "Inn"}),
        ("items update", {"id": 42, "Name": None}),
        ("items delete", {"id": 42}),
    ],
)
async def test_request_is_as_braze_describes_it(name: str, row: Json) -> None:
    manifest, operation, described = DESCRIBED[name]

    refuse_what_is_not(described, await recorded(manifest, operation, row))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("users upsert", {"attributes": [{"_update_existing_only": False, "plan": "pro"}]}),
        ("users update", {"attributes": [{"_update_existing_only": True, "external_id": 42}]}),
        ("users delete", {"external_ids": [42]}),
        ("events", {"events": [{"external_id": "42", "name": "paid", "time": "2026-11-22T09:30:00"}]}),
        ("purchases", {"purchases": [BOUGHT | {"external_id": "42"}]}),
        ("items upsert", {"items": [{"id": "a b"}]}),
    ],
)
def test_description_refuses_what_braze_would(name: str, wrong: Json) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, DESCRIBED[name][2].body or {})


def test_every_operation_is_described() -> None:
    assert len(DESCRIBED) == sum(len(family.operations) for family in MANIFEST.families)


@pytest.mark.parametrize(
    ("name", "operation", "key", "rows", "pace", "is_idempotent"),
    [
        ("users", Operation.UPSERT, "external_id", 75, 1000, True),
        ("users", Operation.DELETE, "email", 50, 20_000 / 60, True),
        ("events", Operation.INSERT, "external_id", 75, 1000, False),
        ("catalog:inns", Operation.UPSERT, "id", 50, 16_000 / 60, True),
    ],
)
async def test_batches_are_cut_and_paced_by_the_limits(
    name: str, operation: Operation, key: str, rows: int, pace: float, *, is_idempotent: bool
) -> None:
    planned = await plan(Target(name, operation, (key,), (key, "name", "time")))

    assert (planned.rows_per_batch, planned.requests_per_s) == (rows, pace)
    assert planned.bytes_per_batch <= 4_000_000
    assert planned.is_idempotent is is_idempotent


async def test_limits_of_an_older_contract_can_be_set() -> None:
    target = Target("users", Operation.UPSERT, ("email",), ("email",))

    planned = await plan(target, rows_per_batch=50, rates={"track": "50000/1min"})

    assert (planned.rows_per_batch, planned.requests_per_s) == (50, 50_000 / 60)


async def test_event_without_a_time_that_can_be_read_is_rejected_and_the_others_go() -> None:
    times = ["2026-11-22 09:30:00", "yesterday-private", "2026-11-22T09:30:00.5-05:00"]
    rows = [orjson.dumps({"external_id": "u1", "name": "paid", "time": each}) for each in times]
    target = Target("events", Operation.INSERT, (), ("external_id", "name", "time"))
    connector, http = destination_of(MANIFEST), FakeHttp(answer(201, OK))

    async with connector.open(connector.settings_type.model_validate(SETTINGS), http) as destination:
        batch = Batch(target.operation, [Row(RowKey(()), body, hash_row(body)) for body in rows], "batch-id")
        written = await destination.write(await destination.plan(target), batch)

    assert [outcome.code for outcome in written.outcomes] == ["", "NOT_REPRESENTABLE", ""]
    assert "private" not in str(written.outcomes[1])
    assert [event["time"] for event in orjson.loads(http.requests[0].body)["events"]] == [
        "2026-11-22T09:30:00+00:00",
        "2026-11-22T09:30:00.500000-05:00",
    ]


@pytest.mark.parametrize(
    ("instance", "host"),
    [
        ("US-08", "rest.iad-08.braze.com"),
        ("US-10", "rest.us-10.braze.com"),
        ("EU-02", "rest.fra-02.braze.eu"),
        ("AU-01", "rest.au-01.braze.com"),
        ("ID-01", "rest.id-01.braze.com"),
        ("JP-01", "rest.jp-01.braze.com"),
        ("KR-01", "rest.kr-01.braze.com"),
    ],
)
async def test_requests_go_to_the_instance_of_the_account(instance: str, host: str) -> None:
    connector, http = destination_of(MANIFEST), FakeHttp(CATALOGS)
    settings = connector.settings_type.model_validate(SETTINGS | {"instance": instance})

    async with connector.open(settings, http) as destination:
        await destination.check()

    assert http.requests[0].url == f"https://{host}/catalogs"


@pytest.mark.parametrize("given", [{"api_key": "k"}, {"api_key": "k", "instance": "US-09"}])
def test_instance_must_be_chosen(given: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="instance"):
        destination_of(MANIFEST).settings_type.model_validate(given)


async def plan(target: Target, **more: object) -> WritePlan:
    """The plan for a target, by settings of the account's own."""
    connector = destination_of(MANIFEST)
    settings = connector.settings_type.model_validate(SETTINGS | more)
    async with connector.open(settings, FakeHttp(CATALOGS)) as destination:
        return await destination.plan(target)
