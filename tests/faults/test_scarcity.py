"""An executor has too little memory for a row: its run is given up in the end, and nothing else is harmed."""

import asyncio
import resource
from pathlib import Path

import asyncpg
import pytest

from tailrace.core.runs import RunStatus
from tailrace.store.runs import Run
from tests.faults.ground import Ground
from tests.faults.history import history_of
from tests.faults.trial import BYSTANDER, Trial
from tests.fixtures.trials import Count, Outcome
from tests.walks.processes import ServiceProcess

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

GIANT = 1_000_001
SPARE_BYTES = 32 << 20
"""What an executor may still take once it is ready: less than the row, and enough for all others."""
EXECUTORS_AT_MOST = 8
ENDS_WITHIN_S = 240.0
_GROW = "INSERT INTO people VALUES ($1, repeat('x', 120000000))"
_SHRINK = "DELETE FROM people WHERE id = $1"
_KEEP_FROM_CLAIMS = "SELECT FROM run_shards FOR UPDATE"
_LOOK_S = 0.1


async def test_run_that_needs_more_memory_than_there_is_is_given_up_and_the_next_goes_on(
    trial: Trial, count: Count
) -> None:
    await trial.yard.warehouse.execute(_GROW, GIANT)
    given_up = await _given_up(trial)
    await trial.yard.warehouse.execute(_SHRINK, GIANT)
    await trial.ground.executor()

    following = await trial.run()

    wanted = {person: email for person, email in await trial.people() if not trial.sink.is_refused(person)}
    assert given_up.error_code in {"CRASH_LOOP", "SOURCE_UNAVAILABLE"}
    assert (following.status, following.books.balance) == (RunStatus.SUCCEEDED, True)
    assert trial.sink.table == {BYSTANDER: "stays"} | wanted
    assert list((await history_of(trial.ground.chassis.database)).breaches()) == []
    count([Outcome("too little memory")])


async def _given_up(trial: Trial) -> Run:
    """A run that ends because executor after executor dies of it, or cannot read on."""
    run_id = await trial.yard.start()
    for _ in range(EXECUTORS_AT_MOST):
        executor = await _poor_executor(trial.ground)
        async with asyncio.timeout(ENDS_WITHIN_S):
            while executor.child.returncode is None and not (await trial.yard.look(run_id)).status.is_terminal:  # noqa: ASYNC110 - another process decides
                await asyncio.sleep(_LOOK_S)
        await executor.kill()
        if (await trial.yard.look(run_id)).status.is_terminal:
            break
    return await trial.yard.look(run_id)


async def _poor_executor(ground: Ground) -> ServiceProcess:
    """An executor that can claim the run only once its memory is limited."""
    store = await asyncpg.connect(ground.services_url, timeout=10, command_timeout=30)
    try:
        async with store.transaction():
            await store.execute(_KEEP_FROM_CLAIMS)
            executor = await ground.executor()
            await executor.ready()
            limit = _data_bytes(executor.child.pid) + SPARE_BYTES
            resource.prlimit(executor.child.pid, resource.RLIMIT_DATA, (limit, limit))
    finally:
        await store.close(timeout=10)
    return executor


def _data_bytes(pid: int) -> int:
    """The memory that a process has asked for and shares with nobody."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmData"].split()[0]) << 10
