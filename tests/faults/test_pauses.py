"""An executor is frozen or told to stop in the middle of a run."""

import asyncio
import logging
import signal
import time
from pathlib import Path

import pytest

from tests.faults.ground import PATIENCE_S, WINDOW_ROWS
from tests.faults.trial import RESUMED_WITHIN_S, Trial

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

HANDED_OVER_WITHIN_S = 20.0
"""Far less than a lease by default; on an idle machine it takes a second or two."""
IN_FLIGHT_ROWS = 97
"""As many as the window lets through, without the three that are refused."""
_LOOK_S = 0.05
# So long that the executor is idle when it is frozen: between the check of the lease and the write it could still send.
_NEVER_S = 120.0
# Longer than the beat of the heart and the wait for the store, which are all that could still speak.
_LISTENS_S = 4.0

_log = logging.getLogger(__name__)


async def frozen(pid: int) -> None:
    """Return once the process is stopped."""
    stat = Path(f"/proc/{pid}/stat")
    async with asyncio.timeout(PATIENCE_S):
        while stat.read_text().rpartition(")")[2].split()[0] != "T":  # noqa: ASYNC110 - another process decides
            await asyncio.sleep(_LOOK_S)


@pytest.mark.parametrize(
    "place",
    [
        "exec.before_send:1",
        "exec.after_response_before_checkpoint:5",
        "exec.ckpt_after_run_update_before_commit:5",
        "exec.ckpt_after_commit:5",
        "exec.before_finish:1",
    ],
)
async def test_executor_that_wakes_after_its_lease_sends_nothing_and_changes_nothing(trial: Trial, place: str) -> None:
    sleeper = await trial.ground.executor(f"{place}:stop")
    run_id = await trial.yard.start()
    await frozen(sleeper.child.pid)
    fell_asleep, page = time.monotonic(), trial.sink.page
    await trial.ground.executor()
    run = await trial.ended(run_id)
    resumed = trial.sink.ledger[page].at if trial.sink.page > page else time.monotonic()

    ended = trial.sink.page
    sleeper.child.send_signal(signal.SIGCONT)
    await sleeper.first("lease.lost")
    await asyncio.sleep(_LISTENS_S)

    assert trial.sink.page == ended
    assert sleeper.child.returncode is None
    assert await trial.breaches_after(run) == []
    assert resumed - fell_asleep < RESUMED_WITHIN_S
    _log.info("%s: resumed after %.1f s", place, resumed - fell_asleep)


async def test_executor_frozen_while_it_waits_for_answers_sends_nothing_after_it_wakes(trial: Trial) -> None:
    trial.sink.delay_s = _NEVER_S
    sleeper = await trial.ground.executor()
    run_id = await trial.yard.start()
    await trial.sink.holds(IN_FLIGHT_ROWS)
    sleeper.child.send_signal(signal.SIGSTOP)
    trial.sink.delay_s = 0.0
    await trial.ground.executor()
    run = await trial.ended(run_id)

    ended = trial.sink.page
    sleeper.child.send_signal(signal.SIGCONT)
    await sleeper.first("lease.lost")
    await asyncio.sleep(_LISTENS_S)

    assert trial.sink.page == ended
    assert await trial.breaches_after(run) == []


async def test_executor_told_to_stop_hands_its_run_over_at_once_and_nothing_comes_again(trial: Trial) -> None:
    trial.sink.delay_s = 0.5
    leaving = await trial.ground.executor()
    run_id = await trial.yard.start()
    await trial.ground.owner(run_id)
    following = await trial.ground.executor()
    await following.ready()
    trial.sink.delay_s = 0.05
    await trial.sink.holds(trial.sink.rows().total() + 100)

    asked = time.monotonic()
    code = await leaving.stop()
    left, page = time.monotonic(), trial.sink.page
    run = await trial.ended(run_id)

    facts = await trial.facts(run)
    assert code == 0
    assert page < trial.sink.page
    assert trial.sink.ledger[page].at - asked < HANDED_OVER_WITHIN_S
    assert facts.repeated <= (facts.takeovers - 1) * WINDOW_ROWS
    assert await trial.breaches_after(run) == []
    _log.info("left in %.1f s, resumed after %.1f s", left - asked, trial.sink.ledger[page].at - asked)
