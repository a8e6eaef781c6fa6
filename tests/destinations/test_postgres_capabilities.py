"""What PostgreSQL can do besides: rehearse writes, and make columns."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tailrace.connector_kit.capabilities import NewField
from tailrace.connector_kit.field_kinds import FieldKind
from tailrace.core.rows import Operation, Verdict
from tailrace.testing.capability_contract import NewFieldsContract, RehearsalContract, makes_fields, rehearse
from tailrace.testing.destination_contract import person
from tests.destinations.postgres_rig import PostgresRig, opened_rig


@pytest_asyncio.fixture
async def rig(empty_database_url: str) -> AsyncIterator[PostgresRig]:
    async with opened_rig(empty_database_url) as opened:
        yield opened


class TestPostgresRehearsal(RehearsalContract):
    pass


class TestPostgresNewFields(NewFieldsContract):
    pass


async def test_rehearsal_notices_what_only_the_end_of_a_transaction_would(rig: PostgresRig) -> None:
    await rig.admin.execute("""
        CREATE TABLE teams (id text PRIMARY KEY);
        ALTER TABLE people ADD FOREIGN KEY (name) REFERENCES teams DEFERRABLE INITIALLY DEFERRED
    """)

    [outcome] = await rehearse(rig, Operation.UPSERT, person("1", "nowhere"))

    assert (outcome.verdict, outcome.code) == (Verdict.REJECTED, "FOREIGN_KEY_VIOLATION")
    assert await rig.people() == {}


async def test_column_is_made_for_its_kind(rig: PostgresRig) -> None:
    destination = makes_fields(rig)

    made = [await destination.ensure_field("public.people", NewField(f"a_{kind}", "", kind)) for kind in FieldKind]

    assert [field.data_type for field in made] == [
        "text",
        "bigint",
        "numeric",
        "boolean",
        "date",
        "time without time zone",
        "timestamp with time zone",
        "jsonb",
        "jsonb",
        "text",
    ]
