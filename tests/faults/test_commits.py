"""The state store fails a transaction, or breaks off while it commits: every checkpoint counts once."""

from pathlib import Path

import asyncpg
import pytest

from tailrace.core.syncs import SyncMode
from tests.faults.ground import WINDOW_ROWS, open_ground
from tests.faults.proxy import Cut, open_proxy
from tests.faults.trial import Trial, open_trial
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.trials import Count, Outcome

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

EACH = 6
"""Of so many commits one is cut: seldom enough that a checkpoint gets through within a lease."""

SQLSTATES = {
    "40001": "serialization failure",
    "40P01": "deadlock",
    "53100": "disk full",
    "55P03": "lock not available",
    "57014": "statement cancelled",
    "57P01": "shut down by its administrator",
}

# The first checkpoints fail, each for another reason.
_FAIL = """
CREATE SEQUENCE failures;
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE reason text := (ARRAY[{reasons}])[nextval('failures')];
BEGIN
  IF reason IS NOT NULL THEN RAISE EXCEPTION 'asked for' USING ERRCODE = reason; END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER fail AFTER UPDATE OF checkpoint_seq ON run_shards
DEFERRABLE INITIALLY {when} FOR EACH ROW EXECUTE FUNCTION fail();
"""
_FAILURES = "SELECT last_value FROM failures"


async def test_connection_that_breaks_in_a_commit_counts_no_checkpoint_twice(
    postgres_server: PostgresServer, database_url: str, tmp_path: Path, count: Count
) -> None:
    async with (
        open_proxy(database_url) as (proxy, services_url),
        open_ground(database_url, tmp_path, services_url=services_url) as ground,
        open_trial(postgres_server, ground, SyncMode.INSERT) as trial,
    ):
        proxy.each = EACH
        await ground.executor()
        run = await trial.run()
        proxy.each = 0

        assert {*proxy.cuts} == {*Cut}
        assert (await trial.facts(run)).repeated <= ground.leases_lost * WINDOW_ROWS
        assert await trial.breaches_after(run) == []
        assert await ground.breaches() == []
    count(Outcome("commit cut") for _ in proxy.cuts)


@pytest.mark.parametrize("when", ["IMMEDIATE", "DEFERRED"])
async def test_checkpoint_that_the_store_refuses_for_now_is_written_later(
    trial: Trial, when: str, count: Count
) -> None:
    reasons = ", ".join(f"'{sqlstate}'" for sqlstate in SQLSTATES)
    async with trial.ground.chassis.database.transaction() as connection:
        await connection.execute(_FAIL.format(reasons=reasons, when=when))

    async with trial.yard.executor(window_rows=100):
        run = await trial.run()
        breaches = await trial.breaches_after(run)

    assert await trial.ground.chassis.database.fetchval(_FAILURES) > len(SQLSTATES)
    assert breaches == []
    assert (await trial.ground.shard(run.id))["lease_epoch"] == 1
    count(Outcome("checkpoint refused") for _ in SQLSTATES)


async def test_run_that_is_chosen_to_break_a_deadlock_goes_on(trial: Trial) -> None:
    trial.sink.delay_s = 0.05
    rival = await asyncpg.connect(trial.ground.services_url, timeout=10, command_timeout=30)
    try:
        await trial.ground.executor()
        run_id = await trial.yard.start()
        await trial.sink.holds(100)
        async with rival.transaction():
            # A checkpoint holds its shard and waits for the outbox; then the rival, more patient, wants the shard.
            await rival.execute("LOCK TABLE outbox IN EXCLUSIVE MODE")
            await rival.execute("SELECT pg_sleep(0.6)")
            await rival.execute("SELECT 1 FROM run_shards WHERE run_id = $1 FOR UPDATE", run_id)
    finally:
        await rival.close(timeout=10)
    trial.sink.delay_s = 0.0
    run = await trial.ended(run_id)

    assert (await trial.facts(run)).repeated <= trial.ground.leases_lost * WINDOW_ROWS
    assert await trial.breaches_after(run) == []
    assert await trial.ground.breaches() == []
