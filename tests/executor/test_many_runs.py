"""Many runs in a row over a table that changes in all ways: each sends what changed, and nothing else."""

from dataclasses import dataclass, field
from random import Random

import asyncpg
import pytest

from tailrace.core.readings import AnyReading
from tailrace.core.runs import RunStatus
from tailrace.core.syncs import SyncMode
from tailrace.runtime.service import Chassis
from tailrace.store.connections import ConnectionDraft
from tests.executor.modes import SNAPSHOT, VERSION
from tests.executor.yard import Yard, definition_of, make_sync

_PREPARE = """
ALTER TABLE people ADD at int;
ALTER TABLE people ADD PRIMARY KEY (id);
CREATE TABLE contacts (id int PRIMARY KEY, email text)
"""
_PUT = """
INSERT INTO people SELECT id, email, at FROM unnest($1::int[], $2::text[], $3::int[]) AS row (id, email, at)
ON CONFLICT (id) DO UPDATE SET email = excluded.email, at = excluded.at
"""
_REMOVE = "DELETE FROM people WHERE id = ANY ($1::int[])"

Row = tuple[str, int]


@dataclass
class Table:
    """What the people are, and how they change; `at` changes with every row that does."""

    warehouse: "asyncpg.Connection[asyncpg.Record]"
    chance: Random
    most: int
    people: dict[int, Row] = field(default_factory=dict)
    moment: int = 0

    async def change(self) -> tuple[int, int]:
        """Change some, touch some, add some, remove some; gives how many are to be sent, and how many deleted."""
        self.moment += 1
        part = self.chance.choice([0, 0.0005, 0.002, 0.02, 0.2, 0.6])
        before = self.people
        touched = {key: (email, self.moment) for key, (email, _) in self._some(part / 2)}
        changed = {key: (f"{self.moment}@{key}", self.moment) for key, _ in self._some(part)}
        near = self.chance.randrange(self.most)
        added = range(near, min(self.most, near + int(self.chance.choice([0, part, 0.1]) * self.most)))
        put = touched | changed | {key: (f"new@{key}", self.moment) for key in added if key not in before}
        removed = {key for key, _ in self._some(self.chance.choice([0, part / 5]))} - put.keys()
        await self.put(put)
        await self.warehouse.execute(_REMOVE, list(removed))
        self.people = {key: row for key, row in (before | put).items() if key not in removed}
        sent = sum(key not in before or before[key][0] != email for key, (email, _) in put.items())
        return sent, len(removed)

    async def put(self, rows: dict[int, Row]) -> None:
        """Write rows down."""
        emails, moments = [row[0] for row in rows.values()], [row[1] for row in rows.values()]
        await self.warehouse.execute(_PUT, list(rows), emails, moments)
        await self.warehouse.execute("ANALYZE people")

    def _some(self, part: float) -> list[tuple[int, Row]]:
        return self.chance.sample(sorted(self.people.items()), int(part * len(self.people)))


@pytest.mark.parametrize(
    ("reading", "rows", "runs", "seed"),
    [
        (SNAPSHOT, 4000, 14, 1),
        (SNAPSHOT, 4000, 14, 2),
        (VERSION, 4000, 14, 3),
        (SNAPSHOT, 70_000, 6, 4),
        (VERSION, 70_000, 8, 5),
    ],
    ids=lambda given: getattr(given, "type", str(given)),
)
async def test_every_run_sends_what_changed_and_nothing_else(  # noqa: PLR0917 - three fixtures, four parameters
    chassis: Chassis,
    warehouse: "asyncpg.Connection[asyncpg.Record]",
    empty_database_url: str,
    reading: AnyReading,
    rows: int,
    runs: int,
    seed: int,
) -> None:
    await warehouse.execute(_PREPARE)
    yard = await mirrored(chassis, warehouse, empty_database_url, reading)
    table = Table(warehouse, Random(seed), rows * 5 // 4)
    table.people = {key: (f"first@{key}", 0) for key in range(table.most) if key % 5}
    await table.put(table.people)
    await yard.run()

    for _ in range(runs):
        sent, deleted = await table.change()
        run = await yard.run()

        assert (run.status, run.error_message) == (RunStatus.SUCCEEDED, None)
        assert (run.books.delivered, run.books.deleted, run.books.balance) == (sent, deleted, True)
        found = await warehouse.fetch("SELECT id, email FROM contacts")
        assert {row["id"]: row["email"] for row in found} == {key: email for key, (email, _) in table.people.items()}


async def mirrored(
    chassis: Chassis, warehouse: "asyncpg.Connection[asyncpg.Record]", url: str, reading: AnyReading
) -> Yard:
    """Contacts that mirror the people, in one database."""
    source = ConnectionDraft("warehouse", {"url": "***", "allow_superuser": True}, {"/url": url})
    target = ConnectionDraft("app", {"url": "***", "rows_per_batch": 500}, {"/url": url})
    definition = definition_of("SELECT id, email, at FROM people", ("id", "email")).model_copy(
        update={
            "object_name": "public.contacts",
            "sync_mode": SyncMode.MIRROR,
            "reading": reading,
            "max_delete_ratio": 1.0,
        }
    )
    sync = await make_sync(chassis, source, target, definition, ("postgres", "postgres"))
    return Yard(chassis, warehouse, sync)
