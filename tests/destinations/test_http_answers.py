from collections.abc import Mapping

import pytest

from tailrace.connector_kit.destination import Target
from tailrace.connector_kit.http import HttpResponse
from tailrace.connector_kit.registry import validate_settings
from tailrace.core.batches import BatchResult
from tailrace.core.errors import (
    BatchRefused,
    CredentialsRefused,
    DestinationInvalid,
    DestinationUnavailable,
    InDoubt,
    TailraceError,
    Throttled,
)
from tailrace.core.rows import DELIVERED, Operation, RowOutcome, Verdict, rejected, retry, skipped
from tailrace.destinations.http import HttpDestination, HttpSettings
from tailrace.testing.destination_contract import batch_of, told, verdicts
from tailrace.testing.fake_http import FakeHttp, answer

PRIVATE = "private-value"


async def written(response: HttpResponse, rows: int = 3, **options: object) -> BatchResult:
    settings = validate_settings(HttpSettings, {"url": "https://api.example.com/", **options})
    async with HttpDestination.open(settings, FakeHttp(response)) as destination:
        plan = await destination.plan(Target("people", Operation.UPSERT, ("id",), ("id",)))
        bodies = [b'{"id":"%d"}' % n for n in range(rows)]
        return await destination.write(plan, batch_of(Operation.UPSERT, *bodies))


@pytest.mark.parametrize(
    "response",
    [
        answer(200),
        answer(204),
        answer(202, b"accepted", {"content-type": "text/plain"}),
        answer(200, {}),
        answer(201, {"id": 7, "status": "done"}),
        answer(200, ["anything"]),
        answer(200, {"errors": []}),
        answer(200, {"results": None, "errors": None}),
        answer(200, b"  \r\n", {"content-type": "application/json"}),
    ],
)
async def test_success_that_says_nothing_of_rows_delivers_all(response: HttpResponse) -> None:
    result = await written(response)

    assert result.outcomes == [DELIVERED] * 3


async def test_results_say_what_became_of_each_row() -> None:
    told_of_rows = [
        {"status": "ok", "id": "x"},
        {"status": "skipped"},
        {"status": "rejected", "code": "BAD", "message": "is bad", "field": "name"},
        {"status": "rejected", "code": 1007, "message": None},
        {"status": "retry", "code": "LOCKED", "message": "later", "retry_after_s": 2.5},
    ]

    result = await written(answer(207, {"results": told_of_rows}), rows=5)

    assert result.outcomes == [
        DELIVERED,
        skipped("SKIPPED"),
        rejected("BAD", "is bad", field="name"),
        rejected("1007", ""),
        retry("LOCKED", "later", retry_after_s=2.5),
    ]


async def test_errors_name_the_rows_that_failed_and_the_others_go() -> None:
    errors = [{"index": 2, "code": "BAD", "message": "is bad"}, {"index": 0}]

    result = await written(answer(200, {"errors": errors}))

    assert result.outcomes == [rejected("REJECTED", ""), DELIVERED, rejected("BAD", "is bad")]


async def test_long_message_is_shortened() -> None:
    result = await written(answer(200, {"results": [{"status": "rejected", "message": "x" * 5000}]}), rows=1)

    assert result.outcomes[0].message == "x" * 1000


@pytest.mark.parametrize(
    "response",
    [
        answer(200, {"results": []}),
        answer(200, {"results": [{"status": "ok"}] * 2}),
        answer(200, {"results": [{"status": "ok"}] * 4}),
        answer(200, {"results": [{"status": "ok"}, {"status": "ok"}, {"status": PRIVATE}]}),
        answer(200, {"results": [{"status": "ok"}, {"status": "ok"}, {}]}),
        answer(200, {"results": [{"status": "ok"}, {"status": "ok"}, None]}),
        answer(200, {"results": {"0": PRIVATE}}),
        answer(200, {"results": PRIVATE}),
        answer(200, {"results": [{"status": "ok"}] * 3, "errors": [{"index": 0}]}),
        answer(200, {"results": [{"status": "ok"}, {"status": "ok"}, {"status": "retry", "retry_after_s": -1}]}),
        answer(200, {"errors": [{"index": 3}]}),
        answer(200, {"errors": [{"index": -1}]}),
        answer(200, {"errors": [{"index": "0"}]}),
        answer(200, {"errors": [{"index": 0.5}]}),
        answer(200, {"errors": [{"index": True}]}),
        answer(200, {"errors": [{"message": PRIVATE}]}),
        answer(200, {"errors": PRIVATE}),
        answer(200, b'{"results": [{"status": "ok"}, {"sta', {"content-type": "application/json"}),
        answer(200, b'{"results": [{"status": "ok"}, {"sta'),
        answer(200, b"\x1f\x8b\x08\x00", {"content-type": "application/json", "content-encoding": "gzip"}),
        answer(200, b"<html>log in</html>", {"content-type": "text/html; charset=utf-8"}),
    ],
)
async def test_answer_that_makes_no_sense_leaves_the_batch_in_doubt(response: HttpResponse) -> None:
    with pytest.raises(InDoubt) as doubt:
        await written(response)

    assert PRIVATE not in told(doubt.value)


@pytest.mark.parametrize("response", [answer(200), answer(200, {"ok": True}), answer(200, b"ok")])
async def test_answer_without_results_is_in_doubt_where_they_are_required(response: HttpResponse) -> None:
    with pytest.raises(InDoubt, match="require"):
        await written(response, requires_results=True)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (300, DestinationInvalid),
        (301, DestinationInvalid),
        (302, DestinationInvalid),
        (307, DestinationInvalid),
        (400, BatchRefused),
        (401, CredentialsRefused),
        (402, DestinationInvalid),
        (403, CredentialsRefused),
        (404, DestinationInvalid),
        (405, DestinationInvalid),
        (408, DestinationUnavailable),
        (409, BatchRefused),
        (410, DestinationInvalid),
        (413, BatchRefused),
        (415, DestinationInvalid),
        (418, DestinationInvalid),
        (422, BatchRefused),
        (423, DestinationUnavailable),
        (425, DestinationUnavailable),
        (429, Throttled),
        (500, DestinationUnavailable),
        (502, DestinationUnavailable),
        (503, DestinationUnavailable),
        (504, DestinationUnavailable),
        (599, DestinationUnavailable),
    ],
)
async def test_status_speaks_for_the_batch(status: int, kind: type[TailraceError]) -> None:
    with pytest.raises(TailraceError, match=str(status)) as failed:
        await written(answer(status, {"message": PRIVATE, "results": [{"status": "ok"}] * 3}))

    assert type(failed.value) is kind
    assert PRIVATE not in told(failed.value)


@pytest.mark.parametrize(
    ("status", "headers", "wait_s"),
    [
        (429, {"retry-after": "7"}, 7.0),
        (503, {"retry-after": "120"}, 120.0),
        (429, {"retry-after": " 0 "}, 0.0),
        (429, {"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT"}, 0.0),
        (429, {}, None),
        (429, {"retry-after": "soon"}, None),
        (429, {"retry-after": "-5"}, None),
        (429, {"retry-after": "٣"}, None),
        (429, {"retry-after": "Mon, 01 Jan 2026 99999999999:00:00 GMT"}, None),
    ],
)
async def test_retry_after_is_told(status: int, headers: Mapping[str, str], wait_s: float | None) -> None:
    with pytest.raises(Throttled) as throttled:
        await written(answer(status, b"", headers))

    assert throttled.value.retry_after_s == wait_s


@pytest.mark.parametrize(
    ("response", "outcome"),
    [
        (answer(422, {"message": "name is bad"}), rejected("HTTP_422", "name is bad")),
        (answer(400, {"error": {"why": 1}}), rejected("HTTP_400", '{"error":{"why":1}}')),
        (answer(400, b"no good", {"content-type": "text/plain"}), rejected("HTTP_400", "no good")),
        (answer(413, b"<html>x", {"content-type": "text/html"}), rejected("HTTP_413", "")),
        (answer(409), rejected("HTTP_409", "")),
        (answer(400, {"detail": "x" * 5000}), rejected("HTTP_400", "x" * 1000)),
        (answer(400, b"[" * 300 + b"]" * 300), rejected("HTTP_400", "[" * 300 + "]" * 300)),
    ],
)
async def test_row_that_is_refused_alone_is_rejected_in_the_service_s_words(
    response: HttpResponse, outcome: RowOutcome
) -> None:
    result = await written(response, rows=1)

    assert result.outcomes == [outcome]


async def test_row_alone_is_no_excuse_for_an_outage() -> None:
    with pytest.raises(DestinationUnavailable):
        await written(answer(500), rows=1)


async def test_partial_success_counts_exactly() -> None:
    errors = [{"index": n, "code": "BAD"} for n in (0, 7, 50, 99, 120, 150, 199)]

    result = await written(answer(207, {"errors": errors}), rows=200)

    assert verdicts(result.outcomes).count(Verdict.REJECTED) == 7
    assert verdicts(result.outcomes).count(Verdict.DELIVERED) == 193


@pytest.mark.parametrize(
    "response",
    [
        answer(200, {"errors": [{"index": 0, "message": "Authorization was Bearer s3cret-canary"}]}),
        answer(200, {"errors": [{"index": 0, "code": "s3cret-canary"}]}),
        answer(422, {"message": "s3cret-canary may not write"}),
        answer(422, b"X-Key: 0ther-canary", {"content-type": "text/plain"}),
    ],
)
async def test_secrets_that_the_answer_repeats_are_masked(response: HttpResponse) -> None:
    secrets = {"bearer_token": "s3cret-canary", "headers": {"X-Key": "0ther-canary"}}

    result = await written(response, 1, **secrets)

    said = f"{result.outcomes[0].code} {result.outcomes[0].message}"
    assert ("***" in said, "canary" in said) == (True, False)
