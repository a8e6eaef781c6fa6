"""Executors are killed at a place, each in a run of another mode, and one executor takes all those runs over."""

import asyncio
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.faults.ground import PATIENCE_S, Ground
from tests.faults.oracle import over_limit
from tests.faults.trial import RESUMED_WITHIN_S, ROWS, Trial
from tests.fixtures.trials import Outcome
from tests.walks.processes import ServiceProcess

BURST_S = 1.25
"""A quarter of a second's worth of requests may come at once, and each of them a second late."""


@dataclass(frozen=True, slots=True)
class KillAt:
    """Where and when an executor dies, and what the trial needs to get there."""

    name: str
    nth: int = 1
    takeovers: int = 1
    unavailable: range = range(0)
    requests_per_s: float | None = None
    max_in_flight: int | None = None
    by_sigterm: bool = False

    @property
    def failpoint(self) -> str:
        """As it is set."""
        return f"{self.name}:{self.nth}:kill"

    def __str__(self) -> str:
        return f"{self.name}:{self.nth}"


async def kill_at(ground: Ground, trials: Sequence[Trial], place: KillAt) -> tuple[list[str], list[Outcome]]:
    """Kill an executor there in each of the trials; gives what does not hold then, and what was seen."""
    # As many as there are runs, each with room for one.
    victims = [await ground.executor(place.failpoint, executor_max_runs=1) for _ in trials]
    await asyncio.gather(*(victim.ready() for victim in victims))
    is_owned = asyncio.Barrier(len(trials) + 1)
    async with asyncio.TaskGroup() as tasks:
        going = [tasks.create_task(_go(trial, place, is_owned)) for trial in trials]
        await is_owned.wait()
        await ground.executor()
    found = [breach for task in going for breach in task.result()[0]]
    return [*found, *await ground.breaches()], [task.result()[1] for task in going]


async def died(service: ServiceProcess) -> None:
    """Return once its failpoint has killed it."""
    async with asyncio.timeout(PATIENCE_S):
        code = await service.child.wait()
    assert code == -signal.SIGKILL, service.log.read_text()


async def _go(trial: Trial, place: KillAt, is_owned: asyncio.Barrier) -> tuple[list[str], Outcome]:
    trial.sink.unavailable = place.unavailable
    trial.sink.delay_s = 0.3 if place.by_sigterm else 0.0
    await trial.limit(place.requests_per_s, place.max_in_flight)
    run_id = await trial.yard.start()
    victim = await trial.ground.owner(run_id)
    await is_owned.wait()
    if place.by_sigterm:
        await trial.sink.holds(ROWS // 5)
        victim.child.send_signal(signal.SIGTERM)
    await died(victim)
    died_at, page = time.monotonic(), trial.sink.page
    await trial.ground.bury(str(trial.yard.sync.definition.destination_id))
    trial.sink.delay_s = 0.0
    run = await trial.ended(run_id)
    await trial.limit()
    resumed_s = trial.sink.ledger[page].at - died_at if trial.sink.page > page else 0.0
    facts = await trial.facts(run)
    asked, most_at_once = list(trial.sink.asked), trial.sink.most_at_once
    found = await trial.breaches_after(run)
    if place.requests_per_s is not None:
        found += over_limit(asked, requests_per_s=place.requests_per_s, burst=BURST_S * place.requests_per_s)
    if most_at_once > (place.max_in_flight or most_at_once):
        found.append(f"{trial.mode}: limits: {most_at_once} requests at once")
    if facts.takeovers < place.takeovers:
        found.append(f"{trial.mode}: {facts.takeovers} takeovers, less than {place.takeovers}")
    if resumed_s > RESUMED_WITHIN_S:
        found.append(f"{trial.mode}: resumed after {resumed_s:.1f} s")
    return found, Outcome("executor killed", resumed_s, facts.repeated, facts.repeats_allowed)
