"""What is done in a soak, each time to runs in several modes at once."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from tailrace.core.ids import RunId
from tests.faults.ground import TTL_S
from tests.faults.kills import KillAt, kill_at
from tests.faults.mix import mixed
from tests.faults.plan import MODES, draw
from tests.faults.test_kills import PLACES
from tests.faults.trial import Trial
from tests.fixtures.trials import Outcome
from tests.soak.site import Site

Seen = tuple[list[str], list[Outcome]]
"""What does not hold after a fault, and what was seen."""
Fault = Callable[[Site, Random], Awaitable[Seen]]
"""Does something to the runs of some trials."""

_REPEATABLE = range(4, 100)
_ASLEEP_S = TTL_S + 4.0
_LATEST_REQUEST = 60
_OUTAGE_REQUESTS = 3
_SEED_BITS = 32


async def kill(site: Site, chance: Random) -> Seen:
    """SIGKILL at a place of the code, come to more or less often."""
    async with site.trials(MODES) as trials:
        return await kill_at(trials[0].ground, trials, _moved(chance.choice(PLACES), chance))


async def freeze(site: Site, chance: Random) -> Seen:
    """SIGSTOP for longer than a lease, then SIGCONT."""
    async with site.trials(MODES) as trials:
        sleeper = await trials[0].ground.executor()
        await sleeper.ready()
        run_ids = [await trial.yard.start() for trial in trials]
        await asyncio.gather(*(trials[0].ground.owner(run_id) for run_id in run_ids))
        await asyncio.sleep(chance.uniform(0.0, 0.5))
        sleeper.child.send_signal(signal.SIGSTOP)
        await trials[0].ground.executor()
        await asyncio.sleep(_ASLEEP_S)
        sleeper.child.send_signal(signal.SIGCONT)
        return await _all_ended(trials, run_ids, "executor frozen")


async def stop(site: Site, chance: Random) -> Seen:
    """SIGTERM, while another is there to go on."""
    async with site.trials(MODES) as trials:
        leaving = await trials[0].ground.executor()
        await leaving.ready()
        run_ids = [await trial.yard.start() for trial in trials]
        await asyncio.gather(*(trials[0].ground.owner(run_id) for run_id in run_ids))
        await trials[0].ground.executor()
        await asyncio.sleep(chance.uniform(0.0, 0.5))
        await leaving.stop()
        return await _all_ended(trials, run_ids, "executor stopped")


async def fail(site: Site, chance: Random) -> Seen:
    """The destination is out of order for a few requests, and slow."""
    async with site.trials(MODES) as trials:
        for trial in trials:
            first = chance.randint(1, _LATEST_REQUEST)
            trial.sink.unavailable = range(first, first + _OUTAGE_REQUESTS)
            trial.sink.delay_s = chance.uniform(0.0, 0.02)
        await trials[0].ground.executor()
        run_ids = [await trial.yard.start() for trial in trials]
        return await _all_ended(trials, run_ids, "destination out of order")


async def mix(site: Site, chance: Random) -> Seen:
    """A plan of faults of every kind, on services and a PostgreSQL of its own."""
    plan = draw(chance.getrandbits(_SEED_BITS))
    with TemporaryDirectory(dir=site.folder) as logs:
        breaches, outcomes = await mixed(plan, site.server, Path(logs))
    return [f"{breach}, in the mix of {plan}" for breach in breaches], outcomes


FAULTS: tuple[tuple[Fault, int], ...] = ((kill, 6), (freeze, 1), (stop, 1), (fail, 2), (mix, 2))
"""What is done, and how often compared with the others."""


def _moved(place: KillAt, chance: Random) -> KillAt:
    """A place that a run comes to again and again, earlier or later."""
    return replace(place, nth=chance.randint(1, place.nth * 3 // 2)) if place.nth in _REPEATABLE else place


async def _all_ended(trials: Sequence[Trial], run_ids: Sequence[RunId], kind: str) -> Seen:
    found: list[str] = []
    outcomes: list[Outcome] = []
    for trial, run_id in zip(trials, run_ids, strict=True):
        run = await trial.ended(run_id)
        facts = await trial.facts(run)
        found += await trial.breaches_after(run)
        outcomes.append(Outcome(kind, 0.0, facts.repeated, facts.repeats_allowed))
    return [*found, *await trials[0].ground.breaches()], outcomes
