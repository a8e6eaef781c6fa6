"""Two releases side by side: the next one upgrades the store under load, and each takes runs that the other queued."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from tailrace.bus.kafka import KafkaBus
from tailrace.bus.kafka_access import KafkaAccess
from tailrace.core.ids import RunId
from tailrace.events.models import BatchCompleted, RunFinished, RunQueued
from tailrace.events.topics import TopicNames
from tests.architecture.source import ROOT
from tests.cli.commands import tailrace
from tests.faults.crowd import Crowd, open_crowd
from tests.faults.ground import CALM, Ground
from tests.faults.topics import carried_out, everything, use_kafka
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.trials import Count, Outcome
from tests.walks.processes import ServiceProcess

pytestmark = [pytest.mark.faults, pytest.mark.xdist_group("kafka"), pytest.mark.timeout(400)]

RUNS = 12
MIGRATIONS = {
    "9000_next.expand.sql": """
        ALTER TABLE runs ADD COLUMN next_note text NOT NULL DEFAULT '';
        ALTER TABLE run_shards ADD COLUMN next_note text;
        ALTER TABLE dead_letters ADD COLUMN next_note text;
        CREATE TABLE next_things (run_id text REFERENCES runs (id), note text);
    """,
    "9001_next_runs.expand.sql": "-- no-transaction\nCREATE INDEX CONCURRENTLY next_runs ON runs (next_note)",
}
"""What a release may bring that the one before it outlives."""
_EVENT = "    type: ClassVar[str]\n\n\nclass RunRequested"
_NEXT_EVENT = '    type: ClassVar[str]\n    since: str = "the next release"\n\n\nclass RunRequested'
_OWNERS = "SELECT array_agg(DISTINCT lease_owner ORDER BY lease_owner) FROM run_shards WHERE run_id = ANY ($1)"


@contextmanager
def _found_at(path: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", path)
        yield


@pytest_asyncio.fixture
async def on_kafka(ground: Ground, kafka_bootstrap: str, topic_prefix: str) -> Ground:
    """A ground whose services tell each other by Kafka."""
    await use_kafka(ground, kafka_bootstrap, topic_prefix)
    return ground


@pytest.fixture
def next_release(tmp_path: Path) -> Callable[[], AbstractContextManager[object]]:
    """A scope in which a release after ours is started: more columns, a table, an index, a field in every event."""
    for part in ("libs", "services"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name, sql in MIGRATIONS.items():
        (tmp_path / "libs/tailrace/store/migrations" / name).write_text(sql)
    models = tmp_path / "libs/tailrace/events/models.py"
    text = models.read_text()
    assert text.count(_EVENT) == 1
    models.write_text(text.replace(_EVENT, _NEXT_EVENT))
    path = os.pathsep.join((str(tmp_path / "libs"), str(tmp_path / "services")))
    return partial(_found_at, path)


async def start(ground: Ground) -> list[ServiceProcess]:
    """What carries runs out, and tells of them; neither executor has room for all of them."""
    services = [await ground.start(name, "", **CALM, executor_max_runs=4) for name in ("executor", "scheduler")]
    for service in services:
        await service.ready()
    return services


async def owners(crowd: Crowd, run_ids: Sequence[RunId]) -> list[str]:
    found: list[str] = await crowd.trial.ground.chassis.database.fetchval(_OWNERS, run_ids)
    return found


async def test_releases_side_by_side_carry_out_every_run_while_the_store_is_upgraded(
    postgres_server: PostgresServer,
    on_kafka: Ground,
    next_release: Callable[[], AbstractContextManager[object]],
    count: Count,
) -> None:
    ground = on_kafka
    async with open_crowd(postgres_server, ground, RUNS) as crowd:
        sink = crowd.trial.sink
        sink.delay_s = 1.0
        of_ours = await start(ground)
        under_upgrade = await crowd.start()
        await sink.holds(1)
        with next_release():
            store = {"TAILRACE_DATABASE_URL": ground.services_url}
            upgraded = await tailrace("db", "upgrade", "--json", environment=store)
            of_next = await start(ground)
        first = await carried_out(crowd, under_upgrade)
        side_by_side = await crowd.start()
        second = await carried_out(crowd, side_by_side)
        codes = [await service.stop() for service in of_ours]
        by_next = await crowd.start()
        third = await carried_out(crowd, by_next)
        codes += [await service.stop() for service in of_next]
        [executor, _] = await start(ground)
        rolled_back = await crowd.start()
        fourth = await carried_out(crowd, rolled_back)

        assert (upgraded.code, upgraded.json()["applied"]) == (0, list(MIGRATIONS)), upgraded.stderr
        assert (first, second, third, fourth, codes) == ([], [], [], [], [0, 0, 0, 0])
        assert await owners(crowd, side_by_side) == sorted(one.pod_name for one in (of_ours[0], of_next[0]))
        assert await owners(crowd, by_next) == [of_next[0].pod_name]
        assert await owners(crowd, rolled_back) == [executor.pod_name]
        assert await releases_heard(ground) == {True, False}
    count([Outcome("releases side by side")])
    assert await ground.breaches() == []


async def releases_heard(ground: Ground) -> set[bool]:
    """Whether events are from the next release, of all that were told."""
    bootstrap, names = str(ground.settings["kafka_bootstrap"]), TopicNames(str(ground.settings["topic_prefix"]))
    topics = [names.of(event.type) for event in (RunQueued, BatchCompleted, RunFinished)]
    async with (
        KafkaBus.open(KafkaAccess(bootstrap)) as bus,
        bus.subscribe(topics, group=names.group("test"), member="test-1") as subscription,
    ):
        return {b"the next release" in (one.value or b"") for one in await everything(subscription)}
