"""Every row is refused, and no threshold stops the run: each has its letter, and nothing grows but the table.

`TAILRACE_TEST_FLOOD=1000000` refuses a million.
"""

import asyncio
import logging
import os
import time

import pytest

from tailrace.core.runs import RunStatus
from tailrace.core.syncs import SyncMode
from tests.bench.stock import percentiles_ms
from tests.faults.clients import caller_of, open_session, token_of
from tests.faults.ground import CALM, Ground
from tests.faults.trial import ROWS, Trial, open_trial
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.trials import Count, Outcome
from tests.gateway.caller import Caller
from tests.soak.load import resident_mib

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600)]

LETTERS = int(os.environ.get("TAILRACE_TEST_FLOOD", "20000"))
ENDS_WITHIN_S = 120 + LETTERS / 200
SPARE_MIB = 48
"""What an executor may have more of at the end than when a quarter of the rows had their letters."""
LOOKS = 40
LIST = "/api/reverse-etl/dlq"
_NO_END = {"failure_thresholds": {"ratio": None, "consecutive": None}}
_LETTERS = "SELECT count(*) FROM dead_letters WHERE state = 'open'"

_log = logging.getLogger(__name__)


async def test_flood_of_refused_rows_is_kept_whole_and_found_soon(
    postgres_server: PostgresServer, ground: Ground, count: Count
) -> None:
    ground.settings = CALM | {"window_rows": 2000}
    async with (
        open_trial(postgres_server, ground, SyncMode.UPSERT, rows_per_batch=500) as trial,
        open_session() as session,
    ):
        trial.sink.refused_each = 1
        await trial.yard.add_people(ROWS + 1, LETTERS)
        await trial.yard.change_sync(delivery=_NO_END)
        executor, gateway = await ground.executor(), await ground.start("gateway")
        client = await caller_of(gateway, session, await token_of(ground, trial.yard.sync.workspace_id))
        run_id = await trial.yard.start()
        await letters_come(trial, LETTERS // 4)
        early_mib = resident_mib(executor)
        await ground.ended(run_id, within_s=ENDS_WITHIN_S)
        late_mib = resident_mib(executor)
        run = await trial.yard.look(run_id)
        pages_s, counts_s = await asked(client, LIST), await asked(client, f"{LIST}/stats")

    assert (run.status, run.books.rejected, run.books.balance) == (RunStatus.SUCCEEDED, LETTERS, True)
    assert await ground.chassis.database.fetchval(_LETTERS) == LETTERS
    assert late_mib - early_mib < SPARE_MIB
    _log.info("%d letters: memory from %.0f to %.0f MiB", LETTERS, early_mib, late_mib)
    _log.info("a page: %s, the counts: %s", percentiles_ms(pages_s, 95), percentiles_ms(counts_s, 95))
    count([Outcome("every row refused")])
    assert await ground.breaches() == []


async def letters_come(trial: Trial, letters: int) -> None:
    """Return once there are so many."""
    async with asyncio.timeout(ENDS_WITHIN_S):
        while await trial.ground.chassis.database.fetchval(_LETTERS) < letters:  # noqa: ASYNC110 - another process writes
            await asyncio.sleep(0.2)


async def asked(client: Caller, path: str) -> list[float]:
    """How long each of some calls took."""
    took_s = []
    for _ in range(LOOKS):
        since = time.monotonic()
        answered = await client.get(path)
        assert answered.status == 200
        took_s.append(time.monotonic() - since)
    return took_s
