"""Which requests of a webhook are signed, and when two of them are the same message."""

import hmac
from base64 import b64decode, b64encode
from dataclasses import replace
from typing import Any

import pytest

from tailrace.connector_kit.destination import Target
from tailrace.connector_kit.http import HttpRequest
from tailrace.connector_kit.registry import validate_settings
from tailrace.core.errors import InDoubt, Invalid
from tailrace.destinations.webhook import WebhookDestination, WebhookSettings
from tailrace.testing.destination_contract import batch_of
from tailrace.testing.fake_http import Answer, FakeHttp, answer

WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ADA = b'{"id":"1","name":"Ada"}'
OWN = {"signature": {"header": "X-Sign"}, "signing_secret": "s3cret-of-ours"}
EVENTS = {"path": "/events", "appends": True}


def settings(operation: str, asks: dict[str, Any], **more: object) -> WebhookSettings:
    given = {"base_url": "https://api.example.com", "operations": {operation: asks}, "signing_secret": WHSEC}
    return validate_settings(WebhookSettings, given | more)


async def sent(given: WebhookSettings, *batches: str, answers: tuple[Answer, ...] = ()) -> list[HttpRequest]:
    """The requests of batches with one and the same row and these ids."""
    http = FakeHttp(*answers)
    [operation] = given.operations
    keys = () if given.operations[operation].appends else ("id",)
    async with WebhookDestination.open(given, http) as destination:
        plan = await destination.plan(Target("people", operation, keys, ("id", "name")))
        for batch_id in batches:
            try:
                await destination.write(plan, replace(batch_of(operation, ADA), idempotency_key=batch_id))
            except InDoubt:
                continue
    return http.requests


def is_signed(request: HttpRequest) -> bool:
    told = (request.headers["webhook-id"], request.headers["webhook-timestamp"])
    content = ".".join(told).encode() + b"." + request.body
    expected = hmac.digest(b64decode(WHSEC.removeprefix("whsec_")), content, "sha256")
    return request.headers["webhook-signature"] == "v1," + b64encode(expected).decode()


async def test_two_runs_with_the_same_event_send_two_messages() -> None:
    first, second = await sent(settings("insert", EVENTS), "batch-of-run-1", "batch-of-run-2")

    assert first.body == second.body
    assert first.headers["webhook-id"] != second.headers["webhook-id"]
    assert is_signed(first)
    assert is_signed(second)


async def test_batch_that_is_sent_again_is_the_same_message() -> None:
    answers = (InDoubt("the answer is lost"), answer(200))

    first, again = await sent(settings("insert", EVENTS), "batch-1", "batch-1", answers=answers)

    assert first.headers["webhook-id"] == again.headers["webhook-id"]


async def test_questions_and_writes_of_a_batch_are_messages_of_their_own() -> None:
    key = {"kind": "looked_up", "ask": {"path": "/ids", "rows_at": "", "row": "$key"}}
    key |= {"each": "", "id": "own", "key": "id"}
    asks = {"path": "/people/{found}", "key": key}
    found = answer(200, [{"id": "1", "own": "7"}])

    asked, written = await sent(settings("upsert", asks), "batch-1", answers=(found, answer(200)))

    assert asked.headers["webhook-id"] != written.headers["webhook-id"]
    assert is_signed(asked)
    assert is_signed(written)


async def test_request_without_a_body_is_signed() -> None:
    [request] = await sent(settings("delete", {"method": "DELETE", "path": "/people/{key}"}), "batch-1")

    assert request.body == b""
    assert is_signed(request)


async def test_request_without_a_body_is_signed_by_a_header_of_the_service_s_own() -> None:
    [request] = await sent(settings("delete", {"method": "DELETE", "path": "/people/{key}"}, **OWN), "batch-1")

    assert request.headers["X-Sign"] == hmac.new(b"s3cret-of-ours", b"", "sha256").hexdigest()


@pytest.mark.parametrize("check", ["/health", None])
async def test_question_whether_all_is_well_is_signed(check: str | None) -> None:
    http = FakeHttp(answer(200))

    async with WebhookDestination.open(settings("insert", EVENTS, check=check), http) as destination:
        await destination.check()
        await destination.check()

    first, second = http.requests
    assert is_signed(first)
    assert first.headers["webhook-id"] != second.headers["webhook-id"]


@pytest.mark.parametrize("header", ["Host", "Content-Length", "transfer-encoding", "A b"])
@pytest.mark.parametrize("place", ["header", "timestamp_header"])
def test_signature_takes_the_place_of_no_header_of_the_transport(place: str, header: str) -> None:
    signature = {"header": "X-Sign"} | {place: header}

    with pytest.raises(Invalid, match="signature"):
        settings("insert", EVENTS, signature=signature, signing_secret="any secret")
