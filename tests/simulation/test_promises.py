"""How soon a cancel is heeded and a run goes on, in virtual time and with the product's own settings."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tailrace.core.errors import DestinationUnavailable, Throttled
from tailrace.core.rows import Operation
from tailrace.core.runs import RunStatus
from tailrace.core.syncs import SyncMode
from tests.fixtures.trials import Count, Outcome
from tests.simulation.trial import CRM, PEOPLE, REQUEST_S, Trial, is_well, play
from tests.simulation.weather import Weather

pytestmark = pytest.mark.timeout(400)

SILENT_WITHIN_S = 2.5
ENDED_WITHIN_S = 10.0
RESUMED_WITHIN_S = 45.0
HANDED_OVER_WITHIN_S = 5.0

_PEOPLE = 100
_INSTANTS = 20
_STEP_S = 0.12


@dataclass(frozen=True, slots=True)
class Phase:
    """Something that a run is at: how it comes to it, and how to see that it has."""

    name: str
    is_reached: Callable[[Trial], bool]
    prepare: Callable[[Trial], None] = lambda _: None
    mode: SyncMode = SyncMode.UPSERT
    request_s: float = 0.0

    def __str__(self) -> str:
        return self.name


def _out_of_order(trial: Trial) -> None:
    trial.world.refusal = lambda: DestinationUnavailable("HTTP 503")


def _silence(for_s: float) -> Callable[[Trial], None]:
    def prepare(trial: Trial) -> None:
        trial.world.refusal = lambda: Throttled("HTTP 429", retry_after_s=for_s)

    return prepare


def _slow_source(trial: Trial) -> None:
    trial.world.block_s = 300.0


def _slow_store(trial: Trial) -> None:
    trial.world.weather = Weather(store_slow=1.0)


def _no_answers(trial: Trial) -> None:
    trial.world.weather = Weather(hangs=1.0)


def _few_tokens(trial: Trial) -> None:
    trial.world.bounds[CRM] = (0.01, None)


def _sent(times: int) -> Callable[[Trial], bool]:
    return lambda trial: len(trial.requests) >= times


PHASES = (
    Phase("queued", lambda _: True),
    Phase("claimed", lambda trial: trial.shard.epoch == 1),
    Phase("reading", lambda trial: trial.now_s > 20.0, _slow_source),
    Phase("sending", _sent(3)),
    Phase("waiting for answers", _sent(1), _no_answers, request_s=REQUEST_S),
    Phase("backing off", _sent(4), _out_of_order),
    Phase("throttled", _sent(1), _silence(100.0)),
    Phase("put off for an hour", lambda trial: trial.shard.pauses > 0, _silence(3600.0)),
    Phase("put off by an outage", lambda trial: trial.shard.pauses > 2, _out_of_order),
    Phase("waiting for its turn", lambda trial: trial.now_s > 15.0, _few_tokens),
    Phase("writing checkpoints", lambda trial: trial.shard.checkpoint_seq > 0, _slow_store),
    Phase(
        "deleting",
        lambda trial: any(request.operation == Operation.DELETE for request in trial.requests),
        mode=SyncMode.MIRROR,
    ),
)


def cancelled_at(phase: Phase, *, later_s: float = 0.0) -> tuple[Trial, float, float]:
    """A run that is cancelled there; gives when its last request left and when it had ended, counted from then."""
    asked: list[float] = []

    async def scene(trial: Trial) -> None:
        if phase.mode is SyncMode.MIRROR:
            trial.start()
            await trial.ended()
            trial.world.sources[PEOPLE].clear()
        phase.prepare(trial)
        trial.start()
        await trial.until(lambda: phase.is_reached(trial), within_s=600.0)
        await asyncio.sleep(later_s)
        asked.append(trial.now_s)
        trial.cancel()
        await trial.ended(within_s=600.0)
        asked.append(trial.now_s)

    trial = play(scene, mode=phase.mode, people=_PEOPLE)
    since, ended = asked
    return trial, max([0.0, *(request.at - since for request in trial.requests)]), ended - since


def resumed_after(lose: Callable[[Trial], None], instant: int) -> tuple[Trial, float]:
    """A run whose owner is lost; gives when the first request of the next one left, counted from then."""
    lost: list[float] = []

    async def scene(trial: Trial) -> None:
        trial.start()
        await trial.until(lambda: _claimed(trial))
        await asyncio.sleep(instant * _STEP_S)
        lost.append(trial.now_s)
        lose(trial)
        await trial.ended(within_s=600.0)

    trial = play(scene, people=_PEOPLE, seed=instant)
    return trial, min(request.at for request in trial.requests if request.epoch == 2) - lost[0]


def _claimed(trial: Trial) -> bool:
    return trial.shard.epoch == 1


def _kill(trial: Trial) -> None:
    trial.world.kill(trial.owner.process)


def _tell_to_stop(trial: Trial) -> None:
    trial.owner.is_closed = True
    trial.owner.stopping.set()


@pytest.mark.parametrize("phase", PHASES, ids=str)
def test_cancel_is_heeded_in_time_wherever_the_run_stands(phase: Phase, count: Count) -> None:
    trial, silent_s, ended_s = cancelled_at(phase)

    assert (trial.run.status, trial.run.books.balance) == (RunStatus.CANCELLED, True)
    assert silent_s <= SILENT_WITHIN_S
    assert ended_s <= ENDED_WITHIN_S + phase.request_s
    count([Outcome(f"cancelled when {phase}, by the product's settings", silent_s=silent_s, ended_s=ended_s)])


def test_cancel_is_heeded_in_time_at_every_instant_of_a_run(count: Count) -> None:
    at_once = Phase("on its way", _claimed)

    found = [cancelled_at(at_once, later_s=instant * _STEP_S) for instant in range(_INSTANTS)]

    silent_s, ended_s = max(silent_s for _, silent_s, _ in found), max(ended_s for _, _, ended_s in found)
    assert {trial.run.status for trial, _, _ in found} == {RunStatus.CANCELLED}
    assert silent_s <= SILENT_WITHIN_S
    assert ended_s <= ENDED_WITHIN_S
    count([Outcome("cancelled at any instant, by the product's settings", silent_s=silent_s, ended_s=ended_s)])


def test_run_of_a_killed_executor_goes_on_within_the_time_promised(count: Count) -> None:
    found = [resumed_after(_kill, instant) for instant in range(_INSTANTS)]

    resumed_s = max(resumed_s for _, resumed_s in found)
    assert all(is_well(trial.run) for trial, _ in found)
    assert resumed_s <= RESUMED_WITHIN_S
    count([Outcome("killed, by the product's settings", resumed_s)])


def test_run_of_an_executor_that_is_told_to_stop_goes_on_within_the_time_promised(count: Count) -> None:
    found = [resumed_after(_tell_to_stop, instant) for instant in range(_INSTANTS)]

    resumed_s = max(resumed_s for _, resumed_s in found)
    assert all(is_well(trial.run) for trial, _ in found)
    assert resumed_s <= HANDED_OVER_WITHIN_S
    count([Outcome("told to stop, by the product's settings", resumed_s)])
