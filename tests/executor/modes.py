"""A table of people kept in step with a table of contacts in each mode, and what the contacts have to be in the end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from tailrace.core.ids import RunId
from tailrace.core.readings import AnyReading, CursorReading, SnapshotReading, VersionReading
from tailrace.core.runs import RunKind
from tailrace.core.syncs import SyncMode
from tailrace.runtime.service import Chassis
from tailrace.store.connections import ConnectionDraft
from tailrace.store.runs import Run
from tests.executor.yard import Yard, definition_of, make_sync

CURSOR = CursorReading(type="cursor", column="at", look_back_s=60)
SNAPSHOT = SnapshotReading()
VERSION = VersionReading(type="version", column="at")
WAYS: list[tuple[SyncMode, AnyReading]] = [
    *((mode, SNAPSHOT) for mode in SyncMode),
    *((mode, VERSION) for mode in SyncMode if mode is not SyncMode.APPEND),
    *((mode, CURSOR) for mode in SyncMode if mode is not SyncMode.MIRROR),
]
BEFORE, CHANGED, ADDED, REMOVED = range(1, 201), range(1, 41), range(201, 241), range(101, 111)
REFUSED = 17

_PEOPLE = "ALTER TABLE people ADD at timestamptz NOT NULL DEFAULT '2026-01-01'"
_CONTACTS = "CREATE TABLE contacts (id int, email text CHECK (email LIKE '%@%'))"
_UNIQUE = "CREATE UNIQUE INDEX ON contacts (id)"
_FIND = "INSERT INTO contacts SELECT n, 'theirs@example.com' FROM generate_series(0, 300) AS n"
_SLOW = """
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.03); RETURN NULL; END';
CREATE TRIGGER slow AFTER INSERT OR UPDATE OR DELETE ON contacts FOR EACH STATEMENT EXECUTE FUNCTION wait()
"""
_HOLD = """
CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN RAISE EXCEPTION USING errcode = ''check_violation'', message = ''held''; END';
CREATE TRIGGER held BEFORE DELETE ON contacts FOR EACH ROW WHEN (OLD.id = %d) EXECUTE FUNCTION hold()
"""
_CHANGE = """
UPDATE people SET email = 'changed' || id || '@example.com', at = '2026-02-01' WHERE id = ANY ($1::int[])
"""
_ADD = "INSERT INTO people SELECT n, 'p' || n || '@example.com', '2026-02-01' FROM unnest($1::int[]) AS n"
_REMOVE = "DELETE FROM people WHERE id = ANY ($1::int[])"

Contact = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Way:
    """A sync in a mode, by a reading."""

    mode: SyncMode
    reading: AnyReading
    yard: Yard

    async def contacts(self) -> list[Contact]:
        """What the destination holds."""
        rows = await self.yard.warehouse.fetch("SELECT id, email FROM contacts ORDER BY id, email")
        return [tuple(row) for row in rows]

    async def first_run(self) -> Run:
        """Deliver what there is."""
        return await self.yard.run()

    async def change(self) -> None:
        """Change some people, add some, remove some; so that a cursor sees what it can."""
        await self.yard.warehouse.execute(_CHANGE, list(CHANGED))
        await self.yard.warehouse.execute(_ADD, list(ADDED))
        await self.yard.warehouse.execute(_REMOVE, list(REMOVED))

    async def refuse(self) -> None:
        """Have the destination refuse a change: the new email of a person, or that somebody is deleted."""
        await self.yard.warehouse.execute("UPDATE people SET email = 'nowhere' WHERE id = $1", REFUSED)
        await self.yard.warehouse.execute(_HOLD % (REMOVED[0] if self.mode is SyncMode.MIRROR else ADDED[0]))

    async def slow_down(self) -> None:
        """Have every request take its time."""
        await self.yard.warehouse.execute(_SLOW)

    async def interrupted_run(self, kind: RunKind, *, once: str = "delivered") -> tuple[Run, Run]:
        """A run whose executor is stopped once its books count something, and which another one carries to its end."""
        run_id = await self.yard.start(kind)
        async with self.yard.executor(window_rows=10) as stopping:
            await self._under_way(run_id, once)
            stopping.set()
        between = await self.yard.look(run_id)
        async with self.yard.executor():
            return between, await self.yard.ended(run_id)

    async def _under_way(self, run_id: RunId, count: str) -> None:
        async with asyncio.timeout(self.yard.patience_s):
            while True:
                run = await self.yard.look(run_id)
                if getattr(run.books, count):
                    return
                await asyncio.sleep(0.01)

    def expected(self, kind: RunKind, *, without: int | None = None) -> list[Contact]:
        """What the destination has to hold after both runs; `without` the change of one person."""
        first = [(n, f"p{n}@example.com") for n in BEFORE]
        changed = {n: f"changed{n}@example.com" for n in CHANGED if n != without}
        added = [(n, f"p{n}@example.com") for n in ADDED]
        now = [(n, changed.get(n, email)) for n, email in first if n not in REMOVED] + added
        match self.mode:
            case SyncMode.UPSERT:
                return [(n, changed.get(n, email)) for n, email in first] + added
            case SyncMode.MIRROR:
                kept = [] if without is None else [first[REMOVED[0] - 1]]
                return sorted(now + kept)
            case SyncMode.INSERT:
                return first + added
            case SyncMode.UPDATE:
                theirs = [(n, "theirs@example.com") for n in (0, *range(ADDED[-1] + 1, 301))]
                return sorted([(n, changed.get(n, email)) for n, email in first] + added + theirs)
            case SyncMode.DELETE:
                kept_id = [] if without is None else [ADDED[0]]
                return sorted((n, "theirs@example.com") for n in (0, *kept_id, *range(ADDED[-1] + 1, 301)))
            case SyncMode.APPEND:
                return sorted(first + self._events(kind, now, changed, added, without))

    def _events(
        self, kind: RunKind, now: list[Contact], changed: dict[int, str], added: list[Contact], without: int | None
    ) -> list[Contact]:
        """What an append sends by its second run."""
        if self.reading == CURSOR and kind is RunKind.INCREMENTAL:
            return [*changed.items(), *added]
        return [(n, email) for n, email in now if n != without]


@asynccontextmanager
async def open_way(
    way: tuple[SyncMode, AnyReading],
    chassis: Chassis,
    warehouse: "asyncpg.Connection[asyncpg.Record]",
    url: str,
) -> AsyncIterator[Way]:
    """People and contacts in one database, and a sync between them that nothing has run yet."""
    mode, reading = way
    await warehouse.execute(_PEOPLE)
    await warehouse.execute(_CONTACTS)
    if mode is not SyncMode.APPEND:
        await warehouse.execute(_UNIQUE)
    if mode in {SyncMode.UPDATE, SyncMode.DELETE}:
        await warehouse.execute(_FIND)
    source = ConnectionDraft("warehouse", {"url": "***", "allow_superuser": True}, {"/url": url})
    target = ConnectionDraft("app", {"url": "***", "rows_per_batch": 5}, {"/url": url})
    definition: dict[str, Any] = definition_of("SELECT id, email, at FROM people", ("id", "email")).model_dump()
    definition |= {"object_name": "public.contacts", "sync_mode": mode, "reading": reading}
    if mode is SyncMode.APPEND:
        definition["field_mappings"] = [mapping | {"key": False} for mapping in definition["field_mappings"]]
    whole = definition_of("SELECT 1", ("id",)).model_validate(definition)
    yard = Yard(chassis, warehouse, await make_sync(chassis, source, target, whole, ("postgres", "postgres")))
    await yard.warehouse.execute(_ADD.replace("2026-02-01", "2026-01-01"), list(BEFORE))
    yield Way(mode, reading, yard)
