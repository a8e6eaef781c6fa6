"""A gateway whose clock is not that of the database: what ends, ends by the clock that all gateways share."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
import pytest_asyncio

from tailrace.core.clock import SystemClock
from tailrace.core.ids import WorkspaceId
from tailrace.runtime.service import Chassis
from tailrace.store.tokens import NewToken, Role
from tests.gateway.caller import Caller
from tests.gateway.conftest import Gateway

SKEWS = {"a day behind": timedelta(days=-1), "a day ahead": timedelta(days=1)}
_HOURS_ON = "SELECT clock_timestamp() + make_interval(hours => $1)"
_A_MINUTE_AGO = "UPDATE idempotency_keys SET created_at = created_at - interval '1 minute'"
_SYNCS = "/api/reverse-etl/syncs?limit=1"


class SkewedClock(SystemClock):
    """Goes as the machine's does, and shows another time."""

    def __init__(self, skew: timedelta) -> None:
        self._skew = skew

    def now(self) -> datetime:
        return super().now() + self._skew


@pytest_asyncio.fixture(params=SKEWS)
async def chassis(chassis: Chassis, request: pytest.FixtureRequest) -> Chassis:
    return replace(chassis, clock=SkewedClock(SKEWS[request.param]))


async def call_with_token(gateway: Gateway, workspace_id: WorkspaceId, *, ends_in_hours: int) -> int:
    """The status of a call with a token that ends so many hours from now, as the database has it."""
    expires_at = await gateway.stores.database.fetchval(_HOURS_ON, ends_in_hours)
    _, text = await gateway.stores.tokens.create(NewToken(workspace_id, "of a test", Role.VIEWER, expires_at))
    return (await Caller(gateway.session, gateway.url, text).get("/api/reverse-etl/syncs")).status


async def test_tokens_end_by_the_clock_of_the_database(gateway: Gateway, workspace_id: WorkspaceId) -> None:
    told = [await call_with_token(gateway, workspace_id, ends_in_hours=hours) for hours in (-1, 1)]

    assert told == [401, 200]


async def test_a_start_is_repeated_by_the_clock_of_the_database(gateway: Gateway, admin: Caller, sync_id: str) -> None:
    path = f"/v2/retl-connections/{sync_id}/start"
    first = await admin.post(path, {})
    again = await admin.post(path, {})
    await gateway.stores.database.execute(_A_MINUTE_AGO)
    late = await admin.post(path, {})

    assert again.json == first.json
    assert (late.status, late.json["code"]) == (409, "RUN_ACTIVE")


async def test_pages_follow_each_other(admin: Caller, sync_id: str, another_sync_id: str) -> None:
    first = await admin.get(_SYNCS)
    second = await admin.get(f"{_SYNCS}&cursor={first.json['meta']['page']['cursor']}")

    assert {page.json["data"][0]["id"] for page in (first, second)} == {sync_id, another_sync_id}
