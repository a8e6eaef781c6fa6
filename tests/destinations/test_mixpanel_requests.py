"""The requests to Mixpanel are those that its API description has, looked at on 2026-11-23.

https://docs.mixpanel.com/reference/ingestion-api and the pages below it.
"""

import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import jsonschema
import orjson
import pytest
import pytest_asyncio
from pydantic import ValidationError

from tailrace.connector_kit.destination import Clearing, Destination, Target
from tailrace.connector_kit.manifest.attribution import NOT_VERIFIED
from tailrace.core.batches import Batch
from tailrace.core.errors import BatchRefused, DestinationInvalid, InDoubt, TailraceError, Throttled
from tailrace.core.rows import DELIVERED, Operation, Row, RowKey, RowOutcome
from tailrace.core.snapshots import hash_row
from tailrace.destinations.mixpanel import MANIFEST, MixpanelDestination
from tailrace.testing.fake_http import Answer, FakeHttp, answer
from tests.destinations.described import TEXT, Described, Json, record, recorded, refuse_what_is_not
from tests.destinations.test_mixpanel_destination import CASES, EVENTS, SETTINGS, TAKEN, TOKEN, failed, profile

ID: Json = {"type": "string", "pattern": "^[A-Za-z0-9-]{1,36}$"}
PROPERTIES = record(
    {"time": {"type": "integer"}, "distinct_id": {"type": "string"}, "$insert_id": ID},
    "time",
    "distinct_id",
    "$insert_id",
    closed=False,
)
WHO: Json = {"$token": TEXT, "$distinct_id": TEXT}
TEAM: Json = {"$token": TEXT, "$group_key": TEXT, "$group_id": TEXT}
ANY: Json = {"type": "object"}


def listed(properties: Json) -> Json:
    items = record(properties, *properties)
    return {"type": "array", "minItems": 1, "maxItems": 2000, "items": items}


PEOPLE_FAMILY, TEAM_FAMILY, EVENT_FAMILY = MANIFEST.families
DESCRIBED = {
    "set": (PEOPLE_FAMILY, Operation.UPSERT, Described("POST", "/engage", listed(WHO | {"$set": ANY}))),
    "delete": (PEOPLE_FAMILY, Operation.DELETE, Described("POST", "/engage", listed(WHO | {"$delete": {}}))),
    "set groups": (TEAM_FAMILY, Operation.UPSERT, Described("POST", "/groups", listed(TEAM | {"$set": ANY}))),
    "delete groups": (TEAM_FAMILY, Operation.DELETE, Described("POST", "/groups", listed(TEAM | {"$delete": {}}))),
    "events": (
        EVENT_FAMILY,
        Operation.INSERT,
        Described("POST", "/import", listed({"event": TEXT, "properties": PROPERTIES})),
    ),
}


@pytest.mark.parametrize("name", DESCRIBED)
async def test_request_is_as_mixpanel_describes_it(name: str) -> None:
    manifest, operation, described = DESCRIBED[name]

    refuse_what_is_not(described, await recorded(manifest, operation))
    refuse_what_is_not(described, await recorded(manifest, operation, *_fit(name)))


def _fit(name: str) -> list[Json]:
    """Rows with keys that are numbers."""
    return [dict(CASES[name][3][0]) | {CASES[name][2]: 42}]


@pytest.mark.parametrize(
    "wrong", [[], [{"$token": TOKEN, "$set": {}}], [{"event": "paid", "properties": {"time": "2026-11-22"}}]]
)
@pytest.mark.parametrize("name", DESCRIBED)
def test_description_refuses_what_mixpanel_would(name: str, wrong: list[Json]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, DESCRIBED[name][2].body or {})


@dataclass(frozen=True, slots=True)
class Project:
    """A connection, and what was sent by it."""

    destination: Destination
    http: FakeHttp

    async def upsert(self, *rows: Json, name: str = "profiles", key: str = "$distinct_id") -> Sequence[RowOutcome]:
        bodies = [orjson.dumps(each) for each in rows]
        made = [Row(RowKey((str(each[key]),)), body, hash_row(body)) for each, body in zip(rows, bodies, strict=True)]
        fields = tuple(dict.fromkeys(field for each in rows for field in each))
        plan = await self.destination.plan(Target(name, Operation.UPSERT, (key,), fields))
        return (await self.destination.write(plan, Batch(Operation.UPSERT, made, "batch-id"))).outcomes

    @property
    def sent(self) -> list[object]:
        return [orjson.loads(request.body) for request in self.http.requests]


@pytest_asyncio.fixture
async def project() -> AsyncIterator[Project]:
    http = FakeHttp(TAKEN)
    async with MixpanelDestination.open(MixpanelDestination.settings_type.model_validate(SETTINGS), http) as opened:
        yield Project(opened, http)


def test_null_clears_and_what_is_absent_stays() -> None:
    assert MixpanelDestination.clearing is Clearing.BY_NULL
    assert MixpanelDestination.can_leave_out


async def test_null_is_cleared_by_a_second_request_for_the_rows_that_have_one(project: Project) -> None:
    outcomes = await project.upsert(
        {"$distinct_id": 9007199254740993, "plan": "pro", "note": None, "$email": None},
        {"$distinct_id": "u2", "plan": "null"},
    )

    assert outcomes == [NOT_VERIFIED] * 2
    assert project.sent == [
        [
            profile("$distinct_id", "9007199254740993", **{"$set": {"plan": "pro"}}),
            profile("$distinct_id", "u2", **{"$set": {"plan": "null"}}),
        ],
        [profile("$distinct_id", "9007199254740993", **{"$unset": ["note", "$email"]})],
    ]


async def test_null_of_a_group_is_cleared_in_its_group(project: Project) -> None:
    await project.upsert({"$group_id": "acme", "plan": None}, name="group:company", key="$group_id")

    who = {"$token": TOKEN, "$group_key": "company", "$group_id": "acme"}
    assert project.sent == [[who | {"$set": {}}], [who | {"$unset": ["plan"]}]]


async def test_row_that_was_not_taken_is_not_cleared(project: Project) -> None:
    project.http.then(failed(0, "$set"), TAKEN)

    outcomes = await project.upsert({"$distinct_id": "u1", "plan": None}, {"$distinct_id": "u2", "plan": None})

    assert [outcome.verdict for outcome in outcomes] == ["rejected", "retry"]
    assert len(project.http.requests) == 1


async def test_row_is_delivered_only_if_it_is_cleared_too(project: Project) -> None:
    project.http.then(TAKEN, failed(1, "$unset"))

    outcomes = await project.upsert(
        {"$distinct_id": "u1", "plan": None}, {"$distinct_id": "u2"}, {"$distinct_id": "u3", "plan": None}
    )

    assert [outcome.verdict for outcome in outcomes] == ["retry", "delivered", "rejected"]


@pytest.mark.parametrize(
    ("told", "error"),
    [
        (InDoubt("the answer is lost"), InDoubt),
        (answer(429), Throttled),
        (answer(400, {"error": "invalid JSON"}), BatchRefused),
    ],
    ids=["lost", "throttled", "refused"],
)
async def test_batch_whose_clearing_failed_comes_again_as_a_whole(
    project: Project, told: Answer, error: type[TailraceError]
) -> None:
    rows: list[Json] = [{"$distinct_id": each, "plan": None} for each in ("u1", "u2")]
    project.http.then(TAKEN, told)

    with pytest.raises(error):
        await project.upsert(*rows)
    project.http.then(TAKEN)
    outcomes = await project.upsert(*rows)

    assert [outcome.verdict for outcome in outcomes] == ["delivered", "delivered"]
    assert project.sent[:2] == project.sent[2:]


async def test_row_above_its_limit_is_rejected_and_the_others_go(project: Project) -> None:
    outcomes = await project.upsert({"$distinct_id": "u1", "text": "x" * 1_000_000}, {"$distinct_id": "u2", "text": ""})

    assert [outcome.code for outcome in outcomes] == ["ROW_TOO_LARGE", "NOT_VERIFIED"]
    assert project.sent == [[profile("$distinct_id", "u2", **{"$set": {"text": ""}})]]


async def test_event_whose_time_cannot_be_read_is_rejected_untold_and_comes_with_the_same_id_again() -> None:
    http = FakeHttp(answer(200, {"code": 200, "num_records_imported": 1, "status": "OK"}))
    times = ["2026-11-22 09:30:00", "yesterday-private"]
    told = {"event": "paid", "distinct_id": "u1", "ip": 0, "$insert_id": "order 17, line 2"}
    bodies = [orjson.dumps(told | {"time": each}) for each in times]
    rows = [Row(RowKey(()), body, hash_row(body)) for body in bodies]
    async with MixpanelDestination.open(MixpanelDestination.settings_type.model_validate(SETTINGS), http) as opened:
        plan = await opened.plan(Target("events", Operation.INSERT, (), (*told, "time")))

        written = [await opened.write(plan, Batch(Operation.INSERT, rows, each)) for each in ("batch-1", "batch-2")]

    assert [outcome.code for outcome in written[0].outcomes] == ["", "NOT_REPRESENTABLE"]
    assert "private" not in str(written[0].outcomes[1])
    first, second = (orjson.loads(request.body) for request in http.requests)
    assert first == second


async def test_profile_is_never_verified_as_a_good_status_says_nothing_of_the_token(project: Project) -> None:
    project.http.then(answer(200, {"error": None, "status": 1}))

    assert await project.upsert({"$distinct_id": "u1", "plan": "pro"}) == [NOT_VERIFIED]


@pytest.mark.parametrize(("told", "outcome"), [({"num_records_imported": 1}, DELIVERED), ({}, NOT_VERIFIED)])
async def test_event_is_delivered_if_mixpanel_counts_it(told: Json, outcome: RowOutcome) -> None:
    http = FakeHttp(answer(200, {"code": 200, "status": "OK", **told}))
    body = orjson.dumps(EVENTS[0])
    batch = Batch(Operation.INSERT, [Row(RowKey(()), body, hash_row(body))], "batch-1")
    async with MixpanelDestination.open(MixpanelDestination.settings_type.model_validate(SETTINGS), http) as opened:
        plan = await opened.plan(Target("events", Operation.INSERT, (), tuple(EVENTS[0])))

        written = await opened.write(plan, batch)

    assert written.outcomes == [outcome]


async def test_no_row_and_no_secret_is_logged(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    project.http.then(TAKEN, answer(401, {"error": "made-up-secret private-value"}))

    with pytest.raises(TailraceError) as raised:
        await project.upsert({"$distinct_id": "private-value", "note": None})

    assert "private-value" not in caplog.text + str(raised.value)
    assert "made-up-secret" not in caplog.text + str(raised.value)


@pytest.mark.parametrize(
    ("name", "operation", "key"),
    [
        ("profiles", Operation.INSERT, "$distinct_id"),
        ("profiles", Operation.UPSERT, "$email"),
        ("group:", Operation.UPSERT, "$group_id"),
    ],
    ids=["operation", "key", "group without a key"],
)
async def test_target_that_cannot_be_served_is_refused(
    project: Project, name: str, operation: Operation, key: str
) -> None:
    with pytest.raises(DestinationInvalid):
        await project.destination.plan(Target(name, operation, (key,), (key,)))


@pytest.mark.parametrize(
    ("setting", "value"), [("project_id", "a/b"), ("project_token", "a b"), ("region", "mars"), ("project_id", "")]
)
def test_setting_of_another_form_is_refused(setting: str, value: str) -> None:
    with pytest.raises(ValidationError, match=setting):
        MixpanelDestination.settings_type.model_validate(SETTINGS | {setting: value})
