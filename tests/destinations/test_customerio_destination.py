"""The answers are made after Customer.io's description of its Track API, version 2."""

from base64 import b64encode
from typing import ClassVar

import orjson

from tailrace.connector_kit.destination import Target
from tailrace.connector_kit.http import HttpResponse
from tailrace.connector_kit.manifest.engine import destination_of
from tailrace.core.batches import Batch
from tailrace.core.rows import DELIVERED, Operation, Row, RowKey
from tailrace.core.snapshots import hash_row
from tailrace.destinations.customerio import MANIFEST
from tailrace.testing.fake_http import FakeHttp, answer
from tailrace.testing.manifest_contract import ManifestContract
from tailrace.testing.samples import Sample

API = "https://track.customer.io"
SETTINGS = {"site_id": "site", "api_key": "made-up-key"}
SHOWS = {"Authorization": "Basic " + b64encode(b"site:made-up-key").decode()}
ROWS = ({"id": 42, "plan": "pro", "email": "a@x.example"}, {"id": 43, "plan": None, "seats": 1.5})
ULIDS = ("2D3WRY45DE23N8BDYPKK4J42H2", "6BVVQTB8ZAAXC2X7ZVT4ATNWMV")


def person(key: dict[str, str], action: str, **more: object) -> object:
    return {"type": "person", "identifiers": key, "action": action, **more}


def upsert(told: HttpResponse, means: list[str] | str) -> Sample:
    people = [
        person({"id": "42"}, "identify", attributes={"plan": "pro", "email": "a@x.example"}),
        person({"id": "43"}, "identify", attributes={"plan": None, "seats": 1.5}),
    ]
    return Sample(
        about=Operation.UPSERT,
        object_name="people",
        rows=ROWS,
        answers=[told],
        means=means,
        asks=("POST", f"{API}/api/v2/batch", {"batch": people}),
        shows=SHOWS,
        settings=SETTINGS,
    )


def delete(key: str, told: HttpResponse, means: list[str] | str) -> Sample:
    return Sample(
        about=Operation.DELETE,
        object_name="people",
        key=key,
        rows=[{key: "a"}],
        answers=[told],
        means=means,
        asks=("POST", "https://track-eu.customer.io/api/v2/batch", {"batch": [person({key: "a"}, "delete")]}),
        settings=SETTINGS | {"region": "eu"},
    )


def events(told: HttpResponse, means: list[str] | str) -> Sample:
    first: dict[str, object] = {"id": ULIDS[0], "name": "paid", "timestamp": 1795305600}
    second: dict[str, object] = {"id": ULIDS[1], "name": "left", "timestamp": 1795305601}
    made = [
        person({"id": "42"}, "event", **first, attributes={"sum": 1.5, "key": "k1"}),
        person({"id": "42"}, "event", **second, attributes={"sum": None, "key": "k2"}),
    ]
    return Sample(
        about=Operation.INSERT,
        object_name="events",
        key="key",
        rows=[
            {"id": 42, "name": "paid", "timestamp": "2026-11-22T00:00:00Z", "sum": 1.5, "key": "k1"},
            {"id": 42, "name": "left", "timestamp": "2026-11-22T00:00:01", "sum": None, "key": "k2"},
        ],
        answers=[told],
        means=means,
        asks=("POST", f"{API}/api/v2/batch", {"batch": made}),
        settings=SETTINGS,
    )


FAILED = {"batch_index": 1, "reason": "invalid", "field": "attributes.plan", "message": "no"}
REFUSED = {"reason": "required", "field": "identifiers", "message": "no"}


class TestCustomerIo(ManifestContract):
    manifest = MANIFEST
    samples: ClassVar = (
        events(answer(200, {}), ["delivered", "delivered"]),
        events(answer(207, {"errors": [FAILED]}), ["delivered", "rejected:invalid:attributes.plan"]),
        upsert(answer(200, {}), ["delivered", "delivered"]),
        upsert(answer(207, {"errors": [FAILED]}), ["delivered", "rejected:invalid:attributes.plan"]),
        upsert(answer(207, {"errors": [FAILED | {"batch_index": 2}]}), "IN_DOUBT"),
        upsert(answer(400, {"errors": [REFUSED]}), "DESTINATION_VALIDATION"),
        upsert(answer(401, {"meta": {"error": "Unauthorized"}}), "CREDENTIALS_REFUSED"),
        upsert(answer(429), "RATE_LIMIT:1"),
        *(delete(key, answer(200, {}), ["delivered"]) for key in ("id", "email", "phone", "cio_id")),
        delete("id", answer(207, {"errors": [FAILED | {"batch_index": 0}]}), ["rejected:invalid:attributes.plan"]),
        delete("id", answer(400, {"errors": [REFUSED]}), ["rejected:required:identifiers"]),
        *(
            Sample(
                about=Operation.UPSERT,
                object_name="people",
                key=key,
                rows=[{key: "a"}],
                answers=[answer(200, {})],
                means=["delivered"],
                settings=SETTINGS,
            )
            for key in ("email", "phone", "cio_id")
        ),
        Sample(
            about="check",
            answers=[answer(200, {"url": "track.customer.io"})],
            means=[],
            asks=("GET", f"{API}/api/v1/accounts/region", None),
            shows=SHOWS,
            settings=SETTINGS,
        ),
        Sample(about="objects", answers=[answer(200)], means=["people", "events"], settings=SETTINGS),
    )

    async def test_row_above_its_own_limit_is_rejected_and_the_others_go(self) -> None:
        bodies = [b'{"id":"1"}', orjson.dumps({"id": "2", "text": "x" * 32_000}), b'{"id":"3"}']
        rows = [Row(RowKey((str(at),)), body, hash_row(body)) for at, body in enumerate(bodies, 1)]
        connector, http = destination_of(MANIFEST), FakeHttp(answer(200, {}))

        async with connector.open(connector.settings_type.model_validate(SETTINGS), http) as destination:
            plan = await destination.plan(Target("people", Operation.UPSERT, ("id",), ("id", "text")))
            written = await destination.write(plan, Batch(Operation.UPSERT, rows, "batch-id"))

        assert [outcome.code for outcome in written.outcomes] == ["", "ROW_TOO_LARGE", ""]
        assert written.outcomes[0] == DELIVERED
        assert [row["identifiers"]["id"] for row in orjson.loads(http.requests[0].body)["batch"]] == ["1", "3"]
