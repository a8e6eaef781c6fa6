"""The executor: claims runs and walks their rows."""

import asyncio
from functools import partial
from random import SystemRandom

from tailrace.bus.cloudevents import Incoming
from tailrace.bus.consume import Reader, consume
from tailrace.connector_kit.http import HttpClient
from tailrace.core.ids import RunId
from tailrace.events.models import RunQueued
from tailrace.events.topics import TopicNames
from tailrace.pipeline.breaker import BreakerTerms
from tailrace.pipeline.deliver import Patience
from tailrace.pipeline.spools import Spools, SpoolTerms
from tailrace.runtime.http import AiohttpClient, HttpLimits
from tailrace.runtime.lifecycle import main
from tailrace.runtime.service import Chassis, Service
from tailrace.runtime.settings import Settings
from tailrace.runtime.snapshot_tables import open_snapshots
from tailrace.store.checkpoints import Checkpoints
from tailrace.store.connections import Connections
from tailrace.store.dead_letters import DeadLetters
from tailrace.store.limits import SharedLimits
from tailrace.store.shards import Shards
from tailrace.store.shared_runs import SharedRuns
from tailrace.store.snapshots import Snapshots
from tailrace.store.syncs import Syncs
from tailrace_executor.bench import Bench
from tailrace_executor.handlers import Crew
from tailrace_executor.ledger import LeaseTerms
from tailrace_executor.pauses import Pauses
from tailrace_executor.turns import Turns

_BYTES_PER_MIB = 1 << 20


async def serve(chassis: Chassis) -> None:
    """Work on runs until stopped; then every run stops at its checkpoint and is handed back."""
    settings = chassis.settings
    # Requests are bounded for each destination; one that waited for a connection here would be taken for unanswered.
    limits = HttpLimits(total_s=settings.request_timeout_s, connections=0, connections_per_host=0)
    with Spools.open(_spool_terms(settings), chassis.clock) as spools:
        async with AiohttpClient.open(allow_private=settings.allow_private_destinations, limits=limits) as http:
            most_of_one = settings.executor_max_runs_of_workspace or settings.executor_max_runs
            turns = Turns(chassis.clock, settings.executor_max_runs, most_of_one)
            crew = Crew(_bench(chassis, http, spools), turns, settings.poll_s)
            await _work(chassis, crew)


async def _work(chassis: Chassis, crew: Crew) -> None:
    async with asyncio.TaskGroup() as tasks:
        cancels = tasks.create_task(crew.heed_cancels())
        events = tasks.create_task(_read_events(chassis, crew))
        claims = tasks.create_task(crew.claim_runs(chassis.stopping, tasks))
        await chassis.stopping.wait()
        crew.let_go()
        await asyncio.wait({claims})
        crew.let_go()  # of what was claimed meanwhile, too
        await asyncio.wait({events})
        await crew.idle()
        cancels.cancel()


async def _read_events(chassis: Chassis, crew: Crew) -> None:
    async def look_for_work(_: Incoming) -> None:
        crew.wake.set()

    reader = Reader(
        TopicNames(chassis.settings.topic_prefix),
        (RunQueued,),
        "executor",
        chassis.settings.pod_name,
        lambda: chassis.health.beat("events"),
    )
    await consume(chassis.bus, reader, look_for_work, stopping=chassis.stopping)


def _spool_terms(settings: Settings) -> SpoolTerms:
    return SpoolTerms(
        after_s=settings.spool_after_s,
        run_bytes=settings.spool_run_mib * _BYTES_PER_MIB,
        total_bytes=settings.spool_total_mib * _BYTES_PER_MIB,
        directory=settings.spool_directory,
    )


def _bench(chassis: Chassis, http: HttpClient, spools: Spools) -> Bench:
    settings, database = chassis.settings, chassis.database
    connections = Connections(database, chassis.box)
    sharing: set[RunId] = set()
    return Bench(
        owner=settings.pod_name,
        terms=LeaseTerms(
            ttl_s=settings.lease_ttl_s,
            margin_s=settings.lease_margin_s,
            grace_s=settings.takeover_grace_s,
            heartbeat_s=settings.heartbeat_s,
        ),
        window_rows=settings.window_rows,
        checkpoint_s=settings.checkpoint_s,
        patience=Patience(request_s=settings.request_timeout_s),
        breaker_terms=BreakerTerms(probe_for_s=settings.outage_probe_s, hold_s=settings.throttle_hold_s),
        pauses=Pauses(first_s=settings.outage_pause_s, limit_s=settings.outage_limit_s),
        shards=Shards(database, sharing=sharing),
        shared_runs=SharedRuns(database),
        rows_per_shard=settings.rows_per_shard,
        sharing=sharing,
        checkpoints=Checkpoints(database, chassis.box),
        snapshots=Snapshots(database),
        open_snapshots=partial(open_snapshots, database, connections),
        connections=connections,
        syncs=Syncs(database),
        dead_letters=DeadLetters(database, chassis.box),
        limits=SharedLimits(database),
        http=http,
        clock=chassis.clock,
        random=SystemRandom(),
        spools=spools if spools.terms.are_on else None,
    )


service = Service("executor", serve)

if __name__ == "__main__":
    main(service)
