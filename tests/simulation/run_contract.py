"""What executors and schedulers rely on of runs and leases: PostgreSQL and the store in memory keep the same."""

import pytest

from tailrace.core.errors import Conflict, LeaseLost
from tailrace.core.runs import Books, RunStatus
from tailrace.core.settlements import Phase, Position, Settlement
from tests.simulation.contract import (
    ONE,
    TTL_S,
    TWO,
    Stage,
    claimed,
    commit,
    ending,
)


class RunContract:
    """To be inherited with a fixture `stage`."""

    async def test_sync_has_one_active_run(self, stage: Stage) -> None:
        run_id = await stage.start()

        with pytest.raises(Conflict) as refused:
            await stage.start()

        assert refused.value.existing_id == run_id

    async def test_run_is_claimed_by_one(self, stage: Stage) -> None:
        run_id = await stage.start()

        claim = await claimed(stage)
        second = await stage.shards.claim(owner="b", ttl_s=TTL_S, grace_s=0)

        assert (claim.lease.run_id, claim.lease.epoch, claim.attempts_without_progress) == (run_id, 1, 1)
        assert (claim.checkpoint_seq, claim.checkpoint, claim.is_cancelling) == (0, None, False)
        assert second is None
        assert await stage.status(run_id) is RunStatus.RUNNING

    async def test_lease_that_ended_is_taken_over_from_an_owner_seen_to_be_silent(self, stage: Stage) -> None:
        await stage.start()
        first = await claimed(stage, ttl_s=0)
        seen = await stage.shards.sighted()

        unseen = await stage.shards.claim(owner="b", ttl_s=TTL_S, grace_s=0)
        second = await stage.shards.claim(owner="b", ttl_s=TTL_S, grace_s=0, silent=seen)

        assert unseen is None
        assert second is not None
        assert (second.lease.epoch, second.attempts_without_progress) == (2, 2)
        assert second.lease.token != first.lease.token

    async def test_lease_that_ended_a_moment_ago_is_left_alone_for_the_grace(self, stage: Stage) -> None:
        await stage.start()
        await claimed(stage, ttl_s=0)

        seen = await stage.shards.sighted()

        assert await stage.shards.claim(owner="b", ttl_s=TTL_S, grace_s=60.0, silent=seen) is None

    async def test_lease_that_ends_later_than_any_can_is_taken_from_an_owner_long_silent(self, stage: Stage) -> None:
        await stage.start()
        await claimed(stage, ttl_s=3600.0)
        seen = await stage.shards.sighted()

        for_a_while = await stage.shards.claim(owner="b", ttl_s=TTL_S, grace_s=0, silent=seen)
        for_long = await stage.shards.claim(owner="b", ttl_s=TTL_S, grace_s=0, silent=seen, long_silent=seen)

        assert for_a_while is None
        assert for_long is not None

    async def test_paused_run_waits_and_counts_its_pauses(self, stage: Stage) -> None:
        await stage.start()
        await stage.shards.pause((await claimed(stage)).lease, wait_s=0.0, reason="it is down")

        claim = await claimed(stage)
        await stage.shards.pause(claim.lease, wait_s=60.0, reason="it is down")

        assert (claim.pauses, claim.attempts_without_progress) == (1, 1)
        assert await stage.shards.claim(owner="b", ttl_s=TTL_S, grace_s=0) is None

    async def test_run_that_is_put_off_behind_its_cancel_is_claimed_at_once(self, stage: Stage) -> None:
        await stage.start()
        claim = await claimed(stage)
        await stage.cancel()

        await stage.shards.pause(claim.lease, wait_s=60.0, reason="it is down")

        assert (await claimed(stage)).is_cancelling

    async def test_row_that_gets_through_ends_the_count_of_pauses(self, stage: Stage) -> None:
        await stage.start()
        await stage.shards.pause((await claimed(stage)).lease, wait_s=0.0, reason="it is down")
        claim = await claimed(stage)

        await commit(stage, claim, Settlement(Position(ONE), Books(read=1, delivered=1)))
        await stage.shards.hand_back(claim.lease)

        assert (await claimed(stage)).pauses == 0

    async def test_lease_that_lasts_is_not_taken_over(self, stage: Stage) -> None:
        await stage.start()
        await claimed(stage)

        seen = await stage.shards.sighted()

        assert await stage.shards.claim(owner="b", ttl_s=TTL_S, grace_s=0, silent=seen) is None

    async def test_heartbeat_is_seen(self, stage: Stage) -> None:
        await stage.start()
        claim = await claimed(stage, ttl_s=0)
        before = await stage.shards.sighted()

        await stage.shards.heartbeat(claim.lease, ttl_s=0)

        assert await stage.shards.sighted() != before
        assert await stage.shards.claim(owner="b", ttl_s=TTL_S, grace_s=0, silent=before) is None

    async def test_overtaken_owner_can_do_nothing(self, stage: Stage) -> None:
        run_id = await stage.start()
        old = await claimed(stage, ttl_s=0)
        await stage.shards.claim(owner="b", ttl_s=TTL_S, grace_s=0, silent=await stage.shards.sighted())

        with pytest.raises(LeaseLost):
            await stage.shards.heartbeat(old.lease, ttl_s=TTL_S)
        with pytest.raises(LeaseLost):
            await commit(stage, old, Settlement(Position(ONE), Books(read=1, delivered=1)))
        with pytest.raises(LeaseLost):
            await stage.snapshots.merge(old.lease, stage.sync_id)
        with pytest.raises(LeaseLost):
            await stage.shards.finish(old.lease, ending())
        await stage.shards.hand_back(old.lease)

        assert await stage.shards.claim(owner="c", ttl_s=TTL_S, grace_s=0) is None
        assert await stage.status(run_id) is RunStatus.RUNNING

    async def test_run_handed_back_goes_on_at_its_checkpoint(self, stage: Stage) -> None:
        await stage.start()
        first = await claimed(stage)
        books = Books(read=3, delivered=1, skipped=1, rejected=1, reasons={"rejected.BAD": 1})
        await commit(stage, first, Settlement(Position(TWO, 4, Phase.DELETES), books))

        await stage.shards.hand_back(first.lease)
        second = await claimed(stage)

        assert (second.lease.epoch, second.attempts_without_progress, second.checkpoint_seq) == (2, 1, 1)
        assert second.checkpoint is not None
        assert (list(second.checkpoint["after"]), second.checkpoint["null_rows"]) == (["k2"], 4)
        assert second.checkpoint["phase"] == "deletes"
        assert second.books == books

    async def test_end_is_the_end(self, stage: Stage) -> None:
        run_id = await stage.start()
        claim = await claimed(stage)

        await stage.shards.finish(claim.lease, ending(RunStatus.FAILED))

        with pytest.raises(LeaseLost):
            await stage.shards.finish(claim.lease, ending())
        with pytest.raises(LeaseLost):
            await commit(stage, claim, Settlement(Position(ONE), Books()))
        assert await stage.status(run_id) is RunStatus.FAILED
        assert await stage.start() != run_id

    async def test_queued_run_is_cancelled_at_once(self, stage: Stage) -> None:
        run_id = await stage.start()

        await stage.cancel()

        assert await stage.status(run_id) is RunStatus.CANCELLED
        assert await stage.shards.claim(owner="a", ttl_s=TTL_S, grace_s=0) is None
        assert "tailrace.run.finished.v1" in await stage.told()

    async def test_owner_learns_that_its_run_is_to_end(self, stage: Stage) -> None:
        run_id = await stage.start()
        claim = await claimed(stage)

        await stage.cancel()

        assert await stage.shards.cancelling([run_id]) == {run_id}
        await stage.shards.hand_back(claim.lease)
        assert (await claimed(stage)).is_cancelling

    async def test_cancelled_run_of_a_dead_owner_is_adopted(self, stage: Stage) -> None:
        run_id = await stage.start()
        await claimed(stage, ttl_s=0)
        await stage.cancel()

        early = await stage.abandoned.adopt_cancelled(owner="s", dead_for_s=60, ttl_s=TTL_S)
        adopted = await stage.abandoned.adopt_cancelled(owner="s", dead_for_s=0, ttl_s=TTL_S)

        assert early is None
        assert adopted is not None
        await stage.shards.finish(adopted.lease, ending(RunStatus.CANCELLED))
        assert await stage.status(run_id) is RunStatus.CANCELLED
