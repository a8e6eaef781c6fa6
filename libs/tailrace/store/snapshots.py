"""Snapshots in PostgreSQL: a base of merged pages, and above it what an open run has settled."""

from bisect import bisect_right
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import NamedTuple

from tailrace.core.entry_columns import EntryColumns
from tailrace.core.errors import LeaseLost
from tailrace.core.ids import SyncId
from tailrace.core.pages import pages, unpack
from tailrace.core.rows import RowKey
from tailrace.core.runs import Lease
from tailrace.core.snapshots import Entry
from tailrace.core.watermarks import Watermark
from tailrace.store.base_pages import INSERT, INSERT_ARGUMENTS, SETTLED, insertable, merge_some, promote_some
from tailrace.store.database import Connection, Database, Record, touched
from tailrace.store.page_layers import gone_of
from tailrace.store.shards import hold

_PAGES_PER_FETCH = 8
_PAGES_PER_LOOK = 32
SETTLING_ARGUMENTS = INSERT_ARGUMENTS
"""How many arguments `settling` takes."""

_AFTER = """
SELECT {0} FROM snapshot_pages
WHERE sync_id = $1 AND level = 0 AND ($2::text[] IS NULL OR last_key > $2) AND {1}
  AND first_key >= coalesce((
    SELECT first_key FROM snapshot_pages
    WHERE sync_id = $1 AND level = 0 AND first_key <= $2 ORDER BY first_key DESC LIMIT 1), '{{}}')
  AND ($4::text[] IS NULL OR first_key <= $4)
ORDER BY first_key LIMIT $3
"""
_BASE_AFTER = _AFTER.format("first_key, last_key, body, algorithm, above", "true")
_GONE_AFTER = _AFTER.format("first_key, last_key, gone, above", "gone > 0")
_BASE_OF_KEYS = """
SELECT DISTINCT pages.first_key, pages.body, pages.algorithm, pages.above FROM snapshot_pages AS pages
JOIN (SELECT ARRAY(SELECT jsonb_array_elements_text(parts)) AS key FROM jsonb_array_elements($2::jsonb) AS parts)
  AS wanted ON wanted.key COLLATE "C" BETWEEN pages.first_key AND pages.last_key
WHERE pages.sync_id = $1 AND pages.level = 0 ORDER BY pages.first_key
"""
# The runs of a sync follow one another, so the one before this one said last whom the pages speak of.
_TARGETS = """
  SELECT count(DISTINCT (definition -> 'destination_id', definition -> 'object_name',
    CASE WHEN definition ->> 'sync_mode' IN ('delete', 'append') THEN definition ->> 'sync_mode' ELSE '' END,
    jsonb_path_query_array(definition, '$.field_mappings[*] ? (@.key == true)'),
    CASE WHEN definition #>> '{{reading,type}}' = 'cursor' THEN definition #>> '{{reading,column}}' ELSE '' END,
    CASE WHEN definition #>> '{{reading,type}}' = 'cursor' AND definition ->> 'sync_mode' NOT IN ('insert', 'append')
      THEN jsonb_build_array(definition -> 'source_id', definition -> 'source_query', definition -> 'field_mappings')
    END)) AS number
  FROM sync_versions
  WHERE sync_id = $1 AND version IN ({0}, (SELECT version FROM snapshot_targets WHERE sync_id = $1))
"""
_COUNT_TARGETS = _TARGETS.format("$2")
_COUNT_TARGETS_OF_RUN = _TARGETS.format("(SELECT sync_version FROM runs WHERE id = $2)")
_FORGET_OTHER_TARGET = f"""
WITH targets AS ({_COUNT_TARGETS_OF_RUN}),
turned AS (UPDATE snapshot_targets SET watermark = NULL FROM targets WHERE sync_id = $1 AND targets.number > 1)
DELETE FROM snapshot_pages USING targets WHERE snapshot_pages.sync_id = $1 AND targets.number > 1
"""  # noqa: S608 - constants
_SPEAK_OF = """
INSERT INTO snapshot_targets (sync_id, version) SELECT $1, sync_version FROM runs WHERE id = $2
ON CONFLICT (sync_id) DO UPDATE SET version = excluded.version
"""
_OURS = """
  EXISTS (SELECT FROM run_shards WHERE run_id = $2 AND shard = $3 AND lease_token = $4 AND state = 'running')
"""
_IS_SPOKEN_OF = f"""
SELECT {_OURS} AS is_ours, EXISTS (
  SELECT FROM snapshot_targets JOIN runs ON runs.id = $2
  WHERE snapshot_targets.sync_id = $1 AND snapshot_targets.version = runs.sync_version) AS is_done
"""  # noqa: S608 - constants
_IS_MERGED = f"""
SELECT {_OURS} AS is_ours, NOT EXISTS (SELECT FROM snapshot_pages WHERE sync_id = $1 AND level = 1) AS is_done
"""  # noqa: S608 - constants
_PLACE = """
SELECT base_source, base_fence, base_writes, base_entries FROM snapshot_targets
WHERE sync_id = $1 AND base_source IS NOT NULL
"""
_WATERMARK = "SELECT watermark FROM snapshot_targets WHERE sync_id = $1"
_NOW = "SELECT clock_timestamp()"
_RAISE_WATERMARK = "UPDATE snapshot_targets SET watermark = greatest(watermark, $2) WHERE sync_id = $1"
_RESET_WATERMARK = "UPDATE snapshot_targets SET watermark = NULL WHERE sync_id = $1"
_FORGET_ALL = "DELETE FROM snapshot_pages WHERE sync_id = $1"
_FORGET_BEFORE = "DELETE FROM snapshot_pages WHERE sync_id = $1 AND level = 0 AND last_key < ARRAY[$2]"
_CENSUS = """
SELECT coalesce(sum(coalesce(delivered, entries)), 0)::bigint AS delivered, coalesce(sum(gone), 0)::bigint AS gone
FROM snapshot_pages WHERE sync_id = $1 AND level = 0
"""
_CUTS = """
SELECT DISTINCT ON (part) last_key, ceil(upto * $2::numeric / total) AS part FROM (
  SELECT last_key, sum(entries) OVER (ORDER BY first_key) AS upto, sum(entries) OVER () AS total
  FROM snapshot_pages WHERE sync_id = $1 AND level = 0) AS pages
ORDER BY part, upto DESC
"""
_SIZE = "SELECT coalesce(sum(entries), 0)::bigint FROM snapshot_pages WHERE sync_id = $1"


class Place(NamedTuple):
    """The source whose warehouse has the base, the fence that was given out last, and how the table stood by then."""

    source_id: str
    fence: int
    writes: int
    entries: int


class Snapshots:
    """The snapshots of all syncs, read by page and merged by page: memory stays flat at any size."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def place(self, sync_id: SyncId) -> Place | None:
        """Where the base is kept, if that is in a table of a warehouse."""
        row = await self._database.fetchrow(_PLACE, sync_id)
        return None if row is None else Place(*row)

    async def check(self, sync_id: SyncId) -> None:
        """Return if the base is as runs have left it; here it cannot be otherwise."""

    async def entries(
        self, sync_id: SyncId, *, after: RowKey | None = None, until: RowKey | None = None, gone: bool = False
    ) -> AsyncIterator[Sequence[Entry]]:
        """The base in key order behind a key and up to another; `gone` restricts it to gone entries.

        A page at a time, or the gone entries of several; holds no connection between pages.
        """
        position, end = (None if key is None else list(key) for key in (after, until))
        asked, at_once = (_GONE_AFTER, _PAGES_PER_LOOK) if gone else (_BASE_AFTER, _PAGES_PER_FETCH)
        while found := await self._database.fetch(asked, sync_id, position, at_once, end):
            if gone:
                asked_for: Iterable[EntryColumns] = [
                    _between(await gone_of(self._database, sync_id, found), after, until)
                ]
            else:
                asked_for = (_of_page(page, after, until) for page in found)
            for some in asked_for:
                if len(some):
                    yield some
            position = found[-1]["last_key"]

    async def entries_of(self, sync_id: SyncId, keys: Sequence[RowKey]) -> list[Entry]:
        """What the base knows of some keys, in key order."""
        wanted = set(keys)
        rows = await self._database.fetch(_BASE_OF_KEYS, sync_id, [list(key) for key in keys])
        known = (entry for row in rows for entry in _entries_of(row))
        return [entry for entry in known if entry.key in wanted]

    async def speaks_of(self, sync_id: SyncId, version: int) -> bool:
        """Whether a run of that version would keep what is known, rather than forget it as another target's."""
        return int(await self._database.fetchval(_COUNT_TARGETS, sync_id, version)) <= 1

    async def is_of_other_target(self, sync_id: SyncId, lease: Lease) -> bool:
        """Whether what is known says nothing of what a run does."""
        return int(await self._database.fetchval(_COUNT_TARGETS_OF_RUN, sync_id, lease.run_id)) > 1

    async def forget_other_target(self, lease: Lease, sync_id: SyncId) -> bool:
        """Forget what was delivered if it says nothing of what this run does: elsewhere, by another key, another way.

        By a cursor, all rows are new then; where rows are replaced, a new source, query or mapping does it too. Gives
        whether there was something to forget. To be called before the first checkpoint of a run.

        :raises LeaseLost: nothing was changed.
        """
        if await self._is_done(_IS_SPOKEN_OF, lease, sync_id):
            return False
        async with self._database.transaction() as connection:
            await hold(connection, lease)
            forgotten = await connection.execute(_FORGET_OTHER_TARGET, sync_id, lease.run_id)
            await connection.execute(_SPEAK_OF, sync_id, lease.run_id)
        return touched(forgotten) > 0

    async def merge(self, lease: Lease, sync_id: SyncId) -> None:
        """Merge all that runs have settled into the base, some pages a transaction; a crash leaves whole pages.

        Large pages of keys that the base does not have become pages of the base as they are.

        :raises LeaseLost: the sync's run belongs to another executor; what was merged stays right.
        """
        after: list[str] | None = None
        may_promote = True
        while not await self._is_done(_IS_MERGED, lease, sync_id):
            async with self._database.transaction() as connection:
                await hold(connection, lease)
                if may_promote:
                    after = await promote_some(connection, sync_id, after)
                    may_promote = after is not None
                if not may_promote:
                    await merge_some(connection, sync_id)

    async def _is_done(self, asked: str, lease: Lease, sync_id: SyncId) -> bool:
        """Whether there is nothing to do, as is told without a lock: only executors of the run change it.

        :raises LeaseLost: it is not ours.
        """
        told = await self._database.fetchrow(asked, sync_id, *lease.identity)
        if told is None or not told["is_ours"]:
            raise LeaseLost(f"run {lease.run_id} belongs to another executor")
        return bool(told["is_done"])

    async def census(self, sync_id: SyncId) -> tuple[int, int]:
        """How many entries of the base were delivered, and how many of those are gone from the query."""
        row = await self._database.fetchrow(_CENSUS, sync_id)
        return (0, 0) if row is None else (row["delivered"], row["gone"])

    async def cuts(self, sync_id: SyncId, parts: int) -> list[RowKey]:
        """The keys that end all parts but the last, where the base is cut into that many of about as many entries."""
        rows = await self._database.fetch(_CUTS, sync_id, parts)
        return [RowKey(tuple(row["last_key"])) for row in rows[:-1]]

    async def watermark(self, sync_id: SyncId) -> Watermark:
        """The cursor's value up to which all rows are settled."""
        looked_at = await self._database.fetchval(_NOW)
        return Watermark(await self._database.fetchval(_WATERMARK, sync_id), looked_at)

    async def begin_anew(self, lease: Lease, sync_id: SyncId, *, forget_rows: bool) -> None:
        """Have no watermark, and know no row if that is asked for too.

        :raises LeaseLost: nothing was changed.
        """
        async with self._database.transaction() as connection:
            await hold(connection, lease)
            await connection.execute(_RESET_WATERMARK, sync_id)
            if forget_rows:
                await connection.execute(_FORGET_ALL, sync_id)

    async def forget_before(self, lease: Lease, sync_id: SyncId, value: str) -> None:
        """Forget the pages of the base whose keys all begin with less than a value.

        :raises LeaseLost: nothing was changed.
        """
        async with self._database.transaction() as connection:
            await hold(connection, lease)
            await connection.execute(_FORGET_BEFORE, sync_id, value)

    async def size(self, sync_id: SyncId) -> int:
        """How many entries are held for a sync."""
        return int(await self._database.fetchval(_SIZE, sync_id))


def settling(of: str, *, first: int) -> str:
    """SQL that appends what a checkpoint settled if a query has a row that its statement names; see `settled`."""
    return INSERT.format(*range(first, first + SETTLING_ARGUMENTS), of=of)


def settled(sync_id: SyncId, entries: Sequence[Entry]) -> tuple[object, ...]:
    """Entries in key order as the arguments of `settling`."""
    return insertable(sync_id, SETTLED, list(pages(entries)))


async def raise_watermark(connection: Connection, sync_id: SyncId, value: str) -> None:
    """Move the watermark up to a value, in the caller's transaction; it never falls."""
    await connection.execute(_RAISE_WATERMARK, sync_id, value)


def _entries_of(page: Record) -> EntryColumns:
    return unpack(page["body"], page["algorithm"], page["above"])


def _of_page(page: Record, after: RowKey | None, until: RowKey | None) -> EntryColumns:
    """The entries behind a key and up to another; keys are looked at only of a page that holds one of these."""
    known = _entries_of(page)
    is_behind = after is None or tuple(page["first_key"]) > after
    is_before = until is None or tuple(page["last_key"]) <= until
    return known if is_behind and is_before else _between(known, after, until)


def _between(known: EntryColumns, after: RowKey | None, until: RowKey | None) -> EntryColumns:
    first = 0 if after is None else bisect_right(known.keys, after)
    end = len(known) if until is None else bisect_right(known.keys, until)
    return known[first:end] if first or end < len(known) else known
