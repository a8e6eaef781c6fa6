"""The scheduler: fires schedules, takes in requests, looks after abandoned runs, relays the outbox."""

import asyncio
from collections.abc import Callable, Iterator
from random import SystemRandom

from tailrace.bus.consume import Reader, consume
from tailrace.bus.relay import Relay
from tailrace.events.models import RunRequested
from tailrace.events.topics import TopicNames
from tailrace.runtime.lifecycle import main
from tailrace.runtime.rounds import Round, exhausting, go_round
from tailrace.runtime.service import Chassis, Service
from tailrace.store import inbox
from tailrace.store.abandoned import AbandonedRuns
from tailrace.store.dead_letter_upkeep import DeadLetterUpkeep
from tailrace.store.outbox import Outbox
from tailrace.store.runs import Runs
from tailrace.store.schedules import Schedules
from tailrace.store.shards import Shards
from tailrace.store.shared_runs import SharedRuns
from tailrace.store.syncs import Syncs
from tailrace_scheduler.firing import Firing
from tailrace_scheduler.handlers import Admission
from tailrace_scheduler.reaping import Reaping

_FIRE_EVERY_S = 0.5
_REAP_EVERY_S = 10.0
_COUNT_EVERY_S = 10.0
_PRUNE_EVERY_S = 60.0
_EXECUTORS_HAVE_S = 30.0


async def serve(chassis: Chassis) -> None:
    """Work until stopped; any number of schedulers may, none is special."""
    names = TopicNames(chassis.settings.topic_prefix)
    relay = Relay(Outbox(chassis.database), chassis.bus, names, beat=_beat(chassis, "scheduler.relay"))
    reader = Reader(names, (RunRequested,), "scheduler", chassis.settings.pod_name, _beat(chassis, "scheduler.events"))
    admission = Admission(chassis.database, Syncs(chassis.database), Runs(chassis.database))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(relay.run(chassis.stopping))
        tasks.create_task(consume(chassis.bus, reader, admission.admit, stopping=chassis.stopping))
        for wanted in _rounds(chassis):
            tasks.create_task(go_round(wanted, chassis.health, chassis.stopping))


def _rounds(chassis: Chassis) -> Iterator[Round]:
    schedules = Schedules(chassis.database, Runs(chassis.database))
    firing = Firing(schedules, chassis.clock, SystemRandom())
    chassis.health.check("clocks", firing.check_clocks)
    reaping = Reaping(
        database=chassis.database,
        abandoned=AbandonedRuns(chassis.database),
        shards=Shards(chassis.database),
        shared_runs=SharedRuns(chassis.database),
        clock=chassis.clock,
        owner=chassis.settings.pod_name,
        dead_for_s=chassis.settings.takeover_grace_s + _EXECUTORS_HAVE_S,
    )
    yield Round("scheduler.firing", _FIRE_EVERY_S, firing.fire_due)
    yield Round("scheduler.closing", _REAP_EVERY_S, reaping.close_cancelled)
    yield Round("scheduler.counting", _COUNT_EVERY_S, reaping.count)
    yield Round("scheduler.telling", _PRUNE_EVERY_S, reaping.tell_again)
    yield Round(
        "scheduler.closing letters", _PRUNE_EVERY_S, exhausting(DeadLetterUpkeep(chassis.database).close_deleted)
    )
    yield Round("scheduler.pruning ticks", _PRUNE_EVERY_S, exhausting(schedules.prune))
    yield Round("scheduler.pruning inbox", _PRUNE_EVERY_S, exhausting(lambda: inbox.prune(chassis.database)))


def _beat(chassis: Chassis, name: str) -> Callable[[], None]:
    return lambda: chassis.health.beat(name)


service = Service("scheduler", serve)

if __name__ == "__main__":
    main(service)
