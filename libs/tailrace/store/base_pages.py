"""Pages that runs have settled become part of the base, in the caller's transaction: as they are, or merged into it."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from operator import itemgetter

import orjson

from tailrace.core.entry_columns import EntryColumns
from tailrace.core.ids import SyncId
from tailrace.core.pages import ENTRIES_PER_PAGE, Page, pages, unpack
from tailrace.core.rows import RowKey
from tailrace.store.database import Connection, Record
from tailrace.store.page_layers import Share, lay

BASE = 0
SETTLED = 1

INSERT = """
INSERT INTO snapshot_pages (sync_id, level, first_key, last_key, entries, delivered, gone, has_tombstones, algorithm,
  body)
SELECT ${0}, ${1}, ARRAY(SELECT jsonb_array_elements_text(first_key::jsonb)),
  ARRAY(SELECT jsonb_array_elements_text(last_key::jsonb)), entries, delivered, gone, has_tombstones, algorithm, body
FROM {of} CROSS JOIN unnest(${2}::text[], ${3}::text[], ${4}::int[], ${5}::int[], ${6}::int[], ${7}::boolean[],
    ${8}::smallint[], ${9}::bytea[])
  AS page (first_key, last_key, entries, delivered, gone, has_tombstones, algorithm, body)
"""
"""Appends pages for each row `of` a query; the arguments are those of `insertable`."""

INSERT_ARGUMENTS = 10
"""How many they are."""

_PAGES_PER_PROMOTION = 500
_SETTLED_AT_ONCE = 16
_REWRITTEN_AT_ONCE = 256
_STARTS_AT_ONCE = 512
_LAID_AT_ONCE = 128
_PAGES_PER_MERGE = 32
_PLAIN_COLUMNS = ("entries", "delivered", "gone", "has_tombstones", "algorithm", "body")
_INSERT_ALWAYS = INSERT.format(*range(1, 1 + INSERT_ARGUMENTS), of="(SELECT) AS always")
# Pages of the base do not overlap: if the last one that begins in time ends before, none is in the way.
# Some at a time: the look back goes past all that this very statement has promoted, which it cannot see yet.
_PROMOTE = """
WITH following AS (
  SELECT first_key FROM snapshot_pages
  WHERE sync_id = $1 AND level = 1 AND ($4::text[] IS NULL OR first_key > $4) ORDER BY first_key LIMIT $3
), promoted AS (
  UPDATE snapshot_pages AS settled SET level = 0
  WHERE sync_id = $1 AND level = 1 AND first_key BETWEEN (SELECT min(first_key) FROM following)
    AND (SELECT max(first_key) FROM following) AND entries >= $2 AND NOT has_tombstones AND coalesce((
      SELECT base.last_key < settled.first_key FROM snapshot_pages AS base
      WHERE base.sync_id = $1 AND base.level = 0 AND base.first_key <= settled.last_key
      ORDER BY base.first_key DESC LIMIT 1), true)
)
SELECT max(first_key) FROM following HAVING count(*) = $3
"""
# Several at once, as long as that rewrites no more pages of the base than are to be rewritten by one transaction.
_NEXT_SETTLED = """
WITH following AS (
  SELECT first_key, last_key FROM snapshot_pages WHERE sync_id = $1 AND level = 1 ORDER BY first_key LIMIT $2
), far AS (
  SELECT first_key FROM snapshot_pages
  WHERE sync_id = $1 AND level = 0 AND first_key > (SELECT min(first_key) FROM following)
  ORDER BY first_key OFFSET $3 LIMIT 1
)
SELECT following.first_key, following.last_key FROM following LEFT JOIN far ON true
WHERE far.first_key IS NULL OR following.last_key < far.first_key
  OR following.first_key = (SELECT min(first_key) FROM following)
ORDER BY following.first_key
"""
_BASE_STARTS = """
SELECT first_key FROM snapshot_pages
WHERE sync_id = $1 AND level = 0 AND first_key <= $3 AND first_key >= coalesce((
  SELECT first_key FROM snapshot_pages
  WHERE sync_id = $1 AND level = 0 AND first_key <= $2 ORDER BY first_key DESC LIMIT 1), $2)
ORDER BY first_key LIMIT $4
"""
_TAKE = """
DELETE FROM snapshot_pages WHERE sync_id = $1 AND level = $2 AND first_key BETWEEN $3 AND $4 AND first_key IN (
  SELECT ARRAY(SELECT jsonb_array_elements_text(parts)) COLLATE "C" FROM jsonb_array_elements($5::jsonb) AS parts)
RETURNING first_key, body, algorithm, above
"""


async def promote_some(connection: Connection, sync_id: SyncId, after: list[str] | None) -> list[str] | None:
    """Look at some settled pages behind a key: large ones of keys that the base does not have become its pages.

    Gives the first key of the last page that was looked at, None if there are none behind it.
    """
    found: list[str] | None = await connection.fetchval(
        _PROMOTE, sync_id, ENTRIES_PER_PAGE // 2, _PAGES_PER_PROMOTION, after
    )
    return found


async def merge_some(connection: Connection, sync_id: SyncId) -> None:
    """Merge the first settled pages into the base, if there are any."""
    found = await connection.fetch(_NEXT_SETTLED, sync_id, _SETTLED_AT_ONCE, _REWRITTEN_AT_ONCE)
    if found:
        settled = await _take(connection, sync_id, SETTLED, _in_a_row(found))
        await _merge_into_base(connection, sync_id, EntryColumns.joined(settled))


def insertable(sync_id: SyncId, level: int, made: Sequence[Page]) -> tuple[object, ...]:
    """Pages as the arguments of `INSERT`."""
    return (
        *(sync_id, level),
        *([_as_json(page.first_key) for page in made], [_as_json(page.last_key) for page in made]),
        *([getattr(page, name) for page in made] for name in _PLAIN_COLUMNS),
    )


def _in_a_row(found: Sequence[Record]) -> list[list[str]]:
    """The first keys of pages as long as each begins behind the end of the one before."""
    turns = (at for at, (one, other) in enumerate(pairwise(found), 1) if one["last_key"] >= other["first_key"])
    return [page["first_key"] for page in found[: next(turns, None)]]


async def _merge_into_base(connection: Connection, sync_id: SyncId, above: EntryColumns) -> None:
    """Change the base pages whose range holds one of the entries; what lies between pages joins the one before."""
    last = list(above.keys[-1])
    while above:
        starts = [
            row["first_key"]
            for row in await connection.fetch(_BASE_STARTS, sync_id, list(above.keys[0]), last, _STARTS_AT_ONCE)
        ]
        end = len(above)
        if len(starts) == _STARTS_AT_ONCE:
            end = bisect_left(above.keys, RowKey(tuple(starts[-1])))
        shares = list(_shares(starts, above[:end]))
        for at in range(0, len(shares), _LAID_AT_ONCE):
            anew = await lay(connection, sync_id, shares[at : at + _LAID_AT_ONCE])
            for first in range(0, len(anew), _PAGES_PER_MERGE):
                await _rewrite(connection, sync_id, anew[first : first + _PAGES_PER_MERGE])
        above = above[end:]


async def _rewrite(connection: Connection, sync_id: SyncId, shares: Sequence[Share]) -> None:
    """Put pages with what lies above them in the place of pages of the base."""
    taken = await _take(connection, sync_id, BASE, [start for start, _ in shares if start is not None])
    below = taken or [EntryColumns.of([])]
    made = [page for known, (_, share) in zip(below, shares, strict=True) for page in _merged(known, share)]
    if made:
        await connection.execute(_INSERT_ALWAYS, *insertable(sync_id, BASE, made))


def _merged(known: EntryColumns, share: EntryColumns) -> Iterator[Page]:
    """What becomes of a page: where new keys among its own make it too large, each part has room for the next ones."""
    merged = known.overlaid(share)
    of_its_own = bisect_right(merged.keys, known.keys[-1]) if known else 0
    return pages(merged, evenly=of_its_own > ENTRIES_PER_PAGE)


async def _take(connection: Connection, sync_id: SyncId, level: int, starts: Sequence[list[str]]) -> list[EntryColumns]:
    """Remove pages by their first keys, which are in order; gives what they held."""
    if not starts:
        return []
    found = await connection.fetch(_TAKE, sync_id, level, starts[0], starts[-1], starts)
    return [unpack(row["body"], row["algorithm"], row["above"]) for row in sorted(found, key=itemgetter("first_key"))]


def _shares(starts: Sequence[list[str]], above: EntryColumns) -> Iterator[Share]:
    """Each base page that gets entries, with the entries up to the next page's first key."""
    ends = [*(RowKey(tuple(start)) for start in starts[1:]), None]
    at = 0
    opening: list[list[str] | None] = [*starts] or [None]
    for start, end in zip(opening, ends, strict=True):
        share_at = at
        at = len(above) if end is None else bisect_left(above.keys, end, at)
        if at > share_at:
            yield start, above[share_at:at]


def _as_json(key: RowKey) -> str:
    return orjson.dumps(key).decode()
