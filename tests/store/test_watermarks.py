"""Watermarks, and what is known of the rows around them."""

import pytest

from tailrace.core.rows import RowHash, RowKey
from tailrace.core.runs import Lease
from tailrace.core.snapshots import Entry
from tailrace.store.shards import Shards
from tailrace.store.snapshots import Snapshots, raise_watermark
from tests.store.conftest import Stage, add_settled


async def begun_run(stage: Stage) -> Lease:
    """A run that may write."""
    await stage.start_run()
    claim = await Shards(stage.database).claim(owner="pod", ttl_s=30, grace_s=5)
    assert claim is not None
    await Snapshots(stage.database).forget_other_target(claim.lease, stage.sync_id)
    return claim.lease


async def settle(stage: Stage, value: str) -> None:
    """Settle all rows up to a value."""
    async with stage.database.transaction() as connection:
        await raise_watermark(connection, stage.sync_id, value)


async def test_watermark_never_falls_by_what_is_settled(stage: Stage) -> None:
    await begun_run(stage)
    await settle(stage, "b")
    await settle(stage, "a")

    assert (await Snapshots(stage.database).watermark(stage.sync_id)).value == "b"


async def test_watermark_is_compared_by_code_point(stage: Stage) -> None:
    await begun_run(stage)
    await settle(stage, "Z")
    await settle(stage, "a")
    await settle(stage, "B")

    assert (await Snapshots(stage.database).watermark(stage.sync_id)).value == "a"


@pytest.mark.parametrize(("forget_rows", "left"), [(False, 2), (True, 0)])
async def test_run_that_begins_anew_has_no_watermark_and_knows_no_row_if_asked_to(
    stage: Stage, *, forget_rows: bool, left: int
) -> None:
    lease = await begun_run(stage)
    snapshots = Snapshots(stage.database)
    await settle(stage, "b")
    await add_settled(stage.database, stage.sync_id, [Entry(RowKey(("a", "key")), RowHash(bytes(8)))])
    await snapshots.merge(lease, stage.sync_id)
    await add_settled(stage.database, stage.sync_id, [Entry(RowKey(("b", "key")), RowHash(bytes(8)))])

    await snapshots.begin_anew(lease, stage.sync_id, forget_rows=forget_rows)

    assert (await snapshots.watermark(stage.sync_id)).value is None
    assert await snapshots.size(stage.sync_id) == left


async def test_only_pages_that_lie_below_a_value_as_a_whole_are_forgotten(stage: Stage) -> None:
    lease = await begun_run(stage)
    snapshots = Snapshots(stage.database)
    entries = [Entry(RowKey((f"{number:04}", "key")), RowHash(bytes(8))) for number in range(3000)]
    await add_settled(stage.database, stage.sync_id, entries)
    await snapshots.merge(lease, stage.sync_id)

    await snapshots.forget_before(lease, stage.sync_id, "1999")

    left = [entry async for page in snapshots.entries(stage.sync_id) for entry in page]
    assert left == entries[1000:]
