"""Addresses of plain http: refused at once where no request would ever be sent to them."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestServer

from tailrace_gateway.app import make_app
from tailrace_gateway.routes import ROUTES
from tests.gateway.caller import A_DESTINATION, A_SOURCE, HTTP_SETTINGS, Caller
from tests.gateway.conftest import Gateway


@pytest_asyncio.fixture
async def public(gateway: Gateway, admin: Caller) -> AsyncIterator[Caller]:
    """The admin at a gateway of the same workspaces that sends nothing over plain http."""
    stores = replace(gateway.stores, speaks_plain_http=False)
    async with TestServer(make_app(stores, ROUTES)) as server:
        yield replace(admin, url=str(server.make_url("")).rstrip("/"))


@pytest.mark.parametrize("url", ["http://crm.example/rows", "HTTP://crm.example/rows", "http://10.0.0.1/rows"])
async def test_new_destination_of_plain_http_is_refused_with_what_to_do(public: Caller, url: str) -> None:
    refused = await public.post("/api/destinations", A_DESTINATION | {"settings": HTTP_SETTINGS | {"url": url}})

    [fault] = refused.json["errors"]
    assert (refused.status, fault["pointer"], fault["code"]) == (422, "/settings/url", "plain_http")
    assert fault["detail"].startswith("must begin with https://")
    assert (await public.get("/api/destinations")).json["data"] == []


async def test_nothing_else_is_refused(public: Caller) -> None:
    safe = A_DESTINATION | {"settings": HTTP_SETTINGS | {"url": "https://crm.example/rows"}}

    assert await public.made("/api/destinations", safe)
    assert await public.made("/api/sources", A_SOURCE)


async def test_destination_that_was_there_before_can_be_changed_but_not_be_moved(
    public: Caller, destination_id: str
) -> None:
    path, moved = f"/api/destinations/{destination_id}", HTTP_SETTINGS | {"url": "http://crm.example/rows"}

    renamed = await public.put(path, {"name": "other"})
    same = await public.put(path, {"settings": HTTP_SETTINGS | {"bearer_token": "***"}})
    refused = await public.put(path, {"settings": moved})

    assert (renamed.status, same.status, refused.status) == (200, 200, 422)
