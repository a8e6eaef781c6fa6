"""What a webhook sends, what its answers mean, and settings that cannot work."""

import hmac
import json
from hashlib import sha256
from typing import Any

import pytest

from tailrace.connector_kit.destination import Target
from tailrace.connector_kit.registry import validate_settings
from tailrace.core.batches import BatchResult
from tailrace.core.errors import BatchRefused, DestinationInvalid, InDoubt, Invalid
from tailrace.core.rows import DELIVERED, Operation, Verdict
from tailrace.destinations.webhook import WebhookDestination, WebhookSettings
from tailrace.testing.destination_contract import batch_of
from tailrace.testing.fake_http import FakeHttp, answer

API = "https://api.example.com"
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ADA, BOB = b'{"id":"1","name":"Ada"}', b'{"id":"2","name":"Bob"}'


def settings(asks: dict[str, Any], operation: str = "upsert", **more: object) -> WebhookSettings:
    return validate_settings(WebhookSettings, {"base_url": API, "operations": {operation: asks}, **more})


async def sent(
    given: WebhookSettings, http: FakeHttp, *bodies: bytes, operation: Operation = Operation.UPSERT
) -> BatchResult:
    names = tuple(json.loads(bodies[0]))
    keys = () if operation is Operation.INSERT else ("id",)
    async with WebhookDestination.open(given, http) as destination:
        plan = await destination.plan(Target("people", operation, keys, names))
        return await destination.write(plan, batch_of(operation, *bodies))


async def test_one_row_is_the_body_and_fills_address_and_headers() -> None:
    asks = {
        "method": "PATCH",
        "path": "/{object}/{key}",
        "headers": {"X-Name": "{fields.name|base64}"},
        "body": {"user": {"name": "$fields.name|upper", "note": "from {object}"}},
        "row": {},
    }
    http = FakeHttp(answer(204))

    result = await sent(settings(asks), http, ADA)

    [request] = http.requests
    assert result.outcomes == [DELIVERED]
    assert (request.method, request.url) == ("PATCH", f"{API}/people/1")
    assert request.headers["X-Name"] == "QWRh"
    assert json.loads(request.body) == {"user": {"name": "ADA", "note": "from people"}}


async def test_rows_are_lines() -> None:
    asks = {"path": "/_bulk", "rows_at": "", "rows_as": "lines", "row": [{"index": {"_id": "$key"}}, "$others"]}
    http = FakeHttp(answer(200, {}))

    await sent(settings(asks), http, ADA, BOB)

    [request] = http.requests
    assert request.headers["Content-Type"] == "application/x-ndjson"
    assert request.body == b'{"index":{"_id":"1"}}\n{"name":"Ada"}\n{"index":{"_id":"2"}}\n{"name":"Bob"}\n'


async def test_events_need_no_key() -> None:
    asks = {"path": "/events", "rows_at": "", "appends": True}
    http = FakeHttp(answer(202))

    result = await sent(settings(asks, "insert"), http, ADA, BOB, operation=Operation.INSERT)

    assert result.outcomes == [DELIVERED, DELIVERED]
    assert json.loads(http.requests[0].body) == [json.loads(ADA), json.loads(BOB)]


async def test_same_batch_has_the_same_idempotency_key() -> None:
    http = FakeHttp(answer(200))

    await sent(settings({"path": "/"}), http, ADA)
    await sent(settings({"path": "/"}), http, ADA)
    await sent(settings({"path": "/"}), http, BOB)

    first, again, other = (request.headers["Idempotency-Key"] for request in http.requests)
    assert first == again != other


@pytest.mark.parametrize("key", [".", ".."])
async def test_row_whose_key_would_lead_elsewhere_is_rejected_unsent(key: str) -> None:
    http = FakeHttp(answer(200))

    result = await sent(settings({"path": "/people/{key}", "method": "DELETE"}), http, b'{"id":"%s"}' % key.encode())

    assert result.outcomes[0].code == "NOT_REPRESENTABLE"
    assert http.requests == []


async def test_row_that_a_filter_does_not_take_is_rejected_and_the_others_go() -> None:
    http = FakeHttp(answer(200))
    asks = {"path": "/", "rows_at": "", "row": {"age": "$fields.age|number"}}

    result = await sent(settings(asks), http, b'{"id":"1","age":"x"}', b'{"id":"2","age":"41"}')

    assert [(each.verdict, each.code) for each in result.outcomes] == [
        (Verdict.REJECTED, "NOT_REPRESENTABLE"),
        (Verdict.DELIVERED, ""),
    ]
    assert http.requests[0].body == b'[{"age":41}]'


@pytest.mark.parametrize(
    ("success", "status", "body", "verdict"),
    [
        ({"at": "ok", "holds": ["true"]}, 200, {"ok": True}, Verdict.DELIVERED),
        ({"at": "ok", "holds": ["true"]}, 200, {"ok": False, "message": "no"}, Verdict.REJECTED),
        ({"at": "/a~1b/0", "exists": True}, 200, {"a/b": [None]}, Verdict.DELIVERED),
        ({"at": "error", "exists": False}, 200, {"error": {"code": 7}}, Verdict.REJECTED),
        ({"statuses": [202]}, 202, {}, Verdict.DELIVERED),
        ({"statuses": [202]}, 200, {}, Verdict.REJECTED),
    ],
)
async def test_success_is_what_the_settings_call_one(
    success: dict[str, Any], status: int, body: object, verdict: Verdict
) -> None:
    result = await sent(settings({"path": "/"}, success=success), FakeHttp(answer(status, body)), ADA)

    assert result.outcomes[0].verdict is verdict


async def test_batch_that_is_no_success_is_refused_for_some_row() -> None:
    given = settings({"path": "/", "rows_at": ""}, success={"at": "ok", "holds": ["true"]})

    with pytest.raises(BatchRefused):
        await sent(given, FakeHttp(answer(200, {"ok": False})), ADA, BOB)


async def test_results_in_any_order_are_joined_by_the_id_in_the_body() -> None:
    attribution = {"kind": "aligned", "results": "items", "key": "id", "status": "status", "ok": ["200", "201"]}
    items = [{"id": 2, "status": 409, "code": "TAKEN", "message": "no"}, {"id": 1, "status": 201}]
    given = settings({"path": "/", "rows_at": "", "attribution": attribution})

    result = await sent(given, FakeHttp(answer(207, {"items": items})), ADA, BOB)

    assert [(each.verdict, each.code) for each in result.outcomes] == [
        (Verdict.DELIVERED, ""),
        (Verdict.REJECTED, "TAKEN"),
    ]


@pytest.mark.parametrize("ids", [["1"], ["1", "1"], ["1", "3"], ["1", "2", "3"]])
async def test_results_of_other_rows_leave_the_batch_in_doubt(ids: list[str]) -> None:
    attribution = {"kind": "aligned", "results": "", "key": "id", "status": "ok"}
    given = settings({"path": "/", "rows_at": "", "attribution": attribution})

    with pytest.raises(InDoubt):
        await sent(given, FakeHttp(answer(207, [{"id": id_, "ok": True} for id_ in ids])), ADA, BOB)


async def test_page_of_html_leaves_the_batch_in_doubt() -> None:
    page = answer(200, b"<html>sign in</html>", {"content-type": "text/html; charset=utf-8"})

    with pytest.raises(InDoubt):
        await sent(settings({"path": "/"}), FakeHttp(page), ADA)


@pytest.mark.parametrize("status", [404, 410])
async def test_row_that_is_not_there_is_deleted(status: int) -> None:
    http = FakeHttp(answer(status))

    result = await sent(
        settings({"path": "/{key}", "method": "DELETE"}, "delete"), http, b'{"id":"1"}', operation=Operation.DELETE
    )

    assert result.outcomes == [DELIVERED]


async def test_request_is_signed_by_a_header_of_the_service_s_own() -> None:
    signature = {"header": "X-Hub-Signature-256", "prefix": "sha256=", "timestamp_header": "X-Time"}
    http = FakeHttp(answer(200))

    await sent(settings({"path": "/"}, signature=signature, signing_secret="s3cret-of-ours"), http, ADA)

    [request] = http.requests
    content = request.headers["X-Time"].encode() + b"." + request.body
    expected = hmac.new(b"s3cret-of-ours", content, sha256).hexdigest()
    assert request.headers["X-Hub-Signature-256"] == f"sha256={expected}"


async def test_request_is_signed_after_standard_webhooks() -> None:
    http = FakeHttp(answer(200))

    await sent(settings({"path": "/"}, signing_secret=WHSEC), http, ADA)

    headers = http.requests[0].headers
    assert headers["webhook-signature"].startswith("v1,")
    assert headers["webhook-id"].startswith("msg_")


async def test_secrets_are_shown_and_never_quoted() -> None:
    shown = {"X-Key": "canary-key-7712"}
    given = settings({"path": "/end"}, headers=shown, secret_path="/T000/canary-path-55")
    http = FakeHttp(answer(400, {"message": "bad canary-key-7712 at /T000/canary-path-55"}))

    result = await sent(given, http, ADA)

    assert http.requests[0].url == f"{API}/T000/canary-path-55/end"
    assert http.requests[0].headers["X-Key"] == "canary-key-7712"
    assert "canary" not in result.outcomes[0].message
    assert "canary" not in repr(given)


@pytest.mark.parametrize(
    ("asks", "more", "told"),
    [
        ({"path": "/", "row": {"mail": "$fields.mail|loweer"}}, {}, r"operations.upsert: .*row: mail: .*'loweer'"),
        ({"path": "/{keey}"}, {}, r"operations.upsert: .*path: there is no \$keey"),
        ({"path": "/{key}", "rows_at": ""}, {}, r"operations.upsert: .*no \$key: leave rows_at out"),
        ({"path": "/", "rows_per_request": 5}, {}, r"operations.upsert: .*give rows_at"),
        ({"path": "/", "rows_as": "lines"}, {}, r"operations.upsert: .*lines are the whole body"),
        ({"path": "/", "headers": {"Host": "x"}}, {}, r"operations.upsert: .*set by Tailrace: Host"),
        ({"path": "/", "headers": {"A b": "x"}}, {}, r"operations.upsert: .*header's name"),
        ({"path": "nowhere"}, {}, r"operations.upsert.path: "),
        ({"path": "/"}, {"auth": {"kind": "bearer"}}, r"credentials: the auth 'bearer' asks for token"),
        ({"path": "/"}, {"credentials": {"token": "x"}}, r"credentials: the auth 'none' asks for nothing"),
        ({"path": "/"}, {"signature": {"header": "X-Sign"}}, r"signature: give signing_secret too"),
        ({"path": "/"}, {"signing_secret": "short"}, r"a signing secret is `whsec_`"),
        ({"path": "/"}, {"success": {"holds": ["x"]}}, r"success: .*give both"),
        ({"path": "/"}, {"secret_path": "/a?b"}, r"secret_path: .*/part/part"),
        ({"path": "/"}, {"rules": [{"status": [200], "at": "a", "then": "read"}]}, r"rules.0: .*give both"),
    ],
)
def test_settings_that_cannot_work_name_the_place(asks: dict[str, Any], more: dict[str, Any], told: str) -> None:
    with pytest.raises(Invalid, match=told):
        settings(asks, **more)


@pytest.mark.parametrize(
    ("asks", "told"),
    [
        ({"path": "/", "row": {"a": "$fields.mail"}}, "needs these fields, map them: mail"),
        ({"path": "/", "row": {"a": "$key"}}, "takes nothing but id: do not map name"),
    ],
)
async def test_mapping_that_does_not_fill_the_request_is_refused_before_a_row_is_read(
    asks: dict[str, Any], told: str
) -> None:
    with pytest.raises(DestinationInvalid, match=told):
        await sent(settings(asks), FakeHttp(), ADA)
