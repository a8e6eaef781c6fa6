from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tailrace.connector_kit.manifest.rehearsal import PROMISES, Promise, rehearse
from tailrace.connector_kit.registry import destination_type, validate_settings
from tailrace.core.clock import SystemClock
from tailrace.destinations.webhook import WebhookDestination, WebhookSettings, described
from tests.destinations.http_service import PeopleService
from tests.destinations.people_rig import PeopleContract
from tests.destinations.webhook_rig import SECRET, WebhookRig, opened, settings

APIS: dict[str, dict[str, Any]] = {
    "one row a request": {"path": "/people/{key}", "method": "PUT"},
    "lines": {"path": "/", "rows_at": "", "rows_as": "lines", "row": [{"id": "$key"}, "$fields"]},
    "by index": {"path": "/", "rows_at": "rows", "attribution": {"kind": "indexed", "index": "row"}},
    "by id in the body": {
        "path": "/",
        "rows_at": "",
        "row": {"id": "$key", "*": "$others"},
        "attribution": {"kind": "aligned", "results": "items", "status": "status", "ok": ["200"], "key": "id"},
    },
    "by rejected keys": {
        "path": "/",
        "rows_at": "people.list",
        "attribution": {"kind": "keyed", "lists": [{"at": "/refused/ids", "code": "NOT_TAKEN_HERE", "message": "no"}]},
    },
    "some fields by filters": {
        "path": "/",
        "rows_at": "rows",
        "row": {"mail": "$fields.email|trim|lower|sha256", "since": "$fields.since|epoch_s", "as": "{key} ({object})"},
    },
    "all or nothing": {"path": "/", "rows_at": "rows"},
}


@pytest_asyncio.fixture
async def rig() -> AsyncIterator[WebhookRig]:
    service = PeopleService(SECRET)
    async with service.served(), opened(settings(service.url)) as destination:
        yield WebhookRig(destination, service)


class TestWebhookDestination(PeopleContract):
    pass


def test_registry_finds_it() -> None:
    assert destination_type("webhook") is WebhookDestination


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
async def test_promise_holds_whatever_the_api_s_habits(promise: Promise) -> None:
    findings = {habit: await rehearse(described(api(asks), SystemClock()), promise) for habit, asks in APIS.items()}

    assert findings == {habit: [] for habit in APIS}


def api(asks: dict[str, Any]) -> WebhookSettings:
    given = {"base_url": "https://api.example.com", "operations": {"upsert": asks, "delete": asks}}
    return validate_settings(WebhookSettings, given)
