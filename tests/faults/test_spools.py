"""A destination is slow: the source is left alone, and what waits for it survives whatever happens to the disk."""

import resource
from pathlib import Path

import pytest

from tailrace.core.runs import RunStatus
from tests.faults.trial import Trial
from tests.fixtures.trials import Count, Outcome

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

SLOW_S = 5.0
"""So long does an answer take: all rows take more than a minute, to read them a second on an idle machine."""
PATIENT: dict[str, object] = {"spool_after_s": 0, "request_timeout_s": 60, "shutdown_grace_s": 70}
DISK_BYTES = 256 << 10
"""Less than the rows come to."""
# Digits of hashes: hardly to be compressed, and too many to wait in memory.
_GROW = "UPDATE people SET email = (SELECT string_agg(md5(id::text || n), '') FROM generate_series(1, 60) AS n)"
_SOURCE = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


async def test_source_is_left_alone_while_rows_are_still_to_be_delivered(trial: Trial, count: Count) -> None:
    trial.ground.settings = PATIENT
    await trial.yard.warehouse.execute(_GROW)
    trial.sink.delay_s = SLOW_S
    executor = await trial.ground.executor()

    run_id = await trial.yard.start()
    await executor.first("spool.begun")
    await trial.yard.until(lambda: _is_left_alone(trial))
    arrived = trial.sink.rows().total()
    trial.sink.delay_s = 0.0
    run = await trial.ended(run_id)

    assert arrived < run.books.delivered
    assert await trial.breaches_after(run) == []
    count([Outcome("slow destination")])


async def test_rows_on_the_disk_of_a_killed_executor_are_read_again_by_another(
    trial: Trial, tmp_path: Path, count: Count
) -> None:
    trial.ground.settings = PATIENT
    await trial.yard.warehouse.execute(_GROW)
    trial.sink.delay_s = SLOW_S
    directory = tmp_path / "spool"
    directory.mkdir()
    killed = await trial.ground.executor(spool_directory=directory)
    run_id = await trial.yard.start()
    await killed.first("spool.begun")
    await trial.yard.until(lambda: _is_left_alone(trial))

    await killed.kill()
    trial.sink.delay_s = 0.0
    await trial.ground.executor()
    run = await trial.ended(run_id)

    assert list(directory.iterdir()) == []
    assert await trial.breaches_after(run) == []
    count([Outcome("slow destination")])


async def test_run_goes_on_and_the_source_waits_where_the_disk_is_full(trial: Trial, count: Count) -> None:
    trial.ground.settings = PATIENT
    await trial.yard.warehouse.execute(_GROW)
    trial.sink.delay_s = SLOW_S
    executor = await trial.ground.executor()
    await executor.ready()
    resource.prlimit(executor.child.pid, resource.RLIMIT_FSIZE, (DISK_BYTES, DISK_BYTES))

    run_id = await trial.yard.start()
    refused = await executor.first("spool.refused")
    is_held = not await _is_left_alone(trial)
    trial.sink.delay_s = 0.0
    run = await trial.ended(run_id)

    assert (refused["reason"], is_held) == ("disk", True)
    assert len(executor.all("spool.refused")) == 1
    assert run.status is RunStatus.SUCCEEDED
    assert await trial.breaches_after(run) == []
    count([Outcome("full disk")])


async def _is_left_alone(trial: Trial) -> bool:
    """Whether nobody but the test is connected to the source."""
    await trial.yard.warehouse.execute("SELECT pg_stat_clear_snapshot()")
    return not await trial.yard.warehouse.fetchval(_SOURCE)
