"""The clock of the database jumps ahead: every lease looks as if it had ended long ago."""

import asyncio

import pytest

from tests.faults.trial import Trial

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

_LEASES_LOOK_ENDED = """
CREATE FUNCTION look_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.lease_expires_at := NEW.lease_expires_at - interval '1 hour';
  RETURN NEW;
END $$;
CREATE TRIGGER look_ended BEFORE UPDATE ON run_shards FOR EACH ROW EXECUTE FUNCTION look_ended();
UPDATE run_shards SET lease_expires_at = lease_expires_at;
"""
# Several heartbeats, and more than an observer needs to be sure.
_OBSERVED_S = 5.0


async def test_owner_whose_heart_beats_is_not_overtaken_however_late_it_seems(trial: Trial) -> None:
    trial.sink.delay_s = 1.5
    await trial.ground.executor()
    run_id = await trial.yard.start()
    await trial.ground.owner(run_id)
    onlooker = await trial.ground.executor()
    await onlooker.ready()

    async with trial.yard.chassis.database.connection() as connection:
        await connection.execute(_LEASES_LOOK_ENDED)
    await asyncio.sleep(_OBSERVED_S)
    assert not (await trial.yard.look(run_id)).status.is_terminal
    trial.sink.delay_s = 0.0
    run = await trial.ended(run_id)

    facts = await trial.facts(run)
    assert (facts.takeovers, facts.repeated) == (0, 0)
    assert await trial.breaches_after(run) == []
