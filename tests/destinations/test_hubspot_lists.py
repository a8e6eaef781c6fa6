"""Lists of HubSpot keep what destinations with lists promise, over a portal as its documents describe it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import orjson
import pytest_asyncio

from tailrace.connector_kit.destination import Destination
from tailrace.connector_kit.http import HttpClient, HttpRequest, HttpResponse
from tailrace.connector_kit.manifest.engine import destination_of
from tailrace.destinations.hubspot import MANIFEST
from tailrace.testing.capability_contract import ListsContract
from tailrace.testing.fake_http import answer

MEMBERS = "/crm/v3/lists/7/memberships"
ANSWERS = {
    "/crm-object-schemas/v3/schemas": {"results": []},
    "/crm/v3/properties/contacts": {"results": [{"name": "email", "hasUniqueValue": True}]},
    "/crm/v3/lists/search": {"lists": [{"listId": "7", "name": "Ours", "objectTypeId": "0-1"}], "hasMore": False},
}


@dataclass
class Portal(HttpClient):
    """A list that is filled by hand, and two contacts by their address."""

    ids: dict[str, str] = field(default_factory=lambda: {"ada": "101", "bob": "102"})
    listed: set[str] = field(default_factory=set)

    async def send(self, request: HttpRequest) -> HttpResponse:
        path = urlsplit(request.url).path
        if path in ANSWERS:
            return answer(200, ANSWERS[path])
        told = orjson.loads(request.body)
        if path == "/crm/v3/objects/contacts/batch/read":
            return answer(
                200, {"results": [self._contact(each["id"]) for each in told["inputs"] if each["id"] in self.ids]}
            )
        if path == f"{MEMBERS}/add":
            self.listed |= set(told)
            return answer(200, {"recordIdsAdded": told, "recordIdsMissing": []})
        assert path == f"{MEMBERS}/remove"
        self.listed -= set(told)
        return answer(200, {"recordIdsRemoved": told})

    def _contact(self, address: str) -> dict[str, object]:
        return {"id": self.ids[address], "properties": {"email": address}}


@dataclass(frozen=True)
class Rig:
    destination: Destination
    portal: Portal
    list_name: str = "list:7"
    key_name: str = "email"

    async def members(self) -> set[str]:
        return {address for address, own in self.portal.ids.items() if own in self.portal.listed}


@pytest_asyncio.fixture
async def lists_rig() -> AsyncIterator[Rig]:
    connector, portal = destination_of(MANIFEST), Portal()
    async with connector.open(connector.settings_type.model_validate({"token": "pat-made-up"}), portal) as hubspot:
        yield Rig(hubspot, portal)


class TestLists(ListsContract):
    """HubSpot's."""
