"""Secrets and rows on their way through a run: whatever goes wrong, neither is told to logs, events or metrics."""

import logging
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from tailrace.core.runs import RunStatus
from tailrace.observe.metrics import exposition
from tailrace.runtime.service import Chassis
from tailrace.store.connections import ConnectionDraft
from tests.executor.conftest import QUERY
from tests.executor.yard import Yard, definition_of, make_sync

SECRETS = {
    "/bearer_token": "c4nary-bearer-token",
    "/headers/X-Api-Key": "c4nary-api-key",
    "/headers/X-Other": "c4nary-other-key",
    "/signing_secret": "whsec_YzRuYXJ5LXNpZ25pbmcta2V5LW9mLXRoZS10ZXN0",
}
A_ROW = "c4nary-row@example.com"
_SHOWN = {"bearer_token": "***", "headers": {"X-Api-Key": "***", "X-Other": "***"}, "signing_secret": "***"}
_COPIED = """
SELECT string_agg(text, '|') FROM (
  SELECT convert_from(body, 'UTF8') AS text FROM outbox
  UNION ALL SELECT message || error_code FROM dead_letters
  UNION ALL SELECT coalesce(error_message, '') FROM runs
  UNION ALL SELECT t::text FROM run_shards AS t) AS told
"""


class Parrot:
    """A service that repeats whatever it was sent, and says what it is told to."""

    def __init__(self) -> None:
        self.status = 200
        self.heard = ""

    async def answer(self, request: web.Request) -> web.Response:
        """Refuse each row with all that the request held."""
        sent = "; ".join(f"{name}: {value}" for name, value in request.headers.items())
        self.heard += sent
        rows = (await request.json())["rows"]
        refused = {"status": "rejected", "code": "BAD", "message": f"you said {sent}"}
        return web.json_response({"results": [refused for _ in rows], "error": sent}, status=self.status)


@pytest_asyncio.fixture
async def parrot() -> Parrot:
    return Parrot()


@pytest_asyncio.fixture
async def yard(
    chassis: Chassis,
    warehouse: "asyncpg.Connection[asyncpg.Record]",
    empty_database_url: str,
    parrot: Parrot,
) -> AsyncIterator[Yard]:
    app = web.Application()
    app.router.add_post("/rows", parrot.answer)
    async with TestServer(app) as server:
        source = ConnectionDraft("warehouse", {"url": "***", "allow_superuser": True}, {"/url": empty_database_url})
        shown = {"url": str(server.make_url("/rows")), "requires_results": True, **_SHOWN}
        sync = await make_sync(
            chassis, source, ConnectionDraft("parrot", shown, SECRETS), definition_of(QUERY, ("id", "email"))
        )
        await warehouse.execute("INSERT INTO people VALUES (1, $1)", A_ROW)
        yield Yard(chassis, warehouse, sync)


@pytest.mark.parametrize("status", [200, 400, 401, 403, 422])
async def test_what_a_service_repeats_is_told_to_nobody(
    yard: Yard,
    parrot: Parrot,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    status: int,
) -> None:
    caplog.set_level(logging.DEBUG, logger="tailrace")
    parrot.status = status

    run = await yard.run()

    logged = capsys.readouterr()
    told = await yard.chassis.database.fetchval(_COPIED)
    everywhere = "\n".join([told, logged.out, logged.err, caplog.text, exposition().decode(), run.error_message or ""])
    assert run.status in {RunStatus.SUCCEEDED, RunStatus.FAILED}
    assert SECRETS["/bearer_token"] in parrot.heard
    assert [secret for secret in SECRETS.values() if secret in everywhere] == []
    assert A_ROW not in logged.out + logged.err + caplog.text + exposition().decode()
