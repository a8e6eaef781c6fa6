"""A world in memory around the walk of a row: a warehouse, a destination, and what the store would keep."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from random import Random
from typing import Self
from uuid import UUID

import orjson
from pydantic import BaseModel

from tailrace.connector_kit.destination import Destination, Field, Level, Object, Target, WritePlan
from tailrace.connector_kit.http import HttpClient
from tailrace.connector_kit.warehouse import Reading, Warehouse
from tailrace.core.batches import Batch, BatchResult
from tailrace.core.clock import SystemClock
from tailrace.core.errors import TailraceError
from tailrace.core.ids import SyncId
from tailrace.core.rows import DELIVERED, Block, Column, ColumnKind, Operation, Row, RowKey, RowOutcome
from tailrace.core.runs import Books, RunKind
from tailrace.core.settlements import DedupeKey, NewDeadLetter, Position, Settlement
from tailrace.core.snapshots import Entry
from tailrace.core.syncs import FieldMapping, SyncDefinition, SyncMode
from tailrace.pipeline.batch import Recipe
from tailrace.pipeline.brake import Brake, BrakeLimits
from tailrace.pipeline.deliver import Deliverer, Patience
from tailrace.pipeline.flight import Flight
from tailrace.pipeline.mirror import Census
from tailrace.pipeline.modes import operation_on_rows
from tailrace.pipeline.pace import Limits, Pacer
from tailrace.pipeline.settle import Settler, Window
from tailrace.pipeline.tenure import Tenure
from tailrace.pipeline.walk import Route, walk

SYNC = SyncId("retl_sync_test")
COLUMNS = (Column("id", ColumnKind.TEXT), Column("name", ColumnKind.TEXT))
IMPATIENT = Patience(attempts=3, base_s=0.001, cap_s=0.002, request_s=5.0)

Answer = Callable[[Batch], Sequence[RowOutcome]]
"""What a destination says to a batch; it may raise."""


class NoSettings(BaseModel):
    """Nothing to set."""


class MemoryWarehouse(Warehouse):
    """Rows of (id, name) in a list; no id is a NULL key."""

    name = "memory"
    label = "Memory"
    settings_type = NoSettings

    def __init__(self, rows: list[tuple[str | None, str]], error_after: int | None = None) -> None:
        self.rows = rows
        self.error_after = error_after
        self.blocks_read = 0
        self.error: TailraceError | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: BaseModel) -> AsyncIterator[Self]:
        yield cls([])

    async def check(self) -> None:
        return

    async def columns(self, query: str) -> Sequence[Column]:
        return COLUMNS

    @asynccontextmanager
    async def read(self, reading: Reading) -> AsyncIterator[AsyncIterator[Block]]:
        yield self._blocks(reading)

    async def _blocks(self, reading: Reading) -> AsyncIterator[Block]:
        keyed = sorted(self.rows, key=lambda row: (row[0] is None, row[0] or row[1]))
        wanted = [row for row in keyed if self._is_wanted(row[0], reading)]
        for at in range(0, len(wanted), reading.rows_per_block):
            if self.error is not None and self.blocks_read >= (self.error_after or 0):
                raise self.error
            self.blocks_read += 1
            rows = wanted[at : at + reading.rows_per_block]
            yield Block(rows, [None if row[0] is None else RowKey((row[0],)) for row in rows])

    def _is_wanted(self, key: str | None, reading: Reading) -> bool:
        if reading.only is not None:
            return key is not None and (key,) in reading.only
        return key is None or reading.after is None or (key,) > reading.after


@dataclass
class MemoryDestination(Destination):
    """Keeps what it is sent, after its script has had a say."""

    answers: list[Answer | TailraceError] = field(default_factory=list)
    always: Answer | None = None
    rows_per_batch: int = 10
    bytes_per_batch: int = 10_000
    requests: list[Batch] = field(default_factory=list)
    was_asked: asyncio.Event = field(default_factory=asyncio.Event)
    holds: dict[RowKey, bytes] = field(default_factory=dict)
    applied: list[Row] = field(default_factory=list)

    name = "memory"
    label = "Memory"
    level = Level.BRONZE
    settings_type = NoSettings

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: BaseModel, http: HttpClient) -> AsyncIterator[Self]:
        yield cls()

    async def check(self) -> None:
        return

    async def objects(self) -> Sequence[Object]:
        return []

    async def fields(self, object_name: str) -> Sequence[Field]:
        return []

    async def plan(self, target: Target) -> WritePlan:
        return WritePlan(target, self.rows_per_batch, self.bytes_per_batch, is_idempotent=True)

    async def write(self, plan: WritePlan, batch: Batch) -> BatchResult:
        self.requests.append(batch)
        self.was_asked.set()
        answer = self.answers.pop(0) if self.answers else self.always
        if isinstance(answer, TailraceError):
            raise answer
        outcomes = [DELIVERED] * len(batch.rows) if answer is None else list(answer(batch))
        for row, outcome in zip(batch.rows, outcomes, strict=True):
            if outcome == DELIVERED:
                self._apply(batch.operation, row)
        return BatchResult(batch, outcomes)

    def _apply(self, operation: Operation, row: Row) -> None:
        self.applied.append(row)
        if operation is Operation.DELETE:
            self.holds.pop(row.key, None)
        else:
            self.holds[row.key] = row.body


@dataclass
class MemoryLedger:
    """What checkpoints have written: position, books, letters, snapshot."""

    position: Position = field(default_factory=Position)
    books: Books = field(default_factory=Books)
    letters: dict[DedupeKey, NewDeadLetter] = field(default_factory=dict)
    entries: dict[RowKey, Entry] = field(default_factory=dict)
    settlements: list[Settlement] = field(default_factory=list)
    error: TailraceError | None = None

    async def commit(self, settlement: Settlement) -> None:
        if self.error is not None:
            raise self.error
        self.settlements.append(settlement)
        self.position = settlement.position
        self.books += settlement.books
        for cleared in settlement.cleared:
            self.letters.pop(cleared, None)
        self.letters |= {letter.dedupe_key: letter for letter in settlement.letters}
        self.entries |= {entry.key: entry for entry in settlement.entries}
        self.entries = {key: entry for key, entry in self.entries.items() if not entry.is_tombstone}

    async def still_dead(self, keys: Sequence[DedupeKey]) -> set[DedupeKey]:
        return set(keys) & self.letters.keys()


@dataclass(frozen=True)
class FrozenSnapshot:
    """The snapshot as a run found it; what the ledger has learnt since is seen by the deletes alone."""

    known: Sequence[Entry]
    ledger: MemoryLedger
    only: Sequence[RowKey] | None = None
    entries_per_page: int = 7

    async def entries(self, *, after: RowKey | None) -> AsyncIterator[list[Entry]]:
        wanted = [entry for entry in self.known if after is None or entry.key > after]
        for at in range(0, len(wanted), self.entries_per_page):
            yield wanted[at : at + self.entries_per_page]

    async def merge(self) -> None:
        return

    async def census(self) -> Census:
        delivered = sum(entry.delivered is not None for entry in self.ledger.entries.values())
        return Census(delivered, len(self._gone()))

    async def gone(self, *, after: RowKey | None) -> AsyncIterator[list[Entry]]:
        yield [entry for entry in self._gone() if after is None or entry.key > after]

    def _gone(self) -> list[Entry]:
        gone = [entry for key, entry in self.ledger.entries.items() if self.only is None or key in self.only]
        return sorted((entry for entry in gone if entry.is_gone), key=lambda entry: entry.key)


class NoLimits:
    """Everybody may go on; remembers for how long it was asked to be silent."""

    def __init__(self) -> None:
        self.blocks: list[float] = []

    async def reserve(self, scope: str, *, tokens: int, rate_per_s: float | None, burst: int) -> float:
        return 0.0

    async def block(self, scope: str, for_s: float) -> None:
        self.blocks.append(for_s)

    async def hold_slots(self, scope: str, token: UUID, *, wanted: int, max_slots: int, ttl_s: float) -> int:
        return min(wanted, max_slots)

    async def release_slots(self, scope: str, token: UUID) -> None:
        return


@dataclass
class World:
    """One sync with everything around it; runs follow one another."""

    rows: list[tuple[str | None, str]]
    destination: MemoryDestination = field(default_factory=MemoryDestination)
    mode: SyncMode = SyncMode.UPSERT
    window_rows: int = 2000
    patience: Patience = IMPATIENT
    brake: BrakeLimits = field(default_factory=BrakeLimits)
    max_delete_ratio: float = 0.1
    warehouse: MemoryWarehouse = field(init=False)
    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    limits: NoLimits = field(default_factory=NoLimits)
    tenure: Tenure = field(init=False)

    def __post_init__(self) -> None:
        self.warehouse = MemoryWarehouse(self.rows)

    async def run(
        self, kind: RunKind = RunKind.INCREMENTAL, *, only: Sequence[str] | None = None, resume: bool = False
    ) -> Books:
        """A run from the start, or from where the one before stopped; gives the books of all its parts."""
        if not resume:
            self.ledger = replace(self.ledger, position=Position(), books=Books(), settlements=[])
        self.warehouse.rows = self.rows
        await walk(await self.route(kind, only))
        return self.ledger.books

    async def route(self, kind: RunKind, only: Sequence[str] | None = None) -> Route:
        clock = SystemClock()
        self.tenure = Tenure(clock, until=clock.monotonic() + 60)
        window = Window(self.window_rows)
        plan = await self.destination.plan(Target("people", operation_on_rows(self.mode), ("id",), ("id", "name")))
        deletes = await self.destination.plan(Target("people", Operation.DELETE, ("id",), ("id",)))
        pacer = Pacer(Limits("memory"), self.limits, clock)
        keys = None if only is None else [RowKey((key,)) for key in only]
        known = sorted(self.ledger.entries.values(), key=lambda entry: entry.key)
        return Route(
            definition=definition(self.mode).model_copy(update={"max_delete_ratio": self.max_delete_ratio}),
            start=self.ledger.position,
            only=keys,
            warehouse=self.warehouse,
            snapshot=FrozenSnapshot([entry for entry in known if keys is None or entry.key in keys], self.ledger, keys),
            recipe=Recipe(SYNC, self.mode, kind, plan, self.ledger.still_dead),
            flight=Flight(
                deliverer=Deliverer(SYNC, self.destination, plan, pacer, self.tenure, Random(1), self.patience),
                settler=Settler(self.ledger, window, Brake(self.brake), clock, every_s=0.01),
                window=window,
                tenure=self.tenure,
            ),
            delete_plan=deletes if self.mode is SyncMode.MIRROR else None,
        )


def definition(mode: SyncMode = SyncMode.UPSERT) -> SyncDefinition:
    """A sync of people by id."""
    return SyncDefinition(
        source_id="conn_source",
        source_query="SELECT id, name FROM people",
        destination_id="conn_destination",
        object_name="people",
        field_mappings=(
            FieldMapping(source="id", destination="id", key=True),
            FieldMapping(source="name", destination="name"),
        ),
        sync_mode=mode,
    )


def people(count: int) -> list[tuple[str | None, str]]:
    """So many rows with ids in order."""
    return [(f"{number:04}", f"name {number}") for number in range(count)]


def name_in(row: Row) -> str:
    """The name that a row carries."""
    return str(orjson.loads(row.body)["name"])
