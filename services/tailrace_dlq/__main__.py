"""The DLQ manager: notices dead letters, counts them, forgets old ones."""

import asyncio
from collections.abc import Iterator

from tailrace.bus.consume import Reader, consume
from tailrace.events.models import RowFailed
from tailrace.events.topics import TopicNames
from tailrace.runtime.lifecycle import main
from tailrace.runtime.rounds import Round, go_round
from tailrace.runtime.service import Chassis, Service
from tailrace.store.dead_letter_upkeep import DeadLetterUpkeep
from tailrace_dlq.handlers import Triage

_RECONCILE_EVERY_S = 3.0
_COUNT_EVERY_S = 10.0
_PRUNE_EVERY_S = 60.0


async def serve(chassis: Chassis) -> None:
    """Work until stopped; any number of managers may."""
    triage = Triage(DeadLetterUpkeep(chassis.database))
    reader = Reader(
        TopicNames(chassis.settings.topic_prefix),
        (RowFailed,),
        "dlq",
        chassis.settings.pod_name,
        lambda: chassis.health.beat("dlq.events"),
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(consume(chassis.bus, reader, triage.take_notice, stopping=chassis.stopping))
        for wanted in _rounds(triage):
            tasks.create_task(go_round(wanted, chassis.health, chassis.stopping))


def _rounds(triage: Triage) -> Iterator[Round]:
    yield Round("dlq.reconciling", _RECONCILE_EVERY_S, triage.reconcile)
    yield Round("dlq.counting", _COUNT_EVERY_S, triage.count)
    yield Round("dlq.pruning", _PRUNE_EVERY_S, triage.prune)


service = Service("dlq", serve)

if __name__ == "__main__":
    main(service)
