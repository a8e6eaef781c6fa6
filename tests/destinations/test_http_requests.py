import json
from base64 import b64decode, b64encode
from hashlib import sha256
from hmac import digest
from typing import Any

import pytest

from tailrace.connector_kit.destination import Target, WritePlan
from tailrace.connector_kit.http import HttpRequest
from tailrace.connector_kit.registry import secret_fields, validate_settings
from tailrace.core.batches import Batch
from tailrace.core.errors import DestinationInvalid, Invalid, TailraceError
from tailrace.core.rows import Operation
from tailrace.destinations.http import HttpDestination, HttpSettings
from tailrace.testing.destination_contract import batch_of, told
from tailrace.testing.fake_http import FakeHttp, answer

URL = "https://api.example.com/v1/{object}?source=tailrace"
KEY = "whsec_" + b64encode(bytes(range(32))).decode()
OLD_KEY = "whsec_" + b64encode(bytes(range(1, 33))).decode()


async def sent(
    batch: Batch, *, object_name: str = "people", operation: Operation = Operation.UPSERT, **options: object
) -> HttpRequest:
    http = FakeHttp()
    settings = validate_settings(HttpSettings, {"url": URL, **options})
    async with HttpDestination.open(settings, http) as destination:
        plan = await destination.plan(Target(object_name, operation, ("id",), ("id",)))
        await destination.write(plan, batch)
    [request] = http.requests
    return request


async def planned(operation: Operation, **options: object) -> WritePlan:
    settings = validate_settings(HttpSettings, {"url": URL, **options})
    async with HttpDestination.open(settings, FakeHttp()) as destination:
        return await destination.plan(Target("people", operation, ("id",), ("id",)))


async def test_body_holds_the_rows_byte_by_byte() -> None:
    bodies = [b'{"id":"1","n":1.10000000000000000000001}', b'{"id":"2", "n" : 1e2}']

    request = await sent(batch_of(Operation.UPSERT, *bodies))

    assert request.body == b'{"object":"people","operation":"upsert","rows":[' + b",".join(bodies) + b"]}"
    assert (request.method, request.headers["Content-Type"]) == ("POST", "application/json")


async def test_idempotency_key_is_that_of_the_batch() -> None:
    batch = batch_of(Operation.UPSERT, b'{"id":"1"}')

    request = await sent(batch)

    assert request.headers["Idempotency-Key"] == batch.idempotency_key


async def test_token_and_own_headers_are_sent() -> None:
    request = await sent(
        batch_of(Operation.UPSERT, b'{"id":"1"}'), bearer_token="t0k3n", headers={"X-Account": "7"}, method="PUT"
    )

    assert request.method == "PUT"
    assert request.headers["Authorization"] == "Bearer t0k3n"
    assert request.headers["X-Account"] == "7"


async def test_deletes_go_to_the_same_address_and_say_so() -> None:
    request = await sent(batch_of(Operation.DELETE, b'{"id":"1"}'), operation=Operation.DELETE)

    assert request.url == "https://api.example.com/v1/people?source=tailrace"
    assert json.loads(request.body)["operation"] == "delete"


async def test_deletes_go_to_their_own_address_where_there_is_one() -> None:
    options: dict[str, Any] = {"delete_url": "https://api.example.com/v1/{object}/delete"}

    delete = await sent(batch_of(Operation.DELETE, b'{"id":"1"}'), operation=Operation.DELETE, **options)
    upsert = await sent(batch_of(Operation.UPSERT, b'{"id":"1"}'), **options)

    assert delete.url == "https://api.example.com/v1/people/delete"
    assert upsert.url == "https://api.example.com/v1/people?source=tailrace"


@pytest.mark.parametrize(
    ("object_name", "path"),
    [
        ("a/b", "/v1/a%2Fb"),
        ("../admin", "/v1/..%2Fadmin"),
        ("a?b=c#d", "/v1/a%3Fb%3Dc%23d"),
        ("é {object}", "/v1/%C3%A9%20%7Bobject%7D"),
        ("%2e%2e", "/v1/%252e%252e"),
        ("a\r\nX: y", "/v1/a%0D%0AX%3A%20y"),
        ("@evil.example", "/v1/%40evil.example"),
    ],
)
async def test_object_name_is_one_part_of_the_path(object_name: str, path: str) -> None:
    request = await sent(batch_of(Operation.UPSERT, b'{"id":"1"}'), object_name=object_name)

    assert request.url == f"https://api.example.com{path}?source=tailrace"
    assert json.loads(request.body)["object"] == object_name


@pytest.mark.parametrize("object_name", [".", ".."])
async def test_object_name_that_climbs_is_refused(object_name: str) -> None:
    with pytest.raises(DestinationInvalid):
        await sent(batch_of(Operation.UPSERT, b'{"id":"1"}'), object_name=object_name)


async def test_signature_covers_id_time_and_body() -> None:
    request = await sent(batch_of(Operation.UPSERT, b'{"id":"1"}'), signing_secret=KEY, old_signing_secret=OLD_KEY)

    content = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
    current, old = request.headers["webhook-signature"].split(" ")
    assert request.headers["webhook-id"] == request.headers["Idempotency-Key"]
    assert b64decode(current.removeprefix("v1,")) == digest(bytes(range(32)), content, sha256)
    assert b64decode(old.removeprefix("v1,")) == digest(bytes(range(1, 33)), content, sha256)


@pytest.mark.parametrize(
    ("operation", "options", "is_idempotent"),
    [
        (Operation.UPSERT, {}, True),
        (Operation.DELETE, {}, True),
        (Operation.INSERT, {}, False),
        (Operation.INSERT, {"is_idempotent": True}, True),
        (Operation.UPSERT, {"is_idempotent": False}, False),
    ],
)
async def test_plan_says_whether_a_batch_may_come_twice(
    operation: Operation, options: dict[str, object], *, is_idempotent: bool
) -> None:
    plan = await planned(operation, **options)

    assert plan.is_idempotent is is_idempotent


async def test_largest_batch_keeps_the_limit_of_the_body() -> None:
    plan = await planned(Operation.UPSERT, rows_per_batch=500, bytes_per_batch=65_536)
    row = b'{"id":"%s"}' % (b"x" * (plan.bytes_per_batch // 500 - 9))

    request = await sent(Batch(Operation.UPSERT, [*batch_of(Operation.UPSERT, row).rows] * 500, "k"))

    assert len(row) * 500 <= plan.bytes_per_batch
    assert len(request.body) <= 65_536


@pytest.mark.parametrize(
    ("options", "told_about"),
    [
        ({"url": "canary"}, "https://host/path"),
        ({"url": "ftp://example.com/canary"}, "https://host/path"),
        ({"url": "https://user:canary@example.com/"}, "bearer_token"),
        ({"url": "https://example.com/canary path"}, "spaces"),
        ({"url": "https://example.com/\r\nX: canary"}, "spaces"),
        ({"url": "https://example.com/{canary}"}, "braces"),
        ({"url": "https://{object}.example.com/canary"}, "path or the query"),
        ({"url": "https://example.com/#canary"}, "fragment"),
        ({"bearer_token": "canary\r\nX-Injected: 1"}, "printable ASCII"),
        ({"bearer_token": ""}, "printable ASCII"),
        ({"headers": {"X-Key": "canary\nX: y"}}, "printable ASCII"),
        ({"headers": {"X Key": "canary"}}, "not allow"),
        ({"headers": {"Content-Length": "canary"}}, "set by Tailrace: Content-Length"),
        ({"headers": {"HOST": "canary"}}, "set by Tailrace: HOST"),
        ({"headers": {"Webhook-Signature": "canary"}}, "set by Tailrace"),
        ({"headers": {"authorization": "canary"}, "bearer_token": "canary"}, "not both"),
        ({"signing_secret": "canary"}, "whsec_"),
        ({"signing_secret": "whsec_Y2FuYXJ5"}, "24 to 64"),
        ({"method": "canary"}, "POST"),
        ({"rows_per_batch": 0}, "rows_per_batch"),
        ({"surprise": "canary"}, "surprise"),
    ],
)
def test_settings_that_cannot_work_are_refused_without_their_values(
    options: dict[str, object], told_about: str
) -> None:
    with pytest.raises(Invalid, match=told_about) as refused:
        validate_settings(HttpSettings, {"url": URL, **options})

    assert "canary" not in told(refused.value)


def test_everything_that_may_hold_a_key_is_a_secret() -> None:
    assert secret_fields(HttpSettings) == {"bearer_token", "headers", "old_signing_secret", "signing_secret"}


@pytest.mark.parametrize("status", [200, 204, 400, 404, 405, 422, 501])
async def test_any_answer_shows_that_somebody_is_there(status: int) -> None:
    http = FakeHttp(answer(status))
    async with HttpDestination.open(validate_settings(HttpSettings, {"url": URL}), http) as destination:
        await destination.check()

    assert http.requests[0].method == "OPTIONS"
    assert http.requests[0].body == b""


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "CREDENTIALS_REFUSED"), (302, "DESTINATION_INVALID"), (503, "DESTINATION_UNAVAILABLE")],
)
async def test_check_tells_what_is_wrong(status: int, code: str) -> None:
    async with HttpDestination.open(
        validate_settings(HttpSettings, {"url": URL}), FakeHttp(answer(status))
    ) as destination:
        with pytest.raises(TailraceError) as failed:
            await destination.check()

    assert failed.value.code == code
