"""Many want the same sync to run, or its run to end, at the same moment: it is one run, and it ends once."""

import asyncio
from collections import Counter

import pytest

from tailrace.core.ids import DeadLetterId
from tailrace.core.runs import RunStatus, RunTrigger
from tailrace.core.syncs import IntervalSchedule, SyncMode
from tests.faults.clients import caller_of, open_session, token_of
from tests.faults.ground import PATIENCE_S, WINDOW_ROWS, Ground
from tests.faults.trial import Trial, open_trial
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.trials import Count, Outcome

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

STARTS = 500
CANCELS = 50
ROUNDS = 6
SYNC = "/api/reverse-etl/sync/run"
_DUE = "UPDATE syncs SET schedule = $2, next_run_at = clock_timestamp() WHERE id = $1"
_RUNS = "SELECT id, trigger FROM runs WHERE sync_id = $1"
_OUTCOME = "SELECT outcome, run_id FROM schedule_ticks WHERE sync_id = $1"


async def test_five_hundred_starts_at_once_are_one_run_and_its_id_for_the_others(trial: Trial, count: Count) -> None:
    gateway = await trial.ground.start("gateway", database_acquire_s=45, database_pool_size=8, lease_ttl_s=120)
    token = await token_of(trial.ground, trial.yard.sync.workspace_id)
    async with open_session() as clients:
        caller = await caller_of(gateway, clients, token)
        # Keys of their own: these are no repeats of one start.
        answers = await asyncio.gather(
            *(
                caller.post(SYNC, {"syncId": trial.yard.sync.id}, headers={"Idempotency-Key": f"start-{number}"})
                for number in range(STARTS)
            )
        )

    assert Counter(answer.status for answer in answers) == {200: 1, 409: STARTS - 1}, answers[0].raw
    [won] = [answer for answer in answers if answer.status == 200]
    lost = [answer for answer in answers if answer.status == 409]
    [run] = await trial.ground.chassis.database.fetch(_RUNS, trial.yard.sync.id)
    assert won.json["data"]["id"] == run["id"]
    assert {answer.json["existing_id"] for answer in lost} == {run["id"]}
    count([Outcome("500 starts at once")])
    assert await trial.ground.breaches() == []


async def test_fifty_cancels_at_once_are_one_end_and_the_next_run_goes_on(trial: Trial, count: Count) -> None:
    trial.sink.delay_s = 0.2
    await trial.ground.executor()
    gateway = await trial.ground.start("gateway")
    async with open_session() as clients:
        caller = await caller_of(gateway, clients, await token_of(trial.ground, trial.yard.sync.workspace_id))
        run_id = await trial.yard.start()
        await trial.sink.holds(WINDOW_ROWS)
        path = f"/api/runs/{run_id}/cancel"
        answers = await asyncio.gather(*(caller.post(path) for _ in range(CANCELS)))
        cancelled = await trial.ended(run_id)
        again = await caller.post(path)
    trial.sink.delay_s = 0.0
    following = await trial.run()

    assert {answer.status for answer in (*answers, again)} == {200}
    assert (cancelled.status, again.attributes["status"]) == (RunStatus.CANCELLED, "cancelled")
    assert await trial.breaches_after(following, earlier=[cancelled]) == []
    count([Outcome("50 cancels at once")])
    assert await trial.ground.breaches() == []


async def test_start_tick_and_replay_at_once_are_one_run_and_nothing_is_lost_of_the_others(
    postgres_server: PostgresServer, ground: Ground, count: Count
) -> None:
    database, hourly = ground.chassis.database, IntervalSchedule(type="interval", every_minutes=60)
    gateway = await ground.start("gateway")
    await ground.start("scheduler")
    await ground.executor()
    async with open_trial(postgres_server, ground, SyncMode.UPSERT) as trial, open_session() as clients:
        caller = await caller_of(gateway, clients, await token_of(ground, trial.yard.sync.workspace_id))
        sync_id = trial.yard.sync.id
        first = await trial.run()
        letters = [DeadLetterId(row["id"]) for row in await database.fetch("SELECT id FROM dead_letters")]
        trial.sink.refused_each = 10**9
        trial.sink.delay_s = 0.05
        statuses: list[set[int]] = []
        for number in range(ROUNDS):
            replay = {"entryIds": letters[number : number + 1], "resolution": "fixed_upstream", "replay": True}
            answers = await asyncio.gather(
                caller.post(SYNC, {"syncId": sync_id, "fullRefresh": True}),
                database.execute(_DUE, sync_id, hourly.model_dump()),
                caller.post("/api/reverse-etl/dlq/resolve", replay),
            )
            statuses.append({answer.status for answer in (answers[0], answers[2])})
            await settled(trial)

        runs = {row["id"]: row["trigger"] for row in await database.fetch(_RUNS, sync_id)}
        ticks = await database.fetch(_OUTCOME, sync_id)
        assert all(seen <= {200, 409} for seen in statuses)
        assert {tick["run_id"] for tick in ticks if tick["outcome"] == "started"} == {
            run_id for run_id, trigger in runs.items() if trigger == RunTrigger.SCHEDULE
        }
        assert await database.fetchval("SELECT count(*) FROM dead_letters WHERE state = 'replaying'") == 0
        assert first.id in runs
    count(Outcome("start, tick and replay at once") for _ in range(ROUNDS))
    assert await ground.breaches() == []


async def settled(trial: Trial) -> None:
    """Return once no run is active and no tick is due."""
    busy = """
    SELECT (SELECT count(*) FROM runs WHERE status IN ('queued', 'running', 'cancelling'))
      + (SELECT count(*) FROM syncs WHERE next_run_at <= clock_timestamp())
    """
    async with asyncio.timeout(PATIENCE_S):
        while await trial.ground.chassis.database.fetchval(busy):  # noqa: ASYNC110 - other processes work
            await asyncio.sleep(0.05)
