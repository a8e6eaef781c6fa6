"""Clients mean ill, thousands at once: nobody else waits for them, and they leave the gateway as small as it was."""

import asyncio
import logging
import time
from contextlib import ExitStack

import pytest

from tailrace.embedded.ports import LOOPBACK
from tests.bench.stock import percentiles_ms
from tests.faults.clients import caller_of, open_session, token_of
from tests.faults.trial import Trial
from tests.fixtures.trials import Count, Outcome
from tests.gateway.caller import Caller
from tests.soak.load import resident_mib

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

SLOW_CLIENTS = 1000
AT_ONCE = 100
FLOODS = 4
PIPELINED = 500
GIANT = b'{"name": "' + b"x" * (2 << 20) + b'"}'
DEEP = b"[" * 10_000 + b"]" * 10_000
SYNCS = "/api/reverse-etl/syncs"
CALLS = 100
CALL_S = 20.0
"""Longest answer to somebody who means well, on a machine with other work; how long they take is told."""
SPARE_MIB = 64

_HALF = b"GET /api/sources HTTP/1.1\r\nHost: x\r\nX-"
_NOWHERE = b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n"

_log = logging.getLogger(__name__)


async def test_hostile_clients_keep_nobody_waiting(trial: Trial, count: Count) -> None:
    gateway = await trial.ground.start("gateway")
    token = await token_of(trial.ground, trial.yard.sync.workspace_id)
    async with open_session() as session:
        client = await caller_of(gateway, session, token)
        port = int(client.url.rpartition(":")[2])
        await calls(client, 10)
        before_mib = resident_mib(gateway)
        with ExitStack() as slow:
            for _ in range(SLOW_CLIENTS // AT_ONCE):
                await ask_half(port, slow)
            async with asyncio.TaskGroup() as tasks:
                floods = [tasks.create_task(flood(port)) for _ in range(FLOODS)]
                giants = [tasks.create_task(client.call("POST", SYNCS, body)) for body in (GIANT, DEEP) * 5]
                took_s = await calls(client, CALLS)
        grown_mib = resident_mib(gateway) - before_mib

    assert {giant.result().status for giant in giants} == {400, 413}
    assert [task.result() for task in floods] == [PIPELINED] * FLOODS
    assert grown_mib < SPARE_MIB
    _log.info("hostile clients: others waited %s, %.0f MiB more", percentiles_ms(took_s, 50, 99), grown_mib)
    count([Outcome("hostile clients")])
    assert await trial.ground.breaches() == []


async def ask_half(port: int, slow: ExitStack) -> None:
    """Some more clients who begin a request and do not go on, until the scope ends."""
    for _, writer in await asyncio.gather(*(asyncio.open_connection(LOOPBACK, port) for _ in range(AT_ONCE))):
        slow.callback(_hang_up, writer)
        writer.write(_HALF)


def _hang_up(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def calls(client: Caller, times: int) -> list[float]:
    """How long each of so many calls took, one after the other."""
    took_s = []
    for _ in range(times):
        since = time.monotonic()
        async with asyncio.timeout(CALL_S):
            answered = await client.get(SYNCS)
        assert answered.status == 200
        took_s.append(time.monotonic() - since)
    return took_s


async def flood(port: int) -> int:
    """How many of the requests that were sent in one go were answered by 404."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        writer.write(_NOWHERE * (PIPELINED - 1) + _NOWHERE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        async with asyncio.timeout(CALL_S * 2):
            return (await reader.read(-1)).count(b"HTTP/1.1 404 ")
    finally:
        writer.transport.abort()
