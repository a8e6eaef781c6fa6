"""An executor is killed anywhere, and another goes on: nothing is lost, and little comes again."""

import os
from random import Random

import pytest

from tests.faults.ground import Ground
from tests.faults.kills import KillAt, kill_at
from tests.faults.trial import Trial
from tests.fixtures.trials import Count

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

PLACES = (
    KillAt("exec.after_claim"),
    KillAt("exec.before_first_read"),
    KillAt("exec.mid_read", 2),
    KillAt("exec.after_map", 2),
    KillAt("exec.before_send", 40),
    KillAt("exec.after_send_before_response", 40),
    KillAt("exec.after_response_before_checkpoint", 5),
    KillAt("exec.ckpt_after_dlq_insert", 5),
    KillAt("exec.ckpt_after_run_update_before_commit", 5),
    KillAt("exec.ckpt_after_commit", 5),
    KillAt("exec.mid_backoff", unavailable=range(40, 43)),
    KillAt("exec.mid_token_wait", requests_per_s=20),
    KillAt("exec.before_send", 20, max_in_flight=3),
    KillAt("exec.before_finish"),
    KillAt("exec.finish_after_commit", takeovers=0),
    KillAt("exec.during_sigterm_handback", by_sigterm=True),
)
_REPEATABLE = range(4, 10)
_SEED = int(os.environ.get("TAILRACE_TEST_SEED", "1"))
_TIMES = int(os.environ.get("TAILRACE_TEST_KILLS", "1"))
"""How often an executor dies at each place in each mode; a soak asks for more, each time elsewhere in the run."""


def _elsewhere(place: KillAt, seed: int) -> KillAt:
    """The same place, come to more or less often."""
    if place.nth in _REPEATABLE:
        return KillAt(place.name, Random(seed).randint(1, 10))
    if place.nth > max(_REPEATABLE):
        return KillAt(place.name, Random(seed).randint(1, 70))
    return place


CHOSEN = [*PLACES, *(_elsewhere(place, _SEED + time) for time in range(_TIMES - 1) for place in PLACES)]


@pytest.mark.parametrize("place", CHOSEN, ids=str)
async def test_runs_of_killed_executors_end_without_loss(
    ground: Ground, trials: list[Trial], place: KillAt, count: Count
) -> None:
    breaches, outcomes = await kill_at(ground, trials, place)

    count(outcomes)
    assert breaches == []
