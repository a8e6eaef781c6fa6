"""A refresh token that a vendor rotates: kept sealed, and asked for by one process at a time."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from urllib.parse import parse_qs

import pytest
import pytest_asyncio

from tailrace.connector_kit.http import HttpClient, HttpRequest, HttpResponse
from tailrace.connector_kit.keeping import kept_by
from tailrace.connector_kit.manifest.auth import RefreshToken
from tailrace.connector_kit.manifest.sign_in import SignIn
from tailrace.core.clock import SystemClock
from tailrace.core.errors import CredentialsRefused
from tailrace.runtime.keepers import ConnectionKeeper
from tailrace.store.connections import ConnectionDraft, ConnectionKind, Connections, StoredConnection
from tailrace.store.database import Database
from tailrace.store.secrets import SecretBox
from tailrace.store.workspaces import Workspaces
from tailrace.testing.fake_http import answer

TOKENS = "https://vendor.example/token"
AUTH = RefreshToken(token_url=TOKENS)
REQUEST = HttpRequest("POST", "https://vendor.example/rows", {}, b"{}")
DRAFT = ConnectionDraft(
    "crm",
    {"credentials": {"client_id": "us", "client_secret": "***", "refresh_token": "***"}},
    {"/credentials/client_secret": "canary-secret", "/credentials/refresh_token": "refresh-0"},
)
BOX = SecretBox.from_setting(base64.b64encode(b"k" * 32).decode())


class Vendor(HttpClient):
    """Takes a refresh token once, and gives the next with the access token; refuses what it has taken before."""

    def __init__(self) -> None:
        self.grants = 0
        self.expired: set[str] = set()

    async def send(self, request: HttpRequest) -> HttpResponse:
        await asyncio.sleep(0)
        if request.url != TOKENS:
            token = request.headers["Authorization"].removeprefix("Bearer ")
            return answer(401 if token in self.expired else 200)
        [told] = parse_qs(request.body.decode())["refresh_token"]
        if told != f"refresh-{self.grants}":
            return answer(400, {"error": "invalid_grant"})
        self.grants += 1
        given = {"access_token": f"access-{self.grants}", "refresh_token": f"refresh-{self.grants}"}
        return answer(200, given | {"expires_in": 3600})


@asynccontextmanager
async def process(database_url: str) -> AsyncIterator[Connections]:
    """The connections as a process of its own has them."""
    async with Database.open(database_url, application_name="test") as database:
        yield Connections(database, BOX)


@pytest_asyncio.fixture
async def stored(database_url: str) -> StoredConnection:
    async with Database.open(database_url, application_name="test") as database:
        workspace = await Workspaces(database).create("ours")
        return await Connections(database, BOX).create(workspace.id, ConnectionKind.DESTINATION, "webhook", DRAFT)


async def signed_in(connections: Connections, stored: StoredConnection, vendor: Vendor) -> SignIn:
    _, settings = await connections.open_settings(stored.id)
    with kept_by(ConnectionKeeper(connections, stored.id)):
        return SignIn(AUTH, settings["credentials"], vendor, SystemClock())


async def send(sign_in: SignIn) -> int:
    response = await sign_in.send(REQUEST, is_expired=lambda told: told.status == 401)
    return response.status


async def test_rotated_token_is_kept_sealed_and_used_by_the_next_process(
    database_url: str, stored: StoredConnection
) -> None:
    vendor = Vendor()
    async with process(database_url) as connections:
        await send(await signed_in(connections, stored, vendor))
        vendor.expired.add("access-1")
    async with process(database_url) as connections:
        status = await send(await signed_in(connections, stored, vendor))

        after, settings = await connections.open_settings(stored.id)
        async with Database.open(database_url, application_name="test") as database:
            sealed = await database.fetchval("SELECT secrets FROM connections WHERE id = $1", stored.id)

    assert (status, vendor.grants) == (200, 2)
    assert settings["credentials"]["refresh_token"] == "refresh-2"
    assert settings.keys() == DRAFT.settings.keys()
    assert (after.updated_at, after.settings) == (stored.updated_at, stored.settings)
    assert b"refresh-2" not in sealed


async def test_processes_that_race_refresh_once(database_url: str, stored: StoredConnection) -> None:
    vendor = Vendor()
    async with process(database_url) as one, process(database_url) as other:
        sign_ins = [await signed_in(each, stored, vendor) for each in (one, other, one, other)]

        first = await asyncio.gather(*map(send, sign_ins))
        vendor.expired.add("access-1")
        second = await asyncio.gather(*map(send, sign_ins))

    assert first == second == [200] * 4
    assert vendor.grants == 2


async def test_token_that_a_user_puts_in_takes_the_place_of_what_was_kept(
    database_url: str, stored: StoredConnection
) -> None:
    vendor, fresh = Vendor(), Vendor()
    fresh.grants = 40
    async with process(database_url) as connections:
        await send(await signed_in(connections, stored, vendor))
        changed = replace(DRAFT, secrets={**DRAFT.secrets, "/credentials/refresh_token": "refresh-40"})
        await connections.update(stored.workspace_id, stored.kind, stored.id, changed)

        status = await send(await signed_in(connections, stored, fresh))

    assert (status, fresh.grants) == (200, 41)


async def test_refusal_keeps_what_there_was(database_url: str, stored: StoredConnection) -> None:
    vendor = Vendor()
    vendor.grants = 7
    async with process(database_url) as connections:
        with pytest.raises(CredentialsRefused, match="invalid_grant"):
            await send(await signed_in(connections, stored, vendor))

        _, settings = await connections.open_settings(stored.id)

    assert settings["credentials"]["refresh_token"] == "refresh-0"
