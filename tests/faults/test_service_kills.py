"""Gateways, schedulers and DLQ managers are killed where it would hurt: each thing is done, and done once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import ClientConnectionError

from tailrace.core.syncs import IntervalSchedule
from tailrace.events.models import RunQueued
from tailrace.testing.eventually import eventually
from tests.faults.clients import caller_of, gauge_of, open_session, token_of
from tests.faults.crowd import Crowd, open_crowd
from tests.faults.ground import CALM, PATIENCE_S, Ground
from tests.faults.history import told_of
from tests.faults.kills import died
from tests.faults.topics import heard_of, use_kafka
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.trials import Count, Outcome
from tests.gateway.caller import Answered, Caller
from tests.walks.processes import ServiceProcess

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]


@dataclass(frozen=True, slots=True)
class Asking:
    """A way to start a run, and what to look for in its answer."""

    path: str
    body: Mapping[str, Any]
    headers: Mapping[str, str]

    async def of(self, caller: Caller, sync_id: str) -> Answered:
        body = {name: value.format(sync_id) if isinstance(value, str) else value for name, value in self.body.items()}
        return await caller.post(self.path.format(sync_id), body, headers=self.headers)

    def run_id(self, answered: Answered) -> str:
        assert answered.status == 200, answered.raw
        return str(answered.json["syncId"] if "connections" in self.path else answered.json["data"]["id"])


CONNECTION = "/v2/retl-connections/{}/start"
SYNC = "/api/reverse-etl/sync/run"
ASKINGS = (
    Asking(CONNECTION, {}, {"Idempotency-Key": "one"}),
    Asking(CONNECTION, {"syncType": "full"}, {}),
    Asking(SYNC, {"syncId": "{}"}, {"Idempotency-Key": "two"}),
    Asking(SYNC, {"syncId": "{}", "fullRefresh": True}, {"Idempotency-Key": "three"}),
)


@pytest.mark.parametrize(
    ("place", "runs_before"), [("api.after_run_insert_before_commit", 0), ("api.after_commit_before_response", 1)]
)
async def test_start_that_a_killed_gateway_left_open_is_repeated_as_the_same_run(
    postgres_server: PostgresServer, ground: Ground, place: str, runs_before: int, count: Count
) -> None:
    async with open_crowd(postgres_server, ground, len(ASKINGS)) as crowd, open_session() as session:
        token = await token_of(ground, crowd.trial.yard.sync.workspace_id)
        victims = [await ground.start("gateway", f"{place}:1:kill") for _ in ASKINGS]
        survivor = await caller_of(await ground.start("gateway"), session, token)

        async def ask_twice(victim: ServiceProcess, asking: Asking, sync_id: str) -> tuple[list[str], str, str]:
            with pytest.raises(ClientConnectionError):
                await asking.of(await caller_of(victim, session, token), sync_id)
            await died(victim)
            before = await runs_of(ground, sync_id)
            first, second = await asking.of(survivor, sync_id), await asking.of(survivor, sync_id)
            return before, asking.run_id(first), asking.run_id(second)

        seen = await asyncio.gather(*map(ask_twice, victims, ASKINGS, crowd.ids))

        assert [len(before) for before, _, _ in seen] == [runs_before] * len(ASKINGS)
        assert [await runs_of(ground, sync_id) for sync_id in crowd.ids] == [[first] for _, first, _ in seen]
        assert [second for _, _, second in seen] == [first for _, first, _ in seen]
        assert [first for before, first, _ in seen if before] == [run for before, _, _ in seen for run in before]
        assert sorted((await told_of(ground.chassis.database, RunQueued)).values()) == sorted(crowd.ids)
    count(Outcome("gateway killed") for _ in ASKINGS)
    assert await ground.breaches() == []


async def runs_of(ground: Ground, sync_id: str) -> list[str]:
    rows = await ground.chassis.database.fetch("SELECT id FROM runs WHERE sync_id = $1", sync_id)
    return [row["id"] for row in rows]


SCHEDULERS = 4
DUE_SYNCS = 250
"""More than so many schedulers take in hand at once, so that each of them finds some."""


@pytest.mark.parametrize("place", ["sched.after_tick_insert", "sched.after_run_insert", "sched.after_commit"])
async def test_ticks_that_killed_schedulers_had_in_hand_are_fired_once(
    postgres_server: PostgresServer, ground: Ground, place: str, count: Count
) -> None:
    database, hourly = ground.chassis.database, IntervalSchedule(type="interval", every_minutes=60)
    async with open_crowd(postgres_server, ground, DUE_SYNCS, schedule=hourly) as crowd:
        victims = [await ground.start("scheduler", f"{place}:1:kill") for _ in range(SCHEDULERS)]
        await asyncio.gather(*(victim.ready() for victim in victims))

        await database.execute(
            "UPDATE syncs SET next_run_at = clock_timestamp() + interval '100 ms' WHERE id = ANY ($1)", crowd.ids
        )
        await asyncio.gather(*map(died, victims))
        left = await database.fetchval("SELECT count(*) FROM syncs WHERE next_run_at <= clock_timestamp()")
        survivor = await ground.start("scheduler")
        await survivor.ready()

        async def still_due() -> int:
            due: int = await database.fetchval("SELECT count(*) FROM syncs WHERE next_run_at <= clock_timestamp()")
            return due

        await eventually(still_due, 0, within_s=PATIENCE_S)

        ticks = await database.fetch("SELECT sync_id, run_id, outcome FROM schedule_ticks")
        runs = await database.fetch("SELECT id, sync_id FROM runs")
        assert left > 0
        assert Counter(tick["sync_id"] for tick in ticks) == dict.fromkeys(crowd.ids, 1)
        assert {(tick["sync_id"], tick["run_id"]) for tick in ticks} == {(run["sync_id"], run["id"]) for run in runs}
        assert {tick["outcome"] for tick in ticks} == {"started"}
        assert sorted((await told_of(database, RunQueued)).values()) == sorted(crowd.ids)
    count(Outcome("scheduler killed") for _ in victims)
    assert await ground.breaches() == []


RELAYS = 8
SYNCS = 40
"""So many that their events wait in all shards of the outbox: each relay to be killed finds one of its own."""


@pytest_asyncio.fixture
async def crowd_on_kafka(
    postgres_server: PostgresServer, ground: Ground, kafka_bootstrap: str, topic_prefix: str
) -> AsyncIterator[Crowd]:
    """Syncs whose installation has topics of its own on the shared Kafka."""
    await use_kafka(ground, kafka_bootstrap, topic_prefix)
    async with open_crowd(postgres_server, ground, SYNCS) as crowd:
        yield crowd


@pytest.mark.xdist_group("kafka")
async def test_events_of_killed_relays_come_again_and_runs_are_carried_out_once(
    crowd_on_kafka: Crowd, ground: Ground, kafka_bootstrap: str, topic_prefix: str, count: Count
) -> None:
    crowd, database = crowd_on_kafka, ground.chassis.database
    run_ids = await crowd.start()
    victims = [await ground.start("scheduler", "relay.after_send_before_delete:1:kill") for _ in range(RELAYS)]
    await asyncio.gather(*map(died, victims))

    await ground.executor("", **CALM, poll_s=300)
    await ground.start("scheduler")
    await asyncio.gather(*(ground.ended(run_id) for run_id in run_ids))

    async def waiting() -> int:
        pending: int = await database.fetchval("SELECT count(*) FROM outbox")
        return pending

    await eventually(waiting, 0, within_s=PATIENCE_S)
    queued = await told_of(database, RunQueued)
    heard = await heard_of(RunQueued, kafka_bootstrap, topic_prefix, at_least=len(queued))

    assert set(heard) == set(queued)
    assert max(heard.values()) == 2
    assert await database.fetchval("SELECT max(lease_epoch) FROM run_shards") == 1
    assert await database.fetchval("SELECT count(*) FROM runs WHERE status = 'succeeded'") == len(run_ids)
    count(Outcome("relay killed") for _ in victims)
    assert await ground.breaches() == []


MANAGERS = 4


@pytest.mark.xdist_group("kafka")
async def test_letters_of_killed_managers_are_counted_and_told_of_once(
    crowd_on_kafka: Crowd, ground: Ground, count: Count
) -> None:
    crowd, database = crowd_on_kafka, ground.chassis.database
    crowd.trial.sink.refused_each = 5
    await ground.start("scheduler")
    await ground.executor()
    run_ids = await crowd.start()
    await asyncio.gather(*(ground.ended(run_id) for run_id in run_ids))
    letters: int = await database.fetchval("SELECT count(*) FROM dead_letters")

    for place in ["dlq.after_consume_before_upsert", "dlq.after_upsert_before_commit_offset"] * MANAGERS:
        # As a StatefulSet does: the same name comes back.
        await died(await ground.start("dlq", f"{place}:1:kill", pod_name="dlq-0"))
    survivor = await ground.start("dlq", pod_name="dlq-0")
    await survivor.ready()

    async def unnoticed() -> int:
        left: int = await database.fetchval("SELECT count(*) FROM dead_letters WHERE noticed_at IS NULL")
        return left

    await eventually(unnoticed, 0, within_s=PATIENCE_S)
    await eventually(lambda: gauge_of(survivor, "tailrace_dlq_open"), letters, within_s=PATIENCE_S)

    told_of_letters = [line["count"] for manager in ground.services for line in manager.all("letters.noticed")]
    assert letters == len(run_ids) * 4
    assert sum(told_of_letters) <= letters
    count(Outcome("DLQ manager killed") for _ in range(2 * MANAGERS))
    assert await ground.breaches() == []
