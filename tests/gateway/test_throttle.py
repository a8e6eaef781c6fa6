"""How often a token may call."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from tailrace.core.ids import TokenId
from tailrace_gateway.app import make_app
from tailrace_gateway.problems import TooMany
from tailrace_gateway.routes import ROUTES
from tailrace_gateway.throttle import Pace, Throttle
from tests.gateway.caller import Caller
from tests.gateway.conftest import Gateway
from tests.gateway.test_cursors import HeldClock

A_TOKEN, ANOTHER = TokenId("a"), TokenId("b")


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest.fixture
def throttle(clock: HeldClock) -> Throttle:
    return Throttle(Pace(calls_per_s=10, burst=5), clock)


def _let_through(throttle: Throttle, calls: int, token_id: TokenId = A_TOKEN) -> int:
    return sum(_is_let_through(throttle, token_id) for _ in range(calls))


def _is_let_through(throttle: Throttle, token_id: TokenId) -> bool:
    try:
        throttle.take(token_id)
    except TooMany:
        return False
    return True


def test_burst_is_let_through_to_the_last_call(throttle: Throttle) -> None:
    assert _let_through(throttle, 6) == 5


def test_each_token_has_its_own(throttle: Throttle) -> None:
    _let_through(throttle, 5)

    assert _let_through(throttle, 5, ANOTHER) == 5


async def test_after_a_pause_as_many_as_the_rate_gives(throttle: Throttle, clock: HeldClock) -> None:
    _let_through(throttle, 50)
    await clock.sleep(0.3)

    assert _let_through(throttle, 50) == 3


async def test_wait_that_is_told_is_long_enough_and_no_longer(throttle: Throttle, clock: HeldClock) -> None:
    _let_through(throttle, 5)
    with pytest.raises(TooMany) as refused:
        throttle.take(A_TOKEN)

    await clock.sleep(refused.value.retry_after_s - 0.01)
    early = _let_through(throttle, 1)
    await clock.sleep(0.01)

    assert (early, _let_through(throttle, 1)) == (0, 1)


async def test_moment_at_which_the_next_is_let_through_is_told(throttle: Throttle, clock: HeldClock) -> None:
    _let_through(throttle, 5)
    with pytest.raises(TooMany) as refused:
        throttle.take(A_TOKEN)

    limit = refused.value.rate_limit
    assert limit is not None
    assert (limit.resets_at - clock.now()).total_seconds() == pytest.approx(refused.value.retry_after_s, abs=0.001)
    assert int(limit.headers["X-RateLimit-Reset"]) - clock.now().timestamp() < 2


async def test_long_pause_gives_no_more_than_the_burst(throttle: Throttle, clock: HeldClock) -> None:
    await clock.sleep(86_400)

    assert _let_through(throttle, 50) == 5


async def test_many_tokens_take_little_room(throttle: Throttle) -> None:
    for at in range(20_000):
        throttle.take(TokenId(str(at)))

    assert len(throttle._spent_until) == 10_000


@pytest_asyncio.fixture
async def throttled(gateway: Gateway, admin: Caller) -> AsyncIterator[Caller]:
    """An admin of a gateway that takes five calls of a token."""
    app = make_app(gateway.stores, ROUTES, throttle=Throttle(Pace(calls_per_s=0.1, burst=5), gateway.chassis.clock))
    async with TestServer(app) as server, ClientSession() as session:
        yield replace(admin, session=session, url=str(server.make_url("")).rstrip("/"))


async def test_call_too_many_is_told_when_to_come_back(throttled: Caller) -> None:
    answered = await asyncio.gather(*(throttled.get("/api/sources") for _ in range(6)))

    refused = [each for each in answered if each.status == 429]
    assert [each.status for each in answered].count(200) == 5
    assert refused[0].json["code"] == "TOO_MANY"
    assert 1 <= int(refused[0].headers["Retry-After"]) <= 10
    told = {name: value for name, value in refused[0].headers.items() if name.startswith("X-RateLimit-")}
    assert (told["X-RateLimit-Limit"], told["X-RateLimit-Remaining"]) == ("5", "0")


async def test_call_without_a_token_takes_none_of_it(throttled: Caller) -> None:
    for _ in range(10):
        await replace(throttled, token="").get("/api/sources")

    assert (await throttled.get("/api/sources")).status == 200
