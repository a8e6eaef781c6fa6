"""What executors rely on of runs that they share: PostgreSQL and the store in memory keep the same."""

import pytest

from tailrace.core.errors import LeaseLost
from tailrace.core.ids import RunId
from tailrace.core.rows import RowKey
from tailrace.core.runs import CANCELLED, Books, RunStatus
from tailrace.core.settlements import NOTHING_SENT, Phase, Position, Rejections, Settlement
from tailrace.core.snapshots import Entry
from tailrace.store.shards import Claim
from tests.simulation.contract import OLD, ONE, THREE, TTL_S, TWO, Stage, claimed, commit, ending, run_through

DIGEST = "their digest"


async def cut(stage: Stage) -> tuple[Claim, Claim, Claim]:
    """The three shards of a run, all of them claimed: up to k1, up to k2, and the rest."""
    await stage.start()
    first = await claimed(stage)
    await stage.shared_runs.share_out(first.lease, [ONE, TWO], columns=DIGEST)
    return first, await claimed(stage), await claimed(stage)


async def nobody_waits(stage: Stage) -> bool:
    """Whether there is nothing to claim."""
    return await stage.shards.claim(owner="b", ttl_s=TTL_S, grace_s=0) is None


class SharingContract:
    """To be inherited with a fixture `stage`."""

    async def test_shards_stand_behind_one_another(self, stage: Stage) -> None:
        first, *others = await cut(stage)

        await stage.shards.hand_back(first.lease)
        again = await claimed(stage)

        stands = [claim.checkpoint or {} for claim in (again, *others)]
        assert [claim.lease.shard for claim in (again, *others)] == [0, 1, 2]
        assert [(claim.is_shared, claim.until) for claim in (again, *others)] == [
            (True, ONE),
            (True, TWO),
            (True, None),
        ]
        assert [stand["after"] and tuple(stand["after"]) for stand in stands] == [None, ONE, TWO]
        assert [(stand["null_rows"], stand["columns"]) for stand in stands] == [(0, DIGEST)] * 3
        assert await nobody_waits(stage)

    async def test_run_is_cut_once(self, stage: Stage) -> None:
        first, _, _ = await cut(stage)

        with pytest.raises(LeaseLost):
            await stage.shared_runs.share_out(first.lease, [ONE], columns=DIGEST)

    async def test_run_that_has_begun_is_not_cut(self, stage: Stage) -> None:
        await stage.start()
        claim = await claimed(stage)
        await commit(stage, claim, Settlement(Position(ONE), Books(read=1, delivered=1)))

        with pytest.raises(LeaseLost):
            await stage.shared_runs.share_out(claim.lease, [TWO], columns=DIGEST)
        await stage.shards.hand_back(claim.lease)

        assert not (await claimed(stage)).is_shared

    async def test_who_shares_a_run_takes_those_shards_that_somebody_has_begun(self, stage: Stage) -> None:
        await stage.start()
        first = await claimed(stage)
        await stage.shared_runs.share_out(first.lease, [ONE, TWO], columns=DIGEST)
        second = await claimed(stage)
        stage.sharing.add(first.lease.run_id)

        fresh_is_left = await nobody_waits(stage)
        await stage.shards.hand_back(second.lease)

        assert fresh_is_left
        assert (await claimed(stage)).lease.shard == second.lease.shard

    async def test_last_to_leave_stays_and_is_told_what_all_come_to(self, stage: Stage) -> None:
        first, second, third = await cut(stage)
        await commit(stage, first, Settlement(Position(ONE), Books(read=1, delivered=1)))
        await commit(stage, third, Settlement(Position(THREE), Books(read=2, skipped=2)))

        left = [await stage.shared_runs.leave(claim.lease) for claim in (third, first)]
        total = await stage.shared_runs.leave(second.lease)
        again = await stage.shared_runs.leave(second.lease)
        await stage.shards.finish(second.lease, ending())

        assert left == [None, None]
        assert total is not None
        assert total == again
        assert (total.books.read, total.books.delivered, total.books.skipped) == (3, 1, 2)
        assert total.error_code is None
        assert await stage.status(first.lease.run_id) is RunStatus.SUCCEEDED

    async def test_each_shard_is_told_what_the_others_have_sent(self, stage: Stage) -> None:
        first, second, third = await cut(stage)
        ten, twenty = Rejections(10, 3), Rejections(20, 5, in_a_row=2)

        to_first = await commit(stage, first, Settlement(Position(ONE), Books(), rejections=ten))
        to_second = await commit(stage, second, Settlement(Position(TWO), Books(), rejections=twenty))
        await stage.shards.hand_back(third.lease)
        again = await claimed(stage)
        left = [await stage.shared_runs.leave(claim.lease) for claim in (first, again)]
        total = await stage.shared_runs.leave(second.lease)

        assert (to_first, to_second, again.elsewhere) == (NOTHING_SENT, ten, ten + twenty)
        assert left == [None, None]
        assert total is not None
        assert total.elsewhere == ten

    async def test_shard_that_was_left_is_nobody_s(self, stage: Stage) -> None:
        first, _, _ = await cut(stage)
        await stage.shared_runs.leave(first.lease)

        with pytest.raises(LeaseLost):
            await stage.shared_runs.leave(first.lease)
        with pytest.raises(LeaseLost):
            await commit(stage, first, Settlement(Position(ONE), Books()))
        assert await nobody_waits(stage)

    async def test_failure_ends_what_waits_and_is_told_to_the_last(self, stage: Stage) -> None:
        first, second, third = await cut(stage)
        run_id = first.lease.run_id
        await stage.shards.hand_back(third.lease)

        before = await stage.shared_runs.failing({run_id})
        left = await stage.shared_runs.leave(first.lease, code="BAD", message="no")
        after = await stage.shared_runs.failing({run_id})
        total = await stage.shared_runs.leave(second.lease, code=CANCELLED)

        assert (before, left, after) == (set(), None, {run_id})
        assert total is not None
        assert (total.error_code, total.error_message) == ("BAD", "no")
        assert await nobody_waits(stage)

    async def test_shard_does_not_wait_where_another_failed(self, stage: Stage) -> None:
        first, second, _ = await cut(stage)
        await stage.shared_runs.leave(first.lease, code="BAD")

        await stage.shards.pause(second.lease, wait_s=60.0, reason="it is down")

        assert (await claimed(stage)).lease.shard == second.lease.shard

    async def test_shards_that_wait_are_claimed_at_once_where_the_run_is_to_end(self, stage: Stage) -> None:
        _, second, _ = await cut(stage)
        await stage.shards.pause(second.lease, wait_s=60.0, reason="it is down")

        await stage.cancel()

        claim = await claimed(stage)
        assert (claim.lease.shard, claim.is_cancelling) == (second.lease.shard, True)

    async def test_shards_of_dead_owners_are_adopted_one_by_one(self, stage: Stage) -> None:
        await stage.start()
        first = await claimed(stage, ttl_s=0)
        await stage.shared_runs.share_out(first.lease, [ONE], columns=DIGEST)
        await stage.cancel()

        adopted = await stage.abandoned.adopt_cancelled(owner="s", dead_for_s=0, ttl_s=TTL_S)
        assert adopted is not None
        left = await stage.shared_runs.leave(adopted.lease, code=CANCELLED)

        assert adopted.is_shared
        assert left is not None
        assert left.error_code == CANCELLED

    async def test_run_that_its_only_owner_ends_leaves_nothing_to_claim(self, stage: Stage) -> None:
        await stage.start()
        claim = await claimed(stage)
        await stage.shared_runs.share_out(claim.lease, [ONE], columns=DIGEST)

        await stage.shards.finish(claim.lease, ending(RunStatus.CANCELLED))

        assert await nobody_waits(stage)

    async def test_known_rows_are_seen_up_to_the_end_of_a_shard(self, stage: Stage) -> None:
        await run_through(stage, [Entry(key, OLD) for key in (ONE, TWO, THREE)])

        pages = [page async for page in stage.snapshots.entries(stage.sync_id, after=ONE, until=TWO)]

        assert [entry.key for page in pages for entry in page] == [TWO]
        assert await stage.snapshots.size(stage.sync_id) == 3
        assert list(await stage.snapshots.cuts(stage.sync_id, 2)) == []

    async def test_run_has_passed_what_each_shard_has_settled_or_left(self, stage: Stage) -> None:
        first, second, third = await cut(stage)
        run_id = first.lease.run_id
        keys = [RowKey((key,)) for key in ("k0", "k1", "k11", "k12", "k2", "k3")]

        await commit(stage, second, Settlement(Position(keys[2]), Books()))
        settled = await passed(stage, run_id, keys)
        await stage.shared_runs.leave(first.lease)
        left = await passed(stage, run_id, keys)
        await stage.shared_runs.leave(second.lease, code="BAD")
        await commit(stage, third, Settlement(Position(TWO, null_rows=1), Books()))
        behind_all = await passed(stage, run_id, keys)

        assert settled == [False, False, True, False, False, False]
        assert left == [True, True, True, False, False, False]
        assert behind_all == [True, True, True, False, False, True]

    async def test_run_that_deletes_has_passed_all(self, stage: Stage) -> None:
        first, second, third = await cut(stage)
        for claim in (first, second):
            await stage.shared_runs.leave(claim.lease)

        await commit(stage, third, Settlement(Position(ONE, phase=Phase.DELETES), Books()))

        assert await passed(stage, first.lease.run_id, [ONE, THREE]) == [True, True]


async def passed(stage: Stage, run_id: RunId, keys: list[RowKey]) -> list[bool | None]:
    """Of each key, whether the run has come past it."""
    return [await stage.passed(run_id, key) for key in keys]
