"""Few changes lie above the pages that they change: what is known of rows is the same as if all were written anew."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from random import Random

import asyncpg
import pytest

from tailrace.core.pages import unpack_above
from tailrace.core.rows import UNKNOWN_SOURCE, RowHash, RowKey, SourceHash
from tailrace.core.runs import Lease
from tailrace.core.snapshots import Entry
from tailrace.store.snapshots import Snapshots
from tailrace.store.standings import Standings
from tests.store.conftest import Stage
from tests.store.test_snapshots import everything, lay, lease_of, ordered, settle, sizes

# What is counted goes on where a transaction is rolled back: each breaks off somewhere behind the one before.
_BREAK_OFF = """
CREATE SEQUENCE countdown INCREMENT -1 MINVALUE -1000000 MAXVALUE 1000000;
CREATE FUNCTION break_off() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF nextval('countdown') = 0 THEN RAISE EXCEPTION 'broken off'; END IF;
  RETURN coalesce(NEW, OLD);
END $$;
CREATE TRIGGER breaks_off BEFORE INSERT OR UPDATE OR DELETE ON snapshot_pages FOR EACH ROW EXECUTE FUNCTION break_off()
"""
_BREAK_OFF_AT = "SELECT setval('countdown', $1)"
_PAGES = "SELECT first_key, body, above, algorithm FROM snapshot_pages WHERE level = 0 ORDER BY first_key"
_LAID = "SELECT count(above)::int FROM snapshot_pages WHERE level = 0"
_KEYS = 2500
_NEVER = 1_000_000

Known = dict[RowKey, Entry]
Change = Callable[[Entry, Random], Entry]


def changed(known: Entry, chance: Random) -> Entry:
    return Entry(known.key, RowHash(chance.randbytes(8)), source=source(chance))


def forgotten(known: Entry, chance: Random) -> Entry:
    return Entry(known.key)


def gone(known: Entry, chance: Random) -> Entry:
    return known._replace(is_gone=known.delivered is not None, written=chance.choice([None, b'{"id": 7}']))


def dead(known: Entry, chance: Random) -> Entry:
    return known._replace(dead=RowHash(chance.randbytes(8)))


def delivered(known: Entry, chance: Random) -> Entry:
    return Entry(known.key, RowHash(chance.randbytes(8)))


CHANGES: Sequence[Change] = (changed, changed, changed, forgotten, gone, dead)
PLAIN: Sequence[Change] = (delivered, delivered, delivered, forgotten)
"""What most runs settle: nothing that pages have to make objects of."""


def key(number: int, parts: int) -> RowKey:
    return RowKey((f"{number:06}", "é", "")[:parts])


def source(chance: Random) -> SourceHash:
    return chance.choice([UNKNOWN_SOURCE, SourceHash(chance.getrandbits(60))])


def drawn(known: Mapping[RowKey, Entry], chance: Random, parts: int, changes: Sequence[Change]) -> list[Entry]:
    """What a run may settle: of keys that are known, and of others that come to be or are forgotten all the same."""
    size = chance.choice([1, 10, 40, 40, 100, 600])
    keys = [key(number, parts) for number in chance.sample(range(_KEYS), size)]
    return [chance.choice(changes)(known.get(each, Entry(each)), chance) for each in keys]


def without_tombstones(some: Iterable[Entry]) -> Known:
    return {entry.key: entry for entry in sorted(some) if not entry.is_tombstone}


async def settle_in_pieces(stage: Stage, some: Sequence[Entry], size: int) -> None:
    """Settle as checkpoints do."""
    await stage.database.fetchval(_BREAK_OFF_AT, _NEVER)
    in_order = sorted(some)
    for at in range(0, len(some), size):
        await settle(stage, in_order[at : at + size])


async def merge(stage: Stage, lease: Lease, moments: Sequence[int], known: Known) -> int:
    """Merge, breaking off at such moments and going on; gives how often that was so."""
    broken_off = 0
    for moment in (*moments, _NEVER):
        await stage.database.fetchval(_BREAK_OFF_AT, moment)
        try:
            await Snapshots(stage.database).merge(lease, stage.sync_id)
        except asyncpg.RaiseError:
            broken_off += 1
        assert await both_layers(stage) == list(known.values())
    return broken_off


async def told(stage: Stage, keys: Sequence[RowKey]) -> tuple[object, ...]:
    """All that is told of what is known, by everybody who asks."""
    snapshots, sync_id = Snapshots(stage.database), stage.sync_id
    first, last = min(keys), max(keys)
    return (
        await everything(stage),
        [*chain.from_iterable([page async for page in snapshots.entries(sync_id, after=first, until=last)])],
        [*chain.from_iterable([page async for page in snapshots.entries(sync_id, gone=True)])],
        [*chain.from_iterable([page async for page in snapshots.entries(sync_id, after=first, until=last, gone=True)])],
        await snapshots.entries_of(sync_id, keys),
        [await Standings(stage.database).of_row(sync_id, each) for each in keys[:5]],
        await snapshots.census(sync_id),
        await snapshots.size(sync_id),
    )


def expected(known: Known, keys: Sequence[RowKey]) -> tuple[object, ...]:
    """The same of a dict."""
    entries = list(known.values())
    return (
        entries,
        [entry for entry in entries if min(keys) < entry.key <= max(keys)],
        [entry for entry in entries if entry.is_gone],
        [entry for entry in entries if entry.is_gone and min(keys) < entry.key <= max(keys)],
        [known[each] for each in sorted(keys) if each in known],
        [known.get(each) for each in keys[:5]],
        (sum(entry.delivered is not None for entry in entries), sum(entry.is_gone for entry in entries)),
        len(entries),
    )


async def both_layers(stage: Stage) -> list[Entry]:
    return [entry async for some in Standings(stage.database).entries(stage.sync_id, 1) for entry in some]


@pytest.mark.parametrize("seed", range(12))
async def test_any_history_of_runs_comes_to_the_same_as_a_dict(stage: Stage, seed: int) -> None:
    chance = Random(seed)
    parts = 1 + seed % 3
    lease = await lease_of(stage)
    changes = CHANGES if seed < 6 else PLAIN
    known = without_tombstones(changes[0](Entry(key(number, parts)), chance) for number in range(200, 2300, 2))
    await lay(stage, list(known.values()), per_page=chance.choice([16, 60, 1000]))
    await stage.database.execute(_BREAK_OFF)
    broken_off = laid = 0

    for _ in range(10):
        some = drawn(known, chance, parts, changes)
        known = without_tombstones((known | {entry.key: entry for entry in some}).values())
        asked = [key(number, parts) for number in chance.sample(range(_KEYS), 50)]
        await settle_in_pieces(stage, some, size=chance.choice([7, 150]))
        broken_off += await merge(stage, lease, [chance.randrange(1, most) for most in (4, 30, 300)], known)
        laid += await stage.database.fetchval(_LAID)
        assert await told(stage, asked) == expected(known, asked)

    assert broken_off
    assert laid


async def test_few_changes_leave_bodies_as_they_are_and_many_do_not(stage: Stage) -> None:
    lease = await lease_of(stage)
    await lay(stage, ordered(range(2000), 1), per_page=1000)
    before = await stage.database.fetch(_PAGES)

    await settle(stage, [*ordered(range(125), 2), *ordered(range(1000, 1126), 2)])
    await Snapshots(stage.database).merge(lease, stage.sync_id)

    [changed_page, written_page] = await stage.database.fetch(_PAGES)
    assert (changed_page["body"], changed_page["algorithm"]) == (before[0]["body"], -before[0]["algorithm"])
    assert len(unpack_above(changed_page["above"])) == 125
    assert written_page["body"] != before[1]["body"]
    assert (written_page["above"], written_page["algorithm"]) == (None, before[1]["algorithm"])


async def test_page_is_written_anew_once_an_eighth_of_it_lies_above(stage: Stage) -> None:
    lease = await lease_of(stage)
    await lay(stage, ordered(range(1000), 1), per_page=1000)
    laid = []

    for number in range(4):
        await settle(stage, ordered(range(number * 60, number * 60 + 60), 2))
        await Snapshots(stage.database).merge(lease, stage.sync_id)
        laid.append(await stage.database.fetchval(_LAID))

    assert laid == [1, 1, 0, 1]
    assert await sizes(stage) == [1000]


async def test_page_whose_entries_are_all_forgotten_is_none(stage: Stage) -> None:
    lease = await lease_of(stage)
    await lay(stage, ordered(range(16), 1), per_page=8)

    for number in range(16):
        await settle(stage, ordered([number], None))
        await Snapshots(stage.database).merge(lease, stage.sync_id)

    assert await stage.database.fetch(_PAGES) == []


async def test_page_does_not_grow_beyond_its_size_by_what_lies_above(stage: Stage) -> None:
    lease = await lease_of(stage)
    await lay(stage, ordered(range(0, 1980, 2), 1), per_page=990)

    for number in range(1, 25, 2):
        await settle(stage, ordered([number], 2))
        await Snapshots(stage.database).merge(lease, stage.sync_id)

    assert await sizes(stage) == [502, 500]


async def test_what_comes_beyond_the_ends_of_a_page_moves_them(stage: Stage) -> None:
    lease = await lease_of(stage)
    await lay(stage, ordered(range(10, 990), 1), per_page=980)

    await settle(stage, ordered([5, 995], 2))
    await Snapshots(stage.database).merge(lease, stage.sync_id)

    assert await stage.database.fetchval("SELECT first_key || last_key FROM snapshot_pages") == ["000005", "000995"]
