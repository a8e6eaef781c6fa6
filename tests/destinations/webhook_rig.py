"""A webhook for the contract of destinations: real requests over loopback."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from tailrace.connector_kit.destination import Destination
from tailrace.connector_kit.registry import validate_settings
from tailrace.destinations.webhook import WebhookDestination, WebhookSettings
from tailrace.runtime.http import AiohttpClient
from tests.destinations.people_rig import PeopleRig

SECRET = "s3cr3t-canary-5513"
ASKS = {
    "path": "/{object}",
    "body": {"operation": "$operation"},
    "rows_at": "rows",
    "rows_per_request": 500,
    "attribution": {"kind": "aligned", "results": "results", "status": "status", "ok": ["ok"]},
}


class WebhookRig(PeopleRig):
    secret = SECRET

    def opened(self, url: str, *, knows_us: bool = True) -> AbstractAsyncContextManager[Destination]:
        return opened(settings(url, token=SECRET if knows_us else SECRET + "-old"))


@asynccontextmanager
async def opened(settings: WebhookSettings) -> AsyncIterator[Destination]:
    async with AiohttpClient.open(allow_private=True) as http, WebhookDestination.open(settings, http) as destination:
        yield destination


def settings(url: str, *, token: str = SECRET) -> WebhookSettings:
    given = {
        "base_url": url,
        "auth": {"kind": "bearer"},
        "credentials": {"token": token},
        "objects": {"known": [{"name": "people"}]},
        "operations": dict.fromkeys(("upsert", "insert", "update", "delete"), ASKS),
    }
    return validate_settings(WebhookSettings, given)
