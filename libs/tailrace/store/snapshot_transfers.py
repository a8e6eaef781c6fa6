"""What is known of a sync's rows, taken out into a file and brought in from one: to move a sync, or to look."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO

from tailrace.core.errors import Conflict, Invalid, NotFound
from tailrace.core.ids import SyncId
from tailrace.core.pages import pages
from tailrace.core.snapshots import Entry
from tailrace.core.syncs import SyncDefinition
from tailrace.store.database import Connection, Database, Within
from tailrace.store.snapshot_files import Header, SnapshotReader, SnapshotWriter, Target, target_of
from tailrace.store.snapshots import Snapshots
from tailrace.store.standings import Standings
from tailrace.store.syncs import Sync
from tailrace.store.tabled_snapshots import TabledSnapshots

_LONGEST_S = 3600.0
_STALL_MS = 300_000

_KNOWN = """
SELECT targets.version, versions.definition, targets.watermark, targets.imported_at, now() AS began_at,
  targets.base_source, targets.base_entries,
  connections.connector,
  (SELECT id FROM runs WHERE sync_id = $1 AND status IN ('queued', 'running', 'cancelling')) AS active_run
FROM snapshot_targets AS targets
JOIN sync_versions AS versions ON versions.sync_id = targets.sync_id AND versions.version = targets.version
JOIN connections ON connections.id = versions.definition ->> 'destination_id'
WHERE targets.sync_id = $1
"""
_SIZES = """
SELECT coalesce(sum(entries), 0)::bigint AS entries,
  coalesce(sum(length(body) + coalesce(length(above), 0)), 0)::bigint AS size_bytes,
  coalesce(sum(coalesce(delivered, entries)), 0)::bigint AS delivered, coalesce(sum(gone), 0)::bigint AS gone
FROM snapshot_pages WHERE sync_id = $1
"""
_CONNECTOR = "SELECT connector FROM connections WHERE id = $1"
_STALL = "SELECT set_config('idle_in_transaction_session_timeout', $1, true)"
_MAKE_INCOMING = "CREATE TEMPORARY TABLE incoming_pages (LIKE snapshot_pages INCLUDING STORAGE) ON COMMIT DROP"
_COLUMNS = (
    *("sync_id", "level", "first_key", "last_key", "entries", "delivered", "gone", "has_tombstones", "algorithm"),
    "body",
)
# No run starts while the sync is locked so: a start refers to it, and waits.
_LOCK = "SELECT version FROM syncs WHERE workspace_id = $1 AND id = $2 AND deleted_at IS NULL FOR UPDATE"
_IN_THE_WAY = """
SELECT id, finished_at IS NULL AS is_active FROM runs
WHERE sync_id = $1 AND (status IN ('queued', 'running', 'cancelling')
  OR (started_at IS NOT NULL AND finished_at >= $2))
ORDER BY queued_at DESC LIMIT 1
"""
_FORGET = "DELETE FROM snapshot_pages WHERE sync_id = $1"
_TAKE_IN = f"INSERT INTO snapshot_pages ({', '.join(_COLUMNS)}) SELECT {', '.join(_COLUMNS)} FROM incoming_pages"  # noqa: S608 - names of our own
_SPEAK_OF = """
INSERT INTO snapshot_targets AS known (sync_id, version, watermark, imported_at)
VALUES ($1, $2, $3, clock_timestamp())
ON CONFLICT (sync_id) DO UPDATE SET version = excluded.version, watermark = excluded.watermark,
  imported_at = excluded.imported_at, base_source = NULL, base_fence = known.base_fence + 1
"""


@dataclass(frozen=True, slots=True)
class Known:
    """How much is known of a sync's rows; with a run that was broken off, a row may be counted twice.

    `kept_by` is the source whose warehouse has a table of it; then only the entries are counted, and `size_bytes` are
    those of what runs have settled since they wrote there last. None: all of it is here.
    `version` is that of the sync that ran last, or that it was imported for, None before either. `is_of_use` unless the
    next run forgets all of it, because the sync writes elsewhere or otherwise by now.
    """

    entries: int
    delivered: int | None
    gone: int | None
    size_bytes: int
    kept_by: str | None
    version: int | None
    is_of_use: bool
    watermark: str | None
    imported_at: datetime | None
    active_run: str | None


class SnapshotTransfers:
    """The snapshots of all syncs as files."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def known(self, sync: Sync) -> Known:
        """How much is known."""
        found = dict(await self._database.fetchrow(_KNOWN, sync.id) or {})
        sizes = dict(await self._database.fetchrow(_SIZES, sync.id) or {})
        if found.get("base_source") is not None:
            sizes |= {"entries": sizes["entries"] + found["base_entries"], "delivered": None, "gone": None}
        return Known(
            **sizes,
            kept_by=found.get("base_source"),
            version=found.get("version"),
            is_of_use=await Standings(self._database).speaks_of(sync.id, sync.version),
            watermark=found.get("watermark"),
            imported_at=found.get("imported_at"),
            active_run=found.get("active_run"),
        )

    async def export(self, sync: Sync, file: BinaryIO, base: Snapshots | None = None) -> int:
        """Write all that is known into a file, as it was at one moment; gives the number of entries.

        While a run is active, that is what its checkpoints have settled: what it has in flight is not in the file. A
        `base` is needed where it is kept in a table of a warehouse; then no run may be active.

        :raises NotFound: `NOTHING_KNOWN`: no run has got that far.
        :raises Conflict: `RUN_ACTIVE`, `SNAPSHOT_STALE`: a run may have changed the table meanwhile.
        """
        async with (
            self._database.connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            await connection.fetchval(_STALL, str(_STALL_MS))
            header = await _header(connection, sync)
            writer = SnapshotWriter(file, header)
            table = await _table_of(connection, sync.id, base)
            async for some in Standings(Within(connection), table).entries(sync.id, header.sync_version):
                writer.add(some)
        if table is not None:
            async with self._database.connection() as connection:
                await refuse_runs(connection, sync.id, header.exported_at)
        writer.close()
        return writer.entries

    async def bring_in(
        self, connection: Connection, sync: Sync, reader: SnapshotReader, *, same_destination: bool = False
    ) -> int:
        """Replace what is known by what a file holds, in the caller's transaction; gives the number of entries.

        Starts of the sync wait only while pages change places at the end. `same_destination`: another connection of
        the same connector leads to where the file's rows were delivered, on the caller's word.

        :raises Invalid: the file is broken, or speaks of another target than the sync's.
        :raises Conflict: a run is active, or has been since the file was written, or the sync was changed meanwhile.
        """
        connector = await connection.fetchval(_CONNECTOR, sync.definition.destination_id)
        _require_target(reader.header.target, target_of(sync.definition, connector), same_destination=same_destination)
        await refuse_runs(connection, sync.id, reader.header.exported_at)
        await make_incoming(connection)
        entries = 0
        for some in reader.entries(key_parts=_key_parts(sync.definition)):
            await keep(connection, sync.id, some)
            entries += len(some)
        await lock(connection, sync, since=reader.header.exported_at)
        await change_pages(connection, sync.id)
        await connection.execute(_SPEAK_OF, sync.id, sync.version, reader.header.watermark)
        return entries


async def make_incoming(connection: Connection) -> None:
    """Begin a long transaction in which pages may be kept that are to take the place of others."""
    await connection.fetchval(_STALL, str(_STALL_MS))
    await connection.execute(_MAKE_INCOMING)


async def keep(connection: Connection, sync_id: SyncId, entries: Sequence[Entry]) -> None:
    """Keep entries that stand behind those kept before."""
    records = [
        (
            *(sync_id, 0, page.first_key, page.last_key, page.entries, page.delivered, page.gone),
            *(page.has_tombstones, page.algorithm, page.body),
        )
        for page in pages(entries)
    ]
    await connection.copy_records_to_table("incoming_pages", records=records, columns=_COLUMNS)


async def lock(connection: Connection, sync: Sync, *, since: datetime) -> None:
    """Have no run of a sync start until the transaction ends.

    :raises Conflict: a run is active, or has been since then, or the sync was changed meanwhile.
    """
    if await connection.fetchval(_LOCK, sync.workspace_id, sync.id) != sync.version:
        raise Conflict("the sync was changed or deleted meanwhile: do this again", code="STALE")
    await refuse_runs(connection, sync.id, since)


async def change_pages(connection: Connection, sync_id: SyncId) -> None:
    """Put the pages that were kept in place of all others of a sync that is locked."""
    await connection.execute(_FORGET, sync_id, timeout=_LONGEST_S)
    await connection.execute(_TAKE_IN, timeout=_LONGEST_S)


async def refuse_runs(connection: Connection, sync_id: SyncId, since: datetime) -> None:
    """Return if no run is active, nor has been since then.

    :raises Conflict: `RUN_ACTIVE`, `SNAPSHOT_STALE`.
    """
    run = await connection.fetchrow(_IN_THE_WAY, sync_id, since)
    if run is None:
        return
    if run["is_active"]:
        told = f"run {run['id']} of the sync is active: pause the sync, let the run end or cancel it, and do this again"
        raise Conflict(told, code="RUN_ACTIVE", existing_id=run["id"])
    told = f"run {run['id']} of the sync has ended meanwhile: the destination is ahead of the file or table"
    raise Conflict(told, code="SNAPSHOT_STALE", existing_id=run["id"])


async def _table_of(connection: Connection, sync_id: SyncId, base: Snapshots | None) -> TabledSnapshots | None:
    """The base, where it is in a table and that is as it was left; None where all is here."""
    if await Snapshots(Within(connection)).place(sync_id) is None:
        return None
    if not isinstance(base, TabledSnapshots):
        raise Invalid("what is known is kept in a warehouse: open its table to export it", code="SNAPSHOT_PLACE")
    await base.check(sync_id)
    return base


async def _header(connection: Connection, sync: Sync) -> Header:
    found = await connection.fetchrow(_KNOWN, sync.id)
    if found is None:
        raise _nothing()
    definition = SyncDefinition.model_validate(found["definition"])
    return Header(
        exported_at=found["began_at"],
        sync_id=sync.id,
        sync_name=sync.name,
        sync_version=found["version"],
        active_run=found["active_run"],
        watermark=found["watermark"],
        target=target_of(definition, found["connector"]),
    )


def _require_target(file: Target, own: Target, *, same_destination: bool) -> None:
    if own.way == "append":
        raise Invalid("a sync that appends keeps nothing of its rows", code="SNAPSHOT_TARGET")
    left_out = {"destination_id"} if same_destination else set()
    told = ((name, getattr(file, name), getattr(own, name)) for name in Target.model_fields if name not in left_out)
    others = [_told(name, theirs, ours) for name, theirs, ours in told if theirs != ours]
    if others:
        raise Invalid(f"the file speaks of another target than the sync's: {'; '.join(others)}", code="SNAPSHOT_TARGET")


def _told(name: str, theirs: Any, ours: Any) -> str:  # noqa: ANN401 - values of any field
    match name:
        case "destination_id":
            how = "if both lead to the same account, say so by --same-destination"
            return f"its destination is {theirs}, the sync's is {ours} ({how})"
        case "key":
            keys = (", ".join(f"{each.source} as {each.destination}" for each in some) for some in (theirs, ours))
            return "its key is {}, the sync's is {}".format(*keys)
        case "basis":
            return "a cursor reads it, and query or mappings are others"
    return f"its {name.replace('_', ' ')} is {theirs}, the sync's is {ours}"


def _key_parts(definition: SyncDefinition) -> int:
    return len(definition.key_columns) + (definition.cursor is not None)


def _nothing() -> NotFound:
    return NotFound("nothing is known of the rows of this sync: no run of it has read any", code="NOTHING_KNOWN")
