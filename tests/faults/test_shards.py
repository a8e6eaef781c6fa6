"""A run that several executors share: one of them is killed, and the others, and another, carry its part too."""

import pytest

from tailrace.core.ids import RunId
from tailrace.core.runs import RunStatus
from tests.faults.trial import Trial
from tests.fixtures.trials import Count, Outcome

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

SHARED: dict[str, object] = {"rows_per_shard": 300}
_AT_WORK = """
SELECT count(DISTINCT lease_owner) FROM run_shards WHERE run_id = $1 AND state = 'running' AND checkpoint_seq > 0
"""


async def test_shard_of_a_killed_executor_is_resumed_and_the_others_do_not_notice(trial: Trial, count: Count) -> None:
    run_id = await _shared_run(trial)

    await trial.ground.services[0].kill()
    await trial.ground.executor()
    trial.sink.delay_s = 0.0
    run = await trial.ended(run_id)

    assert run.status is RunStatus.SUCCEEDED
    assert await trial.breaches_after(run) == []
    assert await trial.ground.breaches() == []
    count([Outcome("shared run, killed")])


async def test_executors_told_to_stop_hand_their_shards_back(trial: Trial, count: Count) -> None:
    run_id = await _shared_run(trial)

    codes = [await process.stop() for process in trial.ground.services[:2]]
    between = await trial.yard.look(run_id)
    trial.sink.delay_s = 0.0
    await trial.ground.executor()
    run = await trial.ended(run_id)

    assert codes == [0, 0]
    assert (between.status, run.status) == (RunStatus.RUNNING, RunStatus.SUCCEEDED)
    assert await trial.breaches_after(run) == []
    count([Outcome("shared run, stopped")])


async def test_cancel_of_a_shared_run_whose_executors_are_gone_is_heeded_by_the_next(
    trial: Trial, count: Count
) -> None:
    run_id = await _shared_run(trial)

    for process in trial.ground.services[:2]:
        await process.kill()
    await trial.yard.cancel()
    trial.sink.delay_s = 0.0
    await trial.ground.executor()
    cancelled = await trial.ended(run_id)
    run = await trial.run()

    assert (cancelled.status, cancelled.books.balance) == (RunStatus.CANCELLED, True)
    assert await trial.breaches_after(run, earlier=[cancelled]) == []
    assert await trial.ground.breaches() == []
    count([Outcome("shared run, cancelled")])


async def _shared_run(trial: Trial) -> RunId:
    """A run that two executors are at work on."""
    trial.ground.settings = SHARED
    trial.sink.delay_s = 0.3
    await trial.yard.warehouse.execute("ANALYZE people")
    for _ in range(2):
        await trial.ground.executor()
    run_id = await trial.yard.start()
    await trial.yard.until(lambda: _are_at_work(trial, run_id))
    return run_id


async def _are_at_work(trial: Trial, run_id: RunId) -> bool:
    return bool(await trial.ground.chassis.database.fetchval(_AT_WORK, run_id) == 2)
