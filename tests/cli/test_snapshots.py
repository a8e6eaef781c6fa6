"""What is known of a sync's rows, on the command line."""

import gzip
import json
import stat
from dataclasses import dataclass
from pathlib import Path

import pytest_asyncio

from tailrace.core.ids import SyncId
from tailrace.core.rows import RowHash, RowKey
from tailrace.core.snapshots import Entry
from tailrace.core.syncs import FieldMapping, ManualSchedule, SyncDefinition, SyncMode
from tailrace.store.connections import ConnectionDraft, ConnectionKind, Connections
from tailrace.store.database import Database
from tailrace.store.secrets import SecretBox
from tailrace.store.syncs import NewSync, Syncs
from tailrace.store.workspaces import Workspaces
from tests.cli.commands import Ended, tailrace
from tests.runtime.processes import SECRET_KEY, environment
from tests.store.conftest import add_settled

SPEAK_OF = "INSERT INTO snapshot_targets (sync_id, version) VALUES ($1, 1)"
DEEDS = "SELECT actor LIKE 'cli:%' AS is_cli, action, object_id, after FROM audit_waiting ORDER BY id"


@dataclass(frozen=True)
class Shelf:
    """A sync of which three rows are known, and one to the same object of which nothing is."""

    database_url: str
    known: SyncId
    new: SyncId

    async def run(self, *arguments: str) -> Ended:
        return await tailrace("snapshots", *arguments, environment=environment(self.database_url))


@pytest_asyncio.fixture
async def shelf(database_url: str) -> Shelf:
    async with Database.open(database_url, application_name="test") as database:
        workspace = (await Workspaces(database).create("Acme")).id
        connections = Connections(database, SecretBox.from_setting(SECRET_KEY))
        draft = ConnectionDraft("c", {"url": "https://api.example.com"}, {})
        source = await connections.create(workspace, ConnectionKind.SOURCE, "postgres", draft)
        definition = SyncDefinition(
            source_id=source.id,
            source_query="SELECT id FROM people",
            destination_id=(await connections.create(workspace, ConnectionKind.DESTINATION, "http", draft)).id,
            object_name="people",
            field_mappings=(FieldMapping(source="id", destination="id", key=True),),
            sync_mode=SyncMode.UPSERT,
        )
        syncs = [await Syncs(database).create(NewSync(workspace, "s", definition, ManualSchedule())) for _ in range(2)]
        await database.execute(SPEAK_OF, syncs[0].id)
        entries = [Entry(RowKey((key,)), RowHash(key.encode().ljust(8))) for key in "123"]
        await add_settled(database, syncs[0].id, entries)
    return Shelf(database_url, syncs[0].id, syncs[1].id)


async def test_rows_move_by_a_file_and_both_ways_are_told_in_the_audit(shelf: Shelf, tmp_path: Path) -> None:
    file = tmp_path / "people.jsonl.gz"

    written = await shelf.run("export", shelf.known, "--to", str(file))
    read = await shelf.run("import", shelf.new, "--from", str(file))
    shown = await shelf.run("show", shelf.new, "--json")

    assert (written.code, written.stdout) == (0, f"3 rows written to {file}\n")
    assert (read.code, read.stdout) == (0, "3 rows are known; the next run sends what differs\n")
    assert (shown.json()["entries"], shown.json()["imported_at"] is None) == (3, False)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    async with Database.open(shelf.database_url, application_name="test") as database:
        told = await database.fetch(DEEDS)
    assert [tuple(row)[:3] for row in told] == [
        (True, "exportSnapshot", shelf.known),
        (True, "importSnapshot", shelf.new),
    ]
    assert (json.loads(told[1]["after"])["entries"], json.loads(told[1]["after"])["from"]) == (3, shelf.known)


async def test_file_is_for_its_owner_and_can_be_looked_at(shelf: Shelf, tmp_path: Path) -> None:
    file = tmp_path / "people.jsonl.gz"

    await shelf.run("export", shelf.known, "--to", str(file))

    lines = [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (lines[0]["sync_id"], lines[0]["target"]["object_name"], lines[-1]) == (
        shelf.known,
        "people",
        {"entries": 3},
    )
    assert [line["key"] for line in lines[1:-1]] == [["1"], ["2"], ["3"]]


async def test_file_that_is_there_stays_as_it_is(shelf: Shelf, tmp_path: Path) -> None:
    file = tmp_path / "people.jsonl.gz"
    file.write_text("mine")

    refused = await shelf.run("export", shelf.known, "--to", str(file))

    assert (refused.code, refused.stderr) == (2, f"tailrace: {file} is there already: choose another name\n")
    assert file.read_text() == "mine"


async def test_refusals_leave_no_file_and_say_what_is_wrong(shelf: Shelf, tmp_path: Path) -> None:
    file, none = tmp_path / "people.jsonl.gz", tmp_path / "none.jsonl.gz"
    (tmp_path / "other.txt").write_text("no snapshot")

    nothing = await shelf.run("export", shelf.new, "--to", str(file))
    missing = await shelf.run("import", shelf.new, "--from", str(none))
    other = await shelf.run("import", shelf.new, "--from", str(tmp_path / "other.txt"))

    assert (nothing.code, [path.name for path in tmp_path.iterdir()]) == (1, ["other.txt"])
    assert nothing.stderr.startswith("tailrace: nothing is known of the rows of this sync")
    assert (missing.code, missing.stderr) == (2, f"tailrace: {none} cannot be read: No such file or directory\n")
    assert (other.code, "it is not gzip" in other.stderr) == (2, True)
