"""The clock of the database jumps: leases look as if they had ended long ago, or would last for long, or both."""

import asyncio
import time

import pytest

from tests.faults.trial import RESUMED_WITHIN_S, Trial
from tests.fixtures.trials import Count, Outcome

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

AHEAD = "- interval '1 hour'"
BACK = "+ interval '1 hour'"
TO_AND_FRO = "+ (2 * random() - 1) * interval '1 hour'"
_JUMP = """
CREATE FUNCTION jump() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.lease_expires_at := NEW.lease_expires_at {how_far};
  RETURN NEW;
END $$;
CREATE TRIGGER jump BEFORE UPDATE ON run_shards FOR EACH ROW EXECUTE FUNCTION jump();
UPDATE run_shards SET lease_expires_at = lease_expires_at;
"""
# A heart that may be late by some seconds, on a machine with other work.
_SLOW_HEART = {"lease_ttl_s": 18, "heartbeat_s": 6}
# More than an observer needs to be sure.
_OBSERVED_S = 12.0


async def the_clock_jumps(trial: Trial, how_far: str) -> None:
    """From now on, each lease ends so much earlier or later by the clock of the database."""
    async with trial.ground.chassis.database.connection() as connection:
        await connection.execute(_JUMP.format(how_far=how_far))


@pytest.mark.parametrize("how_far", [AHEAD, TO_AND_FRO], ids=["ahead", "to and fro"])
async def test_owner_whose_heart_beats_is_not_overtaken_however_late_it_seems(
    trial: Trial, how_far: str, count: Count
) -> None:
    trial.sink.delay_s = 1.5
    trial.ground.settings |= _SLOW_HEART
    await trial.ground.executor()
    run_id = await trial.yard.start()
    await trial.ground.owner(run_id)
    onlooker = await trial.ground.executor()
    await onlooker.ready()

    await the_clock_jumps(trial, how_far)
    await asyncio.sleep(_OBSERVED_S)
    assert not (await trial.yard.look(run_id)).status.is_terminal
    trial.sink.delay_s = 0.0
    run = await trial.ended(run_id)

    facts = await trial.facts(run)
    assert (facts.takeovers, facts.repeated) == (0, 0)
    assert await trial.breaches_after(run) == []
    count([Outcome("clock jumped")])
    assert await trial.ground.breaches() == []


@pytest.mark.parametrize("how_far", [BACK, TO_AND_FRO], ids=["back", "to and fro"])
async def test_owner_whose_heart_stopped_is_overtaken_however_early_it_seems(
    trial: Trial, how_far: str, count: Count
) -> None:
    trial.sink.delay_s = 0.5
    run_id = await trial.yard.start()
    victim = await trial.ground.executor()
    await trial.sink.holds(100)
    await the_clock_jumps(trial, how_far)
    following = await trial.ground.executor()
    await following.ready()
    await victim.kill()
    died_at, page = time.monotonic(), trial.sink.page
    trial.sink.delay_s = 0.0
    run = await trial.ended(run_id)

    resumed_s = trial.sink.ledger[page].at - died_at
    facts = await trial.facts(run)
    assert resumed_s < RESUMED_WITHIN_S
    assert await trial.breaches_after(run) == []
    count([Outcome("clock jumped", resumed_s, facts.repeated, facts.repeats_allowed)])
    assert await trial.ground.breaches() == []
