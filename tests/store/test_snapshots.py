"""Snapshots in PostgreSQL: merging page by page comes to the same as a dict."""

import asyncio
import random
from collections.abc import Iterable
from itertools import chain, pairwise

import asyncpg
import pytest

from tailrace.core.pages import pages
from tailrace.core.rows import RowHash, RowKey
from tailrace.core.runs import Lease
from tailrace.core.snapshots import Entry
from tailrace.store.base_pages import BASE, INSERT, INSERT_ARGUMENTS, insertable
from tailrace.store.shards import Shards, hold
from tailrace.store.snapshots import Snapshots
from tailrace.store.standings import Standings
from tests.store.conftest import Stage, add_settled

_ADD_PAGES = """
INSERT INTO snapshot_pages (sync_id, level, first_key, last_key, entries, delivered, gone, has_tombstones, algorithm,
  body)
SELECT $1, 1, ARRAY[to_char(n, 'fm000000')], ARRAY[to_char(n, 'fm000000') || 'z'], 1000, 1000, 0, false, 2, ''
FROM generate_series(1, $2::int) AS n
"""

_INSERT_BASE = INSERT.format(*range(1, 1 + INSERT_ARGUMENTS), of="(SELECT) AS always")
_LARGEST_REWRITE = """
SELECT max(pages) FROM (SELECT count(*) AS pages FROM snapshot_pages WHERE level = 0 GROUP BY xmin::text) AS by_commit
"""

_BREAK_OFF = """
CREATE FUNCTION break_off() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'broken off'; END $$;
CREATE TRIGGER breaks_off BEFORE INSERT ON snapshot_pages FOR EACH ROW
WHEN (NEW.level = 0 AND NEW.first_key >= ARRAY['{}']) EXECUTE FUNCTION break_off()
"""
_GO_ON = "DROP TRIGGER breaks_off ON snapshot_pages"


def entry(number: int, content: int | None) -> Entry:
    """An entry of a key; without content it is forgotten."""
    return Entry(RowKey((f"k{number}", "é")), None if content is None else RowHash(content.to_bytes(8)))


async def lease_of(stage: Stage) -> Lease:
    await stage.start_run()
    claim = await Shards(stage.database).claim(owner="pod", ttl_s=30, grace_s=5)
    assert claim is not None
    return claim.lease


async def settle(stage: Stage, entries: list[Entry]) -> None:
    await add_settled(stage.database, stage.sync_id, sorted(entries, key=lambda some: some.key))


async def lay(stage: Stage, entries: list[Entry], per_page: int) -> None:
    """Have a base of pages of so many entries."""
    stretches = [entries[at : at + per_page] for at in range(0, len(entries), per_page)]
    made = [page for some in stretches for page in pages(some)]
    await stage.database.execute(_INSERT_BASE, *insertable(stage.sync_id, BASE, made))


async def sizes(stage: Stage) -> list[int]:
    """How many entries the pages of the base have, in order."""
    rows = await stage.database.fetch("SELECT entries FROM snapshot_pages WHERE level = 0 ORDER BY first_key")
    return [row["entries"] for row in rows]


def ordered(numbers: Iterable[int], content: int | None) -> list[Entry]:
    """Entries of keys whose order is that of their numbers."""
    return [entry(number, content)._replace(key=RowKey((f"{number:06}",))) for number in numbers]


async def everything(stage: Stage, after: RowKey | None = None) -> list[Entry]:
    read = [page async for page in Snapshots(stage.database).entries(stage.sync_id, after=after)]
    return list(chain.from_iterable(read))


async def between(stage: Stage, after: RowKey | None, until: RowKey | None) -> list[Entry]:
    read = [page async for page in Snapshots(stage.database).entries(stage.sync_id, after=after, until=until)]
    return list(chain.from_iterable(read))


async def test_merging_many_rounds_of_changes_comes_to_the_same_as_a_dict(stage: Stage) -> None:
    chance = random.Random(20)
    snapshots = Snapshots(stage.database)
    lease = await lease_of(stage)
    expected: dict[RowKey, Entry] = {}

    for content in range(6):
        keys = chance.sample(range(6000), 2500) if content < 4 else chance.sample(range(6000), 3)
        changed = [entry(number, None if content % 2 and chance.random() < 0.2 else content) for number in keys]
        await settle(stage, changed)
        await snapshots.merge(lease, stage.sync_id)
        expected |= {some.key: some for some in changed}

    left = [expected[key] for key in sorted(expected) if not expected[key].is_tombstone]
    assert await everything(stage) == left
    assert await everything(stage, after=left[1234].key) == left[1235:]


async def test_snapshot_about_which_nothing_is_to_be_done_is_looked_at_without_a_lock(stage: Stage) -> None:
    lease, snapshots = await lease_of(stage), Snapshots(stage.database)
    await snapshots.forget_other_target(lease, stage.sync_id)

    async with stage.database.transaction() as other:
        await hold(other, lease)
        async with asyncio.timeout(5):
            forgot = await snapshots.forget_other_target(lease, stage.sync_id)
            await snapshots.merge(lease, stage.sync_id)

    assert not forgot


async def test_changes_here_and_there_in_many_pages_come_to_the_same_as_a_dict(stage: Stage) -> None:
    lease = await lease_of(stage)
    base = ordered(range(100, 4000), 1)
    await lay(stage, base, per_page=3)
    changes = [*ordered(range(0, 4200, 7), 2), *ordered(range(103, 106), None), *ordered(range(2003, 3000, 50), None)]
    changed = {some.key: some for some in changes}

    await settle(stage, list(changed.values()))
    await Snapshots(stage.database).merge(lease, stage.sync_id)

    expected = {some.key: some for some in base} | changed
    assert await everything(stage) == [expected[key] for key in sorted(expected) if not expected[key].is_tombstone]


async def test_settled_pages_among_one_another_are_all_merged(stage: Stage) -> None:
    lease = await lease_of(stage)
    await lay(stage, ordered(range(1000), 1), per_page=100)
    await settle(stage, ordered(range(1, 1100, 2), 2))
    await settle(stage, ordered(range(0, 1100, 2), 3))
    await settle(stage, ordered(range(1200, 1300), 3))

    await Snapshots(stage.database).merge(lease, stage.sync_id)

    versions = [int.from_bytes(some.delivered or b"") for some in await everything(stage)]
    assert versions == [3, 2] * 550 + [3] * 100


async def test_transaction_rewrites_some_hundreds_of_pages_unless_one_settled_page_touches_more(stage: Stage) -> None:
    lease = await lease_of(stage)
    await lay(stage, ordered(range(3000), 1), per_page=10)
    for number in range(0, 3000, 200):
        await settle(stage, ordered(range(number, number + 200, 5), 2))

    await Snapshots(stage.database).merge(lease, stage.sync_id)

    assert 100 < await stage.database.fetchval(_LARGEST_REWRITE) < 260


@pytest.mark.parametrize("key", ["000000", "001500", "002990"])
async def test_merge_that_breaks_off_leaves_whole_pages_and_is_carried_on(stage: Stage, key: str) -> None:
    lease = await lease_of(stage)
    base, changed = ordered(range(3000), 1), ordered(range(0, 3000, 5), 2)
    await lay(stage, base, per_page=10)
    for at in range(0, len(changed), 40):
        await settle(stage, changed[at : at + 40])
    expected = [*({some.key: some for some in base} | {some.key: some for some in changed}).values()]
    await stage.database.execute(_BREAK_OFF.format(key))

    with pytest.raises(asyncpg.RaiseError):
        await Snapshots(stage.database).merge(lease, stage.sync_id)
    half_way = [entry async for some in Standings(stage.database).entries(stage.sync_id, 1) for entry in some]
    await stage.database.execute(_GO_ON)
    await Snapshots(stage.database).merge(lease, stage.sync_id)

    assert half_way == expected
    assert await everything(stage) == expected


async def test_entries_behind_a_key_between_pages_begin_with_the_next_page(stage: Stage) -> None:
    base = ordered(range(0, 100, 10), 1)
    await lay(stage, base, per_page=2)

    behind = [await everything(stage, after=RowKey((key,))) for key in ("", "000000", "000015", "000025", "000090")]

    assert behind == [base, base[1:], base[2:], base[3:], []]


async def test_keys_that_come_anywhere_leave_no_small_pages(stage: Stage) -> None:
    lease = await lease_of(stage)
    await lay(stage, ordered(range(0, 400_000, 100), 1), per_page=1000)

    for number in range(1, 21):
        await settle(stage, ordered(range(number, 400_000, 20_000), 2))
        await Snapshots(stage.database).merge(lease, stage.sync_id)

    assert await sizes(stage) == [560, 540] * 4


async def test_keys_that_come_at_the_end_fill_its_pages(stage: Stage) -> None:
    lease = await lease_of(stage)
    await lay(stage, ordered(range(1000), 1), per_page=1000)

    for number in range(1000, 3000, 400):
        await settle(stage, ordered(range(number - 200, number + 400), 2))
        await Snapshots(stage.database).merge(lease, stage.sync_id)

    assert await sizes(stage) == [1000, 1000, 1000]


async def test_large_pages_become_the_base_as_they_are_however_many_there_are(stage: Stage) -> None:
    lease = await lease_of(stage)
    await stage.database.execute(_ADD_PAGES, stage.sync_id, 1700)

    await Snapshots(stage.database).merge(lease, stage.sync_id)

    levels = await stage.database.fetch("SELECT level, count(*) AS pages FROM snapshot_pages GROUP BY level")
    assert [(row["level"], row["pages"]) for row in levels] == [(0, 1700)]


async def test_parts_between_cuts_are_about_as_large_and_together_all(stage: Stage) -> None:
    lease = await lease_of(stage)
    await settle(stage, [entry(number, 1) for number in range(6000)])
    snapshots = Snapshots(stage.database)
    await snapshots.merge(lease, stage.sync_id)

    cuts = await snapshots.cuts(stage.sync_id, 3)
    bounds = [None, *cuts, None]
    parts = [await between(stage, *ends) for ends in pairwise(bounds)]

    assert [len(part) for part in parts] == [2000, 2000, 2000]
    assert [*chain.from_iterable(parts)] == await everything(stage)


async def test_what_ends_in_the_middle_of_a_page_ends_there(stage: Stage) -> None:
    lease = await lease_of(stage)
    await settle(stage, [entry(number, 1) for number in range(3000)])
    await Snapshots(stage.database).merge(lease, stage.sync_id)
    known = await everything(stage)

    assert await between(stage, known[10].key, known[1500].key) == known[11:1501]
    assert await between(stage, None, known[0].key) == known[:1]


async def test_small_snapshot_is_not_cut(stage: Stage) -> None:
    lease = await lease_of(stage)
    await settle(stage, [entry(number, 1) for number in range(10)])
    await Snapshots(stage.database).merge(lease, stage.sync_id)

    assert await Snapshots(stage.database).cuts(stage.sync_id, 4) == []


async def test_entries_are_found_by_their_keys(stage: Stage) -> None:
    lease = await lease_of(stage)
    await settle(stage, [entry(number, 1) for number in range(3000)])
    await Snapshots(stage.database).merge(lease, stage.sync_id)

    found = await Snapshots(stage.database).entries_of(
        stage.sync_id, [RowKey(("k17", "é")), RowKey(("k2999", "é")), RowKey(("nowhere", "é"))]
    )

    assert [some.key[0] for some in found] == ["k17", "k2999"]


async def test_what_a_run_has_settled_is_not_seen_before_it_is_merged(stage: Stage) -> None:
    await settle(stage, [entry(1, 1)])

    assert await everything(stage) == []


async def test_a_snapshot_that_forgot_everything_is_empty(stage: Stage) -> None:
    lease = await lease_of(stage)
    snapshots = Snapshots(stage.database)
    await settle(stage, [entry(number, 1) for number in range(10)])
    await snapshots.merge(lease, stage.sync_id)
    await settle(stage, [entry(number, None) for number in range(10)])

    await snapshots.merge(lease, stage.sync_id)

    assert await snapshots.size(stage.sync_id) == 0


async def test_keys_that_nobody_knew_are_forgotten_without_a_trace(stage: Stage) -> None:
    lease = await lease_of(stage)
    snapshots = Snapshots(stage.database)
    await settle(stage, [entry(number, 1 if number % 3 else None) for number in range(900)])

    await snapshots.merge(lease, stage.sync_id)

    assert await snapshots.size(stage.sync_id) == 600
