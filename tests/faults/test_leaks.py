"""Two hundred runs through broken answers and broken connections leave a process as small as it was."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tailrace.core.runs import RunStatus
from tests.faults.behaviours import breaks_off, hangs_up, says
from tests.faults.crowd import Crowd, open_crowd
from tests.faults.ground import CALM, Ground
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.trials import Count, Outcome
from tests.walks.processes import ServiceProcess

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

SYNCS = 50
WAVES = 3
"""After a first one, by which the process has what it needs."""
SPARE = 30
"""Connections that may be kept for a while: a process that leaks one a run has five times as many more."""
_BREAK = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'tailrace%' AND pid <> pg_backend_pid()
"""
_SOURCE = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


async def test_files_and_connections_do_not_grow_with_runs_and_faults(
    postgres_server: PostgresServer, ground: Ground, count: Count
) -> None:
    ground.settings = CALM
    executor = await ground.executor()
    async with open_crowd(postgres_server, ground, SYNCS) as crowd:
        first = await _wave(ground, crowd)
        before = _open_files(executor)

        others = [status for _ in range(WAVES) for status in await _wave(ground, crowd, broken=True)]

        assert {*first, *others} == {RunStatus.SUCCEEDED}
        assert _open_files(executor) <= before + SPARE
        await crowd.trial.yard.until(lambda: _is_left_alone(crowd))
    count([Outcome("leaks looked for")])
    assert await ground.breaches() == []


async def _wave(ground: Ground, crowd: Crowd, *, broken: bool = False) -> Sequence[RunStatus]:
    """A run of each sync; broken, some answers are, and all connections to the store in the middle of it."""
    sink = crowd.trial.sink
    at = sink.requests
    sink.script = {at + 5: hangs_up, at + 11: breaks_off, at + 17: says(500), at + 23: says(503)} if broken else {}
    started = await crowd.start()
    if broken:
        await ground.ended(started[0])
        await ground.chassis.database.execute(_BREAK)
    return [await ground.ended(run_id) for run_id in started]


def _open_files(process: ServiceProcess) -> int:
    return len(list(Path(f"/proc/{process.child.pid}/fd").iterdir()))


async def _is_left_alone(crowd: Crowd) -> bool:
    """Whether nobody but the test is connected to the source."""
    await crowd.trial.yard.warehouse.execute("SELECT pg_stat_clear_snapshot()")
    return not await crowd.trial.yard.warehouse.fetchval(_SOURCE)
