"""Runs into HubSpot as its manifest knows it: the whole engine, over loopback."""

import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest_asyncio
from aiohttp import web

from tailrace.core.runs import RunStatus
from tailrace.core.syncs import SyncMode
from tailrace.runtime.service import Chassis
from tailrace.store.connections import ConnectionDraft
from tests.destinations.loopback_service import LoopbackService
from tests.executor.conftest import QUERY
from tests.executor.yard import Yard, definition_of, make_sync

CONTACTS = "/crm/v3/objects/contacts/batch"
PROPERTIES = [{"name": "id", "hasUniqueValue": True}, {"name": "email", "type": "string"}]


class HubSpot(LoopbackService):
    """Contacts by their property `id`; an address needs an @. Every so often, no requests are left for a while."""

    def __init__(self) -> None:
        super().__init__()
        self.contacts: dict[str, dict[str, str]] = {}
        self.requests: list[str] = []
        self.questions: list[str] = []
        self.refused_early = 0

    async def answer(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer pat-made-up"
        self.questions += [request.path] if request.method == "GET" else []
        match request.method, request.path:
            case "GET", "/crm-object-schemas/v3/schemas":
                return web.json_response({"results": []})
            case "GET", "/crm/v3/properties/contacts":
                return web.json_response({"results": PROPERTIES}, headers={"X-HubSpot-RateLimit-Max": "1000"})
        inputs = json.loads(await request.read())["inputs"]
        assert len(inputs) <= 100
        self.requests.append(request.path.removeprefix(f"{CONTACTS}/"))
        if len(self.requests) == 2:
            return web.json_response({"category": "RATE_LIMITS"}, status=429, headers={"Retry-After": "1"})
        left = {"X-HubSpot-RateLimit-Remaining": "0" if len(self.requests) == 3 else "9"}
        return self._written(self.requests[-1], inputs, left | {"X-HubSpot-RateLimit-Interval-Milliseconds": "300"})

    def _written(self, what: str, inputs: list[dict[str, Any]], headers: dict[str, str]) -> web.Response:
        match what:
            case "read":
                found = [
                    {"id": f"own-{each['id']}", "properties": each} for each in inputs if each["id"] in self.contacts
                ]
                return web.json_response({"results": found}, headers=headers)
            case "archive":
                for each in inputs:
                    del self.contacts[each["id"].removeprefix("own-")]
                return web.Response(status=204, headers=headers)
        bad = [each for each in inputs if "@" not in each["properties"]["email"]]
        self.contacts |= {each["id"]: each["properties"] for each in inputs if each not in bad}
        results = [{"id": "1", "objectWriteTraceId": each["objectWriteTraceId"]} for each in inputs if each not in bad]
        errors = [
            {
                "category": "VALIDATION_ERROR",
                "message": "no @",
                "context": {"objectWriteTraceId": [each["objectWriteTraceId"]]},
            }
            for each in bad
        ]
        return web.json_response({"results": results, "errors": errors}, status=207 if bad else 200, headers=headers)


@pytest_asyncio.fixture
async def hubspot() -> AsyncIterator[HubSpot]:
    service = HubSpot()
    async with service.served():
        yield service


@pytest_asyncio.fixture
async def yard(
    chassis: Chassis, warehouse: "asyncpg.Connection[asyncpg.Record]", hubspot: HubSpot, empty_database_url: str
) -> Yard:
    """A mirror from the table of people to the contacts of HubSpot."""
    source = ConnectionDraft("warehouse", {"url": "***", "allow_superuser": True}, {"/url": empty_database_url})
    target = ConnectionDraft("crm", {"token": "***", "base_url": hubspot.url}, {"/token": "pat-made-up"})
    definition = definition_of(QUERY, ("id", "email")).model_copy(
        update={"object_name": "contacts", "sync_mode": SyncMode.MIRROR, "max_delete_ratio": 1.0}
    )
    return Yard(chassis, warehouse, await make_sync(chassis, source, target, definition, ("postgres", "hubspot")))


async def test_rows_arrive_whatever_is_throttled_and_only_the_bad_ones_are_left_out(
    yard: Yard, hubspot: HubSpot
) -> None:
    await yard.add_people(1, 450)
    await yard.warehouse.execute("UPDATE people SET email = 'nowhere' WHERE id IN (7, 431)")

    run = await yard.run()

    letters = await yard.chassis.database.fetch("SELECT error_code FROM dead_letters")
    assert (run.status, run.books.delivered, run.books.failed) == (RunStatus.SUCCEEDED, 448, 2)
    assert sorted(map(int, hubspot.contacts)) == [n for n in range(1, 451) if n not in {7, 431}]
    assert [letter["error_code"] for letter in letters] == ["VALIDATION_ERROR"] * 2
    assert hubspot.requests.count("upsert") == 6


async def test_what_left_the_query_is_archived_by_hubspot_s_own_ids(yard: Yard, hubspot: HubSpot) -> None:
    await yard.add_people(1, 20)
    await yard.run()
    await yard.warehouse.execute("DELETE FROM people WHERE id > 15")

    run = await yard.run()

    assert run.status is RunStatus.SUCCEEDED
    assert sorted(map(int, hubspot.contacts)) == list(range(1, 16))
    assert hubspot.requests[-2:] == ["read", "archive"]


async def test_runs_keep_the_pace_that_the_account_is_known_to_allow(yard: Yard, hubspot: HubSpot) -> None:
    await yard.add_people(1, 2)

    await yard.run()

    paced = await yard.chassis.database.fetch("SELECT scope FROM rate_limits")
    assert [row["scope"] for row in paced] == [yard.sync.definition.destination_id]


async def test_run_asks_for_the_fields_once(yard: Yard, hubspot: HubSpot) -> None:
    await yard.add_people(1, 2)

    run = await yard.run()

    assert run.status is RunStatus.SUCCEEDED
    assert sorted(hubspot.questions) == ["/crm-object-schemas/v3/schemas", "/crm/v3/properties/contacts"]
