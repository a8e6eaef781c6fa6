"""What is read of a request, and the limits on it."""

import asyncio
import gzip
from typing import Any

import orjson
import pytest

from tests.gateway.caller import A_DESTINATION, A_SOURCE, HTTP_SETTINGS, Caller
from tests.gateway.conftest import Gateway

SYNCS = "/api/reverse-etl/syncs"
_MIB = 1024 * 1024


def _nested(levels: int) -> bytes:
    """A body of so many levels, itself the first."""
    return b'{"name":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


def _of_size(size_bytes: int) -> bytes:
    frame = b'{"name":""}'
    return frame[:-2] + b"x" * (size_bytes - len(frame)) + frame[-2:]


@pytest.mark.parametrize(
    "raw",
    [b"", b" ", b"{", b"name=x", b'{"a":NaN}', b'{"a":1,}', b"\xff\xfe{}", b'{"a":"\\ud800"}', b"{}{}", b"'"],
    ids=repr,
)
async def test_body_that_is_no_json_is_400(admin: Caller, raw: bytes) -> None:
    refused = await admin.post(SYNCS, raw)

    assert (refused.status, refused.json["code"]) == (400, "NOT_JSON")
    assert refused.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("raw", [b"[]", b'"text"', b"5", b"null", b"true"])
async def test_body_that_is_no_object_is_422(admin: Caller, raw: bytes) -> None:
    assert (await admin.post(SYNCS, raw)).status == 422


@pytest.mark.parametrize(("size_bytes", "status"), [(_MIB, 422), (_MIB + 1, 413)], ids=["1 MiB", "and a byte"])
async def test_body_may_have_one_mebibyte(admin: Caller, size_bytes: int, status: int) -> None:
    refused = await admin.post(SYNCS, _of_size(size_bytes))

    assert refused.status == status
    assert refused.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(("levels", "status"), [(32, 422), (33, 400), (1000, 400), (10_000, 400)])
async def test_body_may_have_32_levels(admin: Caller, levels: int, status: int) -> None:
    assert (await admin.post(SYNCS, _nested(levels))).status == status


async def test_compressed_body_is_refused_unread(admin: Caller) -> None:
    bomb = gzip.compress(b"0" * 50 * _MIB)

    refused = await admin.post(SYNCS, bomb, headers={"Content-Encoding": "gzip"})

    assert refused.status == 415


@pytest.mark.parametrize(
    "body",
    [
        {"name": "a\x00b"},
        {"na\x00me": "x"},
        {"settings": HTTP_SETTINGS | {"objects": ["a\x00b"]}},
    ],
    ids=["value", "name", "deep"],
)
async def test_nul_is_refused_wherever_it_stands(admin: Caller, body: dict[str, Any]) -> None:
    refused = await admin.post("/api/destinations", A_DESTINATION | body)

    assert (refused.status, refused.json["errors"][0]["code"]) == (422, "nul")


@pytest.mark.parametrize("number", [b"1" + b"0" * 30, b"-" + b"9" * 400, b"1e400", b"-0", b"18446744073709551616"])
async def test_huge_numbers_do_no_harm(admin: Caller, source_id: str, destination_id: str, number: bytes) -> None:
    raw = b"""{"name": "n", "sourceQuery": "q", "objectName": "o", "syncMode": "upsert", "destinationId": "%s",
      "fieldMappings": [{"source": "a", "destination": "a", "key": true}, {"value": %s, "destination": "b"}]}"""

    answered = await admin.post(SYNCS, raw % (destination_id.encode(), number))

    assert answered.status in {201, 400, 422}


async def test_ten_thousand_faults_make_a_short_answer(admin: Caller) -> None:
    refused = await admin.post(SYNCS, {"fieldMappings": [{} for _ in range(10_000)]})

    assert refused.status == 422
    assert len(refused.raw) < 50_000


async def test_name_that_is_given_in_both_spellings_is_refused(admin: Caller, sync_id: str) -> None:
    refused = await admin.post("/api/reverse-etl/sync/toggle", {"syncId": sync_id, "sync_id": "other", "enabled": True})

    assert refused.status == 422


async def test_values_are_never_repeated(admin: Caller) -> None:
    canary = "c4nary-value"
    body = {"name": [canary], "sourceQuery": {"q": canary}, "syncMode": canary, "schedule": {"type": canary}}

    refused = await admin.post(SYNCS, body)

    assert refused.status == 422
    assert canary.encode() not in refused.raw


async def test_problem_carries_what_each_client_reads(admin: Caller) -> None:
    refused = await admin.get("/api/runs/retl_run_x")

    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.json == {
        "type": "urn:tailrace:problem:run-not-found",
        "title": "Not Found",
        "status": 404,
        "detail": "no such run; GET /api/reverse-etl/runs lists them",
        "instance": "/api/runs/retl_run_x",
        "code": "RUN_NOT_FOUND",
        "error": "no such run; GET /api/reverse-etl/runs lists them",
        "message": "no such run; GET /api/reverse-etl/runs lists them",
    }


async def test_unknown_path_is_a_problem_too(admin: Caller) -> None:
    refused = await admin.get("/nowhere")

    assert (refused.status, refused.json["code"]) == (404, "NOT_FOUND")


async def test_wrong_method_tells_the_right_ones(admin: Caller) -> None:
    refused = await admin.call("PATCH", "/api/sources")

    assert (refused.status, refused.headers["Allow"]) == (405, "GET,HEAD,POST")


async def test_answers_are_not_cached_and_tell_no_versions(admin: Caller) -> None:
    answered = await admin.get("/api/sources")

    assert answered.headers["Cache-Control"] == "no-store"
    assert answered.headers["X-Content-Type-Options"] == "nosniff"
    assert answered.headers["Server"] == "tailrace"


async def test_body_that_breaks_off_is_no_fault_of_ours(gateway: Gateway, admin: Caller) -> None:
    host, port = gateway.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST {SYNCS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {admin.token}\r\nContent-Length: 50\r\n\r\n{{"

    writer.write(head.encode())
    writer.write_eof()
    answered = await reader.read()
    writer.close()

    assert b" 500 " not in answered
    assert (await admin.get("/api/sources")).status == 200


async def test_body_is_read_the_same_without_a_content_type(admin: Caller) -> None:
    created = await admin.post("/api/sources", orjson.dumps(A_SOURCE), headers={"Content-Type": "text/plain"})

    assert created.status == 201
