"""What is done to executors in a soak, each time to runs in all modes at once."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from random import Random

from tailrace.core.ids import RunId
from tests.faults.ground import TTL_S, Ground
from tests.faults.kills import KillAt, kill_at
from tests.faults.test_kills import PLACES
from tests.faults.trial import Trial
from tests.fixtures.trials import Outcome

Fault = Callable[[Ground, list[Trial], Random], Awaitable[tuple[list[str], list[Outcome]]]]
"""Does something to the runs of the trials; gives what does not hold then, and what was seen."""

_REPEATABLE = range(4, 100)
_ASLEEP_S = TTL_S + 4.0
_LATEST_REQUEST = 60
_OUTAGE_REQUESTS = 3


async def kill(ground: Ground, trials: list[Trial], chance: Random) -> tuple[list[str], list[Outcome]]:
    """SIGKILL at a place of the code, come to more or less often."""
    return await kill_at(ground, trials, _moved(chance.choice(PLACES), chance))


async def freeze(ground: Ground, trials: list[Trial], chance: Random) -> tuple[list[str], list[Outcome]]:
    """SIGSTOP for longer than a lease, then SIGCONT."""
    sleeper = await ground.executor()
    await sleeper.ready()
    run_ids = [await trial.yard.start() for trial in trials]
    await asyncio.gather(*(ground.owner(run_id) for run_id in run_ids))
    await asyncio.sleep(chance.uniform(0.0, 0.5))
    sleeper.child.send_signal(signal.SIGSTOP)
    await ground.executor()
    await asyncio.sleep(_ASLEEP_S)
    sleeper.child.send_signal(signal.SIGCONT)
    return await _all_ended(trials, run_ids, "executor frozen")


async def stop(ground: Ground, trials: list[Trial], chance: Random) -> tuple[list[str], list[Outcome]]:
    """SIGTERM, while another is there to go on."""
    leaving = await ground.executor()
    await leaving.ready()
    run_ids = [await trial.yard.start() for trial in trials]
    await asyncio.gather(*(ground.owner(run_id) for run_id in run_ids))
    await ground.executor()
    await asyncio.sleep(chance.uniform(0.0, 0.5))
    await leaving.stop()
    return await _all_ended(trials, run_ids, "executor stopped")


async def fail(ground: Ground, trials: list[Trial], chance: Random) -> tuple[list[str], list[Outcome]]:
    """The destination is out of order for a few requests, and slow."""
    for trial in trials:
        first = chance.randint(1, _LATEST_REQUEST)
        trial.sink.unavailable = range(first, first + _OUTAGE_REQUESTS)
        trial.sink.delay_s = chance.uniform(0.0, 0.02)
    await ground.executor()
    run_ids = [await trial.yard.start() for trial in trials]
    return await _all_ended(trials, run_ids, "destination out of order")


FAULTS: tuple[tuple[Fault, int], ...] = ((kill, 6), (freeze, 1), (stop, 1), (fail, 2))
"""What is done, and how often compared with the others."""


def _moved(place: KillAt, chance: Random) -> KillAt:
    """A place that a run comes to again and again, earlier or later."""
    return replace(place, nth=chance.randint(1, place.nth * 3 // 2)) if place.nth in _REPEATABLE else place


async def _all_ended(trials: Sequence[Trial], run_ids: Sequence[RunId], kind: str) -> tuple[list[str], list[Outcome]]:
    found: list[str] = []
    outcomes: list[Outcome] = []
    for trial, run_id in zip(trials, run_ids, strict=True):
        run = await trial.ended(run_id)
        facts = await trial.facts(run)
        found += await trial.breaches_after(run)
        outcomes.append(Outcome(kind, 0.0, facts.repeated, facts.repeats_allowed))
    return [*found, *await trials[0].ground.breaches()], outcomes
