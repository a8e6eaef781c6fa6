"""HEAD: what GET would answer, without the body."""

import asyncio
import re

import pytest

from tailrace.observe.metrics import REGISTRY
from tailrace_gateway.app import STREAMS
from tailrace_gateway.openapi import openapi
from tailrace_gateway.routes import ROUTES
from tests.gateway.caller import Caller
from tests.gateway.conftest import Gateway

_HEADERS = ("Content-Type", "Content-Length", "Cache-Control", "ETag")
_NAMES = re.compile(r"{(\w+)}")
_WAIT_S = 30.0


@pytest.fixture
async def run_id(admin: Caller, sync_id: str) -> str:
    started = await admin.post("/api/reverse-etl/sync/run", {"syncId": sync_id})
    return str(started.json["data"]["id"])


async def test_head_answers_as_get_does(admin: Caller, sync_id: str, run_id: str, another_sync_id: str) -> None:
    known = {"sync_id": sync_id, "run_id": run_id, "job_id": run_id, "connection_id": another_sync_id, "version": "1"}
    asked = [route for route in ROUTES if route.method == "GET"]
    urls = [
        admin.url + route.prefixes[-1] + _NAMES.sub(lambda at: known.get(at[1], "x"), route.path) for route in asked
    ]

    got = {url: (await _told(admin, "GET", url))[:-1] for url in urls}
    said = {url: await _told(admin, "HEAD", url) for url in urls}

    assert said == {url: (*told, b"") for url, told in got.items()}
    assert {told[0] for told in got.values()} >= {200, 404, 422}


async def _told(caller: Caller, method: str, url: str) -> tuple[int | str | bytes | None, ...]:
    """Status, headers and, but for a stream, the body."""
    headers = {"Authorization": f"Bearer {caller.token}"}
    async with asyncio.timeout(_WAIT_S), caller.session.request(method, url, headers=headers) as got:
        is_stream = got.headers["Content-Type"] == "text/event-stream" and method == "GET"
        body = b"" if is_stream else await got.read()
        return got.status, *(got.headers.get(name) for name in _HEADERS), body


async def test_head_follows_no_run(gateway: Gateway, admin: Caller, run_id: str) -> None:
    url, headers = f"{admin.url}/api/runs/{run_id}/events", {"Authorization": f"Bearer {admin.token}"}

    async with asyncio.timeout(_WAIT_S), admin.session.head(url, headers=headers) as asked:
        told = asked.headers["Content-Type"]

    assert (asked.status, told) == (200, "text/event-stream")
    assert gateway.app[STREAMS].open_count == 0


async def test_head_starts_nothing(admin: Caller, sync_id: str) -> None:
    url, headers = f"{admin.url}/v2/retl-connections/{sync_id}/start", {"Authorization": f"Bearer {admin.token}"}

    async with admin.session.head(url, headers=headers) as refused:
        allowed = refused.headers["Allow"]

    assert (refused.status, allowed) == (405, "POST")
    assert (await admin.get("/api/reverse-etl/runs")).json["data"] == []


async def test_head_is_let_in_and_counted_like_any_request(gateway: Gateway) -> None:
    before = _refused()

    async with gateway.session.head(f"{gateway.url}/api/sources") as refused:
        pass

    assert (refused.status, _refused() - before) == (401, 1)
    assert {method for item in openapi()["paths"].values() for method in item} == {"get", "post", "put", "delete"}


def _refused() -> float:
    labels = {"method": "HEAD", "route": "/api/sources", "code": "401"}
    return REGISTRY.get_sample_value("tailrace_http_requests_total", labels) or 0
