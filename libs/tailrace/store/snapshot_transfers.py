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
from tailrace.store.standings import Standings
from tailrace.store.syncs import Sync

_LONGEST_S = 3600.0
_STALL_MS = 300_000

_KNOWN = """
SELECT targets.version, versions.definition, targets.watermark, targets.imported_at, now() AS began_at,
  connections.connector,
  (SELECT id FROM runs WHERE sync_id = $1 AND status IN ('queued', 'running', 'cancelling')) AS active_run
FROM snapshot_targets AS targets
JOIN sync_versions AS versions ON versions.sync_id = targets.sync_id AND versions.version = targets.version
JOIN connections ON connections.id = versions.definition ->> 'destination_id'
WHERE targets.sync_id = $1
"""
_SIZES = """
SELECT coalesce(sum(entries), 0)::bigint AS entries, coalesce(sum(length(body)), 0)::bigint AS size_bytes,
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
INSERT INTO snapshot_targets (sync_id, version, watermark, imported_at) VALUES ($1, $2, $3, clock_timestamp())
ON CONFLICT (sync_id) DO UPDATE
SET version = excluded.version, watermark = excluded.watermark, imported_at = excluded.imported_at
"""


@dataclass(frozen=True, slots=True)
class Known:
    """How much is known of a sync's rows; with a run that was broken off, a row may be counted twice.

    `version` is that of the sync that ran last, or that it was imported for, None before either. `is_of_use` unless the
    next run forgets all of it, because the sync writes elsewhere or otherwise by now.
    """

    entries: int
    delivered: int
    gone: int
    size_bytes: int
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
        return Known(
            **dict(await self._database.fetchrow(_SIZES, sync.id) or {}),
            version=found.get("version"),
            is_of_use=await Standings(self._database).speaks_of(sync.id, sync.version),
            watermark=found.get("watermark"),
            imported_at=found.get("imported_at"),
            active_run=found.get("active_run"),
        )

    async def export(self, sync: Sync, file: BinaryIO) -> int:
        """Write all that is known into a file, as it was at one moment; gives the number of entries.

        While a run is active, that is what its checkpoints have settled: what it has in flight is not in the file.

        :raises NotFound: `NOTHING_KNOWN`: no run has got that far.
        """
        async with (
            self._database.connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            await connection.fetchval(_STALL, str(_STALL_MS))
            header = await _header(connection, sync)
            writer = SnapshotWriter(file, header)
            async for some in Standings(Within(connection)).entries(sync.id, header.sync_version):
                writer.add(some)
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
        await _refuse_runs(connection, sync.id, reader.header.exported_at)
        await connection.fetchval(_STALL, str(_STALL_MS))
        await connection.execute(_MAKE_INCOMING)
        entries = 0
        for some in reader.entries(key_parts=_key_parts(sync.definition)):
            await _keep(connection, sync.id, some)
            entries += len(some)
        if await connection.fetchval(_LOCK, sync.workspace_id, sync.id) != sync.version:
            raise Conflict("the sync was changed or deleted meanwhile: import again", code="STALE")
        await _refuse_runs(connection, sync.id, reader.header.exported_at)
        await connection.execute(_FORGET, sync.id, timeout=_LONGEST_S)
        await connection.execute(_TAKE_IN, timeout=_LONGEST_S)
        await connection.execute(_SPEAK_OF, sync.id, sync.version, reader.header.watermark)
        return entries


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


async def _refuse_runs(connection: Connection, sync_id: SyncId, exported_at: datetime) -> None:
    run = await connection.fetchrow(_IN_THE_WAY, sync_id, exported_at)
    if run is None:
        return
    if run["is_active"]:
        told = f"run {run['id']} of the sync is active: pause the sync, let the run end or cancel it, and import again"
        raise Conflict(told, code="RUN_ACTIVE", existing_id=run["id"])
    told = f"run {run['id']} of the sync has ended since the file was written: the destination is ahead of the file"
    raise Conflict(told, code="SNAPSHOT_STALE", existing_id=run["id"])


async def _keep(connection: Connection, sync_id: SyncId, entries: Sequence[Entry]) -> None:
    records = [
        (
            *(sync_id, 0, page.first_key, page.last_key, page.entries, page.delivered, page.gone),
            *(page.has_tombstones, page.algorithm, page.body),
        )
        for page in pages(entries)
    ]
    await connection.copy_records_to_table("incoming_pages", records=records, columns=_COLUMNS)


def _key_parts(definition: SyncDefinition) -> int:
    return len(definition.key_columns) + (definition.cursor is not None)


def _nothing() -> NotFound:
    return NotFound("nothing is known of the rows of this sync: no run of it has read any", code="NOTHING_KNOWN")
