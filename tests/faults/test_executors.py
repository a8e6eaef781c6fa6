"""An executor stands still, dies of one run again and again, or is told to stop while its destination hangs."""

import asyncio
import time

import pytest

from tailrace.core.runs import RunStatus
from tailrace.core.syncs import SyncMode
from tests.faults.ground import WINDOW_ROWS, Ground
from tests.faults.kills import died
from tests.faults.trial import ROWS, Trial, open_trial
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.trials import Count, Outcome

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

BLOCKED_S = 20
"""So long that another has the run, and ends it, before the loop goes on."""
CRASHES = 3
REQUEST_S = 2.0
GRACE_S = 12.0
_EXITS_WITHIN_S = GRACE_S + 15.0
_NEVER_S = 120.0


async def test_executor_whose_loop_was_blocked_sends_nothing_after_it(trial: Trial, count: Count) -> None:
    ground = trial.ground
    blocked = await ground.executor(f"exec.after_response_before_checkpoint:5:sleep:{BLOCKED_S}")
    run_id = await trial.yard.start()
    await blocked.first("failpoint.reached")
    since = time.monotonic()
    await ground.executor()
    run = await trial.ended(run_id)
    page, took_s = trial.sink.page, time.monotonic() - since

    await blocked.first("lease.lost")

    facts = await trial.facts(run)
    assert trial.sink.page == page
    assert await trial.breaches_after(run) == []
    count([Outcome("event loop blocked", took_s, facts.repeated, facts.repeats_allowed)])
    assert await ground.breaches() == []


async def test_run_that_kills_its_executors_is_given_up_and_the_others_go_on(
    postgres_server: PostgresServer, ground: Ground, count: Count
) -> None:
    async with (
        open_trial(postgres_server, ground, SyncMode.INSERT) as poisonous,
        open_trial(postgres_server, ground, SyncMode.UPSERT) as healthy,
    ):
        healthy.sink.delay_s = 6.0
        survivor = await ground.executor(executor_max_runs=1, lease_ttl_s=30, request_timeout_s=20)
        long_run = await healthy.yard.start()
        assert await ground.owner(long_run) is survivor
        poison = await poisonous.yard.start()
        for _ in range(CRASHES):
            await died(await ground.executor("exec.mid_read:1:kill", executor_max_runs=1))
        assert not (await healthy.yard.look(long_run)).status.is_terminal
        await ground.executor()
        given_up = await poisonous.ended(poison)
        healthy.sink.delay_s = 0.0
        undisturbed = await healthy.ended(long_run)

        again = await poisonous.run()
        facts = await healthy.facts(undisturbed)
        assert (given_up.status, given_up.error_code) == (RunStatus.FAILED, "CRASH_LOOP")
        assert (facts.takeovers, facts.repeated) == (0, 0)
        assert await healthy.breaches_after(undisturbed) == []
        assert await poisonous.breaches_after(again) == []
    count([Outcome("crash loop")])
    assert await ground.breaches() == []


async def test_executor_told_to_stop_while_its_destination_hangs_leaves_in_time(trial: Trial, count: Count) -> None:
    ground = trial.ground
    trial.sink.delay_s = _NEVER_S
    leaving = await ground.executor(request_timeout_s=REQUEST_S, shutdown_grace_s=GRACE_S)
    run_id = await trial.yard.start()
    await trial.sink.holds(WINDOW_ROWS - 3)
    trial.sink.delay_s = 0.0
    told = time.monotonic()
    async with asyncio.timeout(_EXITS_WITHIN_S):
        code = await leaving.stop()
    took_s = time.monotonic() - told
    await ground.executor()
    run = await trial.ended(run_id)

    facts = await trial.facts(run)
    assert code == 0
    assert facts.repeated <= WINDOW_ROWS < ROWS
    assert await trial.breaches_after(run) == []
    count([Outcome("told to stop while the destination hangs", took_s, facts.repeated, facts.repeats_allowed)])
    assert await ground.breaches() == []
