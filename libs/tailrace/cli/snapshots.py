"""`tailrace snapshots`: what is known of a sync's rows, shown, taken out into a file and brought in from one."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from tailrace.cli.deeds import a_deed, record
from tailrace.cli.work import AsJson, answer, do, fail, open_store
from tailrace.core.errors import Invalid, Unavailable
from tailrace.runtime.settings import Settings
from tailrace.runtime.snapshot_tables import open_snapshots, open_table
from tailrace.store.connections import Connections
from tailrace.store.database import Database, Within
from tailrace.store.secrets import SecretBox
from tailrace.store.snapshot_files import SnapshotReader
from tailrace.store.snapshot_moves import SnapshotMoves
from tailrace.store.snapshot_transfers import Known, SnapshotTransfers
from tailrace.store.snapshots import Snapshots
from tailrace.store.syncs import Sync, Syncs

_LONGEST_S = 6 * 3600.0
_STANDARD = Path("-")


class _Place(StrEnum):
    WAREHOUSE = "warehouse"
    STORE = "store"


_SyncId = Annotated[str, typer.Argument(metavar="SYNC", help="Id of the sync.")]


def snapshots() -> typer.Typer:
    """The commands under `tailrace snapshots`."""
    command = typer.Typer(help="What is known of the rows that a sync delivered.", no_args_is_help=True)
    command.command("show")(_show)
    command.command("export")(_export)
    command.command("import")(_import)
    command.command("move")(_move)
    return command


def _show(sync_id: _SyncId, *, as_json: AsJson = False) -> None:
    """Print how much is known, and what it takes."""

    async def find(settings: Settings) -> Known:
        async with open_store(settings) as database:
            return await SnapshotTransfers(database).known(await _sync(database, sync_id))

    known = do(Settings, find)
    each = f", {known.size_bytes / known.entries:.1f} a row" if known.entries else ""
    here = [
        f"{known.entries} rows in {known.size_bytes} bytes{each}",
        f"{known.delivered} were delivered, {known.gone} of them have left the query",
    ]
    lines = [
        *(here if known.kept_by is None else [f"{known.entries} rows in the warehouse of source {known.kept_by}"]),
        "no run has read any yet"
        if known.version is None
        else f"known for version {known.version} of the sync"
        + ("" if known.is_of_use else "; the next run forgets it, for the sync writes elsewhere or otherwise by now"),
    ]
    lines += [f"imported at {known.imported_at:%Y-%m-%d %H:%M:%SZ}"] if known.imported_at else []
    lines += [f"run {known.active_run} is active"] if known.active_run else []
    answer(asdict(known), as_json=as_json, text="\n".join(lines))


def _export(
    sync_id: _SyncId,
    *,
    to: Annotated[Path, typer.Option(help="The file to write, or - for the standard output.")],
    as_json: AsJson = False,
) -> None:
    """Write what is known of each row into a file. It holds the keys of the rows: guard it as you guard them."""

    async def export(settings: Settings, file: BinaryIO) -> int:
        async with open_store(settings) as database:
            sync = await _sync(database, sync_id)
            box = settings.secret_box()
            # Told first: a file that broke off holds keys too.
            async with database.transaction() as connection:
                await record(connection, box, a_deed(sync.workspace_id, "exportSnapshot", sync.id, after={}))
            async with open_snapshots(database, Connections(database, box), sync.id) as snapshots:
                return await SnapshotTransfers(database).export(sync, file, snapshots)

    with _new_file(to) as file:
        entries = do(Settings, lambda settings: export(settings, file), longest_s=_LONGEST_S)
    if to != _STANDARD:
        answer({"entries": entries, "file": str(to)}, as_json=as_json, text=f"{entries} rows written to {to}")


def _import(
    sync_id: _SyncId,
    *,
    source: Annotated[Path, typer.Option("--from", help="The file to read, or - for the standard input.")],
    same_destination: Annotated[
        bool,
        typer.Option("--same-destination", help="The sync's destination is the file's, by another connection."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Replace what is known of a sync's rows by a file's content, all or nothing; the next run sends what differs."""

    async def bring_in(settings: Settings, file: BinaryIO) -> int:
        reader = SnapshotReader(file)
        async with open_store(settings) as database:
            sync = await _sync(database, sync_id)
            box = settings.secret_box()
            async with database.transaction() as connection:
                transfers = SnapshotTransfers(database)
                read = await transfers.bring_in(connection, sync, reader, same_destination=same_destination)
                after = {"entries": read, "from": reader.header.sync_id, "exported_at": reader.header.exported_at}
                await record(connection, box, a_deed(sync.workspace_id, "importSnapshot", sync.id, after=after))
            return read

    with _old_file(source) as file:
        entries = do(Settings, lambda settings: bring_in(settings, file), longest_s=_LONGEST_S)
    answer({"entries": entries}, as_json=as_json, text=f"{entries} rows are known; the next run sends what differs")


def _move(
    sync_id: _SyncId,
    *,
    to: Annotated[_Place, typer.Option(help="A table in the warehouse of the sync's source, or the state store.")],
    forget: Annotated[
        bool,
        typer.Option(
            "--forget", help="To the store, and know nothing: where the table is lost. All rows are sent again."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Change where what is known of a sync's rows is kept; no row is sent again for it."""
    if forget and to is not _Place.STORE:
        fail(Invalid("--forget goes with --to store"))

    async def move(settings: Settings) -> dict[str, object]:
        async with open_store(settings) as database:
            box = settings.secret_box()
            sync = await _sync(database, sync_id)
            if forget:
                return await _forget(database, box, sync)
            way = _to_warehouse if to is _Place.WAREHOUSE else _to_store
            return await way(database, box, sync)

    told = do(Settings, move, longest_s=_LONGEST_S)
    answer(told, as_json=as_json, text="; ".join(f"{name}: {value}" for name, value in told.items()))


async def _to_warehouse(database: Database, box: SecretBox, sync: Sync) -> dict[str, object]:
    moves = SnapshotMoves(database)
    async with open_table(Connections(database, box), sync.definition.source_id, sync.id) as table:
        copied = await moves.copy_to_table(sync, table)
    told = {"place": copied.source_id, "entries": copied.state.entries}
    async with database.transaction() as connection:
        await moves.end_in_table(connection, sync, copied)
        await record(connection, box, a_deed(sync.workspace_id, "moveSnapshot", sync.id, after=told))
    return told


async def _to_store(database: Database, box: SecretBox, sync: Sync) -> dict[str, object]:
    place = await Snapshots(database).place(sync.id)
    source_id = sync.definition.source_id if place is None else place.source_id
    async with open_table(Connections(database, box), source_id, sync.id) as table:
        async with database.transaction() as connection:
            entries = await SnapshotMoves(database).to_store(connection, sync, table)
            told = {"place": "store", "entries": entries}
            await record(connection, box, a_deed(sync.workspace_id, "moveSnapshot", sync.id, after=told))
        try:
            await table.drop()
        except (Invalid, Unavailable) as error:
            return told | {"table": f"it is left behind: {error.message}"}
    return told


async def _forget(database: Database, box: SecretBox, sync: Sync) -> dict[str, object]:
    async with database.transaction() as connection:
        told = {"place": "store", **await SnapshotMoves(database).forget(connection, sync)}
        await record(connection, box, a_deed(sync.workspace_id, "forgetSnapshot", sync.id, after=told))
    return told


async def _sync(database: Database, sync_id: str) -> Sync:
    async with database.connection() as connection:
        syncs = Syncs(Within(connection))
        return await syncs.get(await syncs.workspace_of(connection, sync_id), sync_id)


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """A file for its owner alone, there under its name once it is whole."""
    if path == _STANDARD:
        yield sys.stdout.buffer
        return
    partial = path.with_name(f"{path.name}.part")
    if path.exists():
        fail(Invalid(f"{path} is there already: choose another name"))
    try:
        file = os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except OSError as error:
        fail(Invalid(f"{partial} cannot be written: {error.strerror}"))
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    except OSError as error:
        fail(Invalid(f"{partial} cannot be written: {error.strerror}"))
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _old_file(path: Path) -> Iterator[BinaryIO]:
    if path == _STANDARD:
        yield sys.stdin.buffer
        return
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        fail(Invalid(f"{path} cannot be read: {error.strerror}"))
