"""Rows of a file whose keys hold NUL, which no PostgreSQL can keep."""

from pathlib import Path

import duckdb
import pytest

from tailrace.core.runs import RunStatus
from tailrace.core.syncs import SyncDefinition, SyncMode
from tailrace.runtime.service import Chassis
from tailrace.store.connections import ConnectionDraft
from tailrace.warehouses.duckdb import LOCAL_FILES
from tests.executor.sink import Sink
from tests.executor.yard import Yard, definition_of, make_sync

PEOPLE = [("a\0b", "x"), ("c", "y\0"), ("d\0", "z")]


async def sync_of(chassis: Chassis, folder: Path, sink: Sink, mode: SyncMode) -> Yard:
    with duckdb.connect(folder / "crm.duckdb") as connection:
        connection.execute("CREATE TABLE people (id VARCHAR, email VARCHAR)")
        connection.executemany("INSERT INTO people VALUES (?, ?)", PEOPLE)
    definition = definition_of("SELECT id, email FROM people", ("id", "email")).model_dump() | {"sync_mode": mode}
    source = ConnectionDraft("file", {"database": "crm.duckdb"}, {})
    target = ConnectionDraft("sink", {"url": sink.url, "rows_per_batch": 10, "requires_results": True}, {})
    whole = SyncDefinition.model_validate(definition)
    # No warehouse is written to: the file is what it is.
    return Yard(chassis, None, await make_sync(chassis, source, target, whole, ("duckdb", "http")))  # type: ignore[arg-type]  # as above


@pytest.mark.parametrize("mode", [SyncMode.UPSERT, SyncMode.MIRROR, SyncMode.APPEND])
async def test_row_with_nul_in_its_key_is_a_letter_and_the_others_go(
    chassis: Chassis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sink: Sink, mode: SyncMode
) -> None:
    monkeypatch.setenv(LOCAL_FILES, str(tmp_path))
    yard = await sync_of(chassis, tmp_path, sink, mode)

    first, second = await yard.run(), await yard.run()

    letters = await chassis.database.fetch("SELECT record_keys FROM dead_letters ORDER BY record_keys")
    keys = [letter["record_keys"] for letter in letters]
    assert (first.status, second.status) == (RunStatus.SUCCEEDED, RunStatus.SUCCEEDED)
    assert first.books.reasons["rejected.NUL_IN_KEY"] == second.books.reasons["rejected.NUL_IN_KEY"] == 2
    assert sink.rows[0] == {"id": "c", "email": "y\0"}
    assert keys == [{"id": "a\ufffdb"}, {"id": "d\ufffd"}]
