"""What executors rely on of checkpoints, snapshots, letters and limits: both stores keep the same."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from tailrace.core.errors import LeaseLost
from tailrace.core.rows import RowKey
from tailrace.core.runs import Books
from tailrace.core.settlements import Position, Settlement, dedupe_key
from tailrace.core.snapshots import Entry
from tailrace.core.syncs import SyncMode
from tests.simulation.contract import (
    NEW,
    OLD,
    ONE,
    THREE,
    TTL_S,
    TWO,
    Stage,
    claimed,
    commit,
    dead,
    definition,
    ending,
    entries,
    letter,
    run_through,
)


class LedgerContract:
    """To be inherited with a fixture `stage`."""

    @pytest.mark.parametrize(
        "settlement",
        [
            Settlement(Position(ONE), Books(read=1, delivered=1), entries=[Entry(ONE, delivered=OLD)]),
            Settlement(Position(ONE), Books(read=1, rejected=1), [letter(ONE)], [Entry(ONE, dead=OLD)]),
        ],
        ids=["plain", "with a letter"],
    )
    async def test_checkpoint_written_again_counts_once(self, stage: Stage, settlement: Settlement) -> None:
        await stage.start()
        claim = await claimed(stage)

        await commit(stage, claim, settlement)
        await commit(stage, claim, settlement)
        await stage.shards.hand_back(claim.lease)

        again = await claimed(stage)
        assert (again.checkpoint_seq, again.books.read) == (1, 1)
        assert list(await stage.told()).count("tailrace.batch.completed.v1") == 1

    async def test_checkpoint_out_of_turn_is_refused(self, stage: Stage) -> None:
        await stage.start()
        claim = await claimed(stage)

        with pytest.raises(LeaseLost):
            await commit(stage, claim, Settlement(Position(ONE), Books()), seq=3)

    async def test_snapshot_shows_what_was_settled_once_it_is_merged(self, stage: Stage) -> None:
        await stage.start()
        claim = await claimed(stage)
        some = [Entry(ONE, delivered=OLD), Entry(TWO, OLD, dead=NEW), Entry(THREE, delivered=OLD, is_gone=True)]
        await commit(stage, claim, Settlement(Position(THREE), Books(), entries=some))

        before = await entries(stage)
        await stage.snapshots.merge(claim.lease, stage.sync_id)

        assert before == []
        assert await entries(stage) == some
        assert await entries(stage, after=ONE) == some[1:]
        assert await stage.snapshots.entries_of(stage.sync_id, [TWO, RowKey(("none",))]) == [some[1]]
        assert await stage.snapshots.census(stage.sync_id) == (3, 1)

    async def test_later_settlement_replaces_and_forgets(self, stage: Stage) -> None:
        await stage.start()
        claim = await claimed(stage)
        await commit(stage, claim, Settlement(Position(TWO), Books(), entries=[Entry(ONE, OLD), Entry(TWO, OLD)]))
        await stage.snapshots.merge(claim.lease, stage.sync_id)

        later = Settlement(Position(THREE), Books(), entries=[Entry(ONE), Entry(TWO, NEW), Entry(THREE, NEW)])
        await commit(stage, claim, later, seq=1)
        await stage.snapshots.merge(claim.lease, stage.sync_id)

        assert await entries(stage) == [Entry(TWO, NEW), Entry(THREE, NEW)]

    async def test_snapshot_of_another_target_is_forgotten(self, stage: Stage) -> None:
        await stage.change(definition("people"))
        await run_through(stage, [Entry(ONE, OLD)])
        await stage.change(definition("friends"))
        await stage.start()
        claim = await claimed(stage)

        forgot = await stage.snapshots.forget_other_target(claim.lease, stage.sync_id)
        again = await stage.snapshots.forget_other_target(claim.lease, stage.sync_id)

        assert (forgot, again) == (True, False)
        assert await entries(stage) == []

    async def test_snapshot_of_the_same_target_stays(self, stage: Stage) -> None:
        await stage.change(definition("people"))
        await run_through(stage, [Entry(ONE, OLD)])
        await stage.change(definition("people", mode=SyncMode.INSERT))
        await stage.start()
        claim = await claimed(stage)

        forgot = await stage.snapshots.forget_other_target(claim.lease, stage.sync_id)

        assert not forgot
        assert await entries(stage) == [Entry(ONE, OLD)]

    async def test_row_is_dead_until_its_letter_is_cleared(self, stage: Stage) -> None:
        await stage.start()
        claim = await claimed(stage)
        await commit(stage, claim, Settlement(Position(TWO), Books(), [letter(ONE), letter(TWO)]))
        before = await dead(stage)

        await commit(stage, claim, Settlement(Position(TWO), Books(), cleared=[dedupe_key(ONE)]), seq=1)

        assert before == {dedupe_key(ONE): False, dedupe_key(TWO): False}
        assert await dead(stage) == {dedupe_key(ONE): True, dedupe_key(TWO): False}

    @pytest.mark.parametrize(("reason", "stays"), [("skipped", {dedupe_key(ONE): False}), ("fixed", {})])
    async def test_resolved_row_stays_out_only_if_it_is_to_be_skipped(
        self, stage: Stage, reason: str, stays: dict[Any, bool]
    ) -> None:
        await stage.start()
        claim = await claimed(stage)
        await commit(stage, claim, Settlement(Position(ONE), Books(), [letter(ONE)]))

        await stage.resolve(reason)

        assert await dead(stage) == stays

    async def test_replay_has_its_keys_until_it_ends(self, stage: Stage) -> None:
        await run_through(stage, [], letters=[letter(ONE), letter(TWO)])
        run_id = await stage.replay()
        claim = await claimed(stage)
        before = await stage.dead_letters.keys_of_replay(run_id)

        await commit(stage, claim, Settlement(Position(ONE), Books(), cleared=[dedupe_key(ONE)]))
        during = await stage.dead_letters.keys_of_replay(run_id)
        await stage.shards.finish(claim.lease, ending())

        assert (list(before), list(during)) == ([ONE, TWO], [TWO])
        assert await stage.dead_letters.keys_of_replay(run_id) == []
        assert await dead(stage) == {dedupe_key(ONE): True, dedupe_key(TWO): False}

    async def test_letters_that_a_run_has_not_come_across_are_closed_by_its_owner_alone(self, stage: Stage) -> None:
        seen, other = letter(TWO), letter(THREE)._replace(error_code="OTHER")
        await run_through(stage, [], letters=[letter(ONE), seen, other])
        await stage.start()
        claim = await claimed(stage)
        await commit(stage, claim, Settlement(Position(TWO), Books(), letters=[seen]))
        zombie = replace(claim.lease, token=uuid4())

        by_another = await stage.dead_letters.close_mended(claim.workspace_id, stage.sync_id, zombie, [seen.error_code])
        closed = await stage.dead_letters.close_mended(
            claim.workspace_id, stage.sync_id, claim.lease, [seen.error_code]
        )

        assert (by_another, closed) == (0, 1)
        assert await dead(stage) == {dedupe_key(ONE): True, dedupe_key(TWO): False, dedupe_key(THREE): False}

    async def test_slots_are_shared_out_and_come_back(self, stage: Stage) -> None:
        ours, theirs = uuid4(), uuid4()

        first = await stage.limits.hold_slots("x", ours, wanted=2, max_slots=3, ttl_s=TTL_S)
        second = await stage.limits.hold_slots("x", theirs, wanted=2, max_slots=3, ttl_s=TTL_S)
        await stage.limits.release_slots("x", ours)
        third = await stage.limits.hold_slots("x", theirs, wanted=3, max_slots=3, ttl_s=TTL_S)

        assert (first, second, third) == (2, 1, 3)

    async def test_slot_held_for_longer_than_anybody_may_is_free(self, stage: Stage) -> None:
        await stage.limits.hold_slots("x", uuid4(), wanted=1, max_slots=1, ttl_s=3600.0)

        assert await stage.limits.hold_slots("x", uuid4(), wanted=1, max_slots=1, ttl_s=TTL_S) == 1

    async def test_tokens_are_paced_and_blocks_hold(self, stage: Stage) -> None:
        free = await stage.limits.reserve("x", tokens=10, rate_per_s=1.0, burst=10)
        paced = await stage.limits.reserve("x", tokens=10, rate_per_s=1.0, burst=10)
        await stage.limits.block("x", 300.0)
        blocked = await stage.limits.reserve("x", tokens=0, rate_per_s=1.0, burst=10)

        assert free == 0
        assert 5 < paced <= 10
        assert 290 < blocked <= 300
