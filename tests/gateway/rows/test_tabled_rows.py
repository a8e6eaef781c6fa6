"""Rows of a sync are looked at where they are known: in a table of the warehouse."""

import pytest_asyncio

from tests.executor.tabled import to_warehouse
from tests.executor.yard import Yard
from tests.gateway.caller import Caller

NAME_SCHEMA = """UPDATE connections SET settings = settings || '{"snapshot_schema": "kept"}' WHERE kind = 'source'"""


@pytest_asyncio.fixture
async def tabled(yard: Yard) -> Yard:
    """Three rows that were delivered, known in the warehouse alone."""
    await yard.warehouse.execute("CREATE SCHEMA kept")
    await yard.chassis.database.execute(NAME_SCHEMA)
    await yard.add_people(1, 3)
    await yard.run()
    await to_warehouse(yard)
    return yard


async def test_row_is_found_and_compared_by_the_table(editor: Caller, tabled: Yard) -> None:
    await tabled.warehouse.execute("UPDATE people SET email = 'new' WHERE id = 2")

    same = await editor.get(f"/api/syncs/{tabled.sync.id}/row?key=1&compare=true")
    other = await editor.get(f"/api/syncs/{tabled.sync.id}/row?key=2&compare=true")

    assert [found.attributes["source"]["comparison"] for found in (same, other)] == ["same", "different"]


async def test_plan_counts_by_the_table(editor: Caller, tabled: Yard) -> None:
    await tabled.add_people(4, 4)

    planned = await editor.post(f"/api/syncs/{tabled.sync.id}/plan", {})

    changes = planned.attributes["changes"]
    assert (planned.status, changes["added"], changes["unchanged"]) == (200, 1, 3)


async def test_snapshot_tells_which_source_keeps_it(editor: Caller, tabled: Yard) -> None:
    shown = await editor.get(f"/api/syncs/{tabled.sync.id}/snapshot")

    told = shown.attributes
    assert (told["rows"], told["kept_by"]) == (3, tabled.sync.definition.source_id)
    assert (told["delivered"], told["leaving"], told["kept"]) == (None, None, True)


async def test_table_that_is_lost_is_told_to_whoever_looks_for_a_row(editor: Caller, tabled: Yard) -> None:
    await tabled.warehouse.execute(f'DROP TABLE kept."{tabled.sync.id}"')

    found = await editor.get(f"/api/syncs/{tabled.sync.id}/row?key=1")

    assert (found.status, "not as it was left" in found.raw.decode()) == (422, True)
