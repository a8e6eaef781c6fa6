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

from tailrace.connector_kit.destination import (
    Destination,
    Field,
    Level,
    Object,
    Target,
    WritePlan,
)
from tailrace.connector_kit.http import HttpClient
from tailrace.core.batches import Batch, BatchResult
from tailrace.core.clock import SystemClock
from tailrace.core.errors import TailraceError
from tailrace.core.ids import SyncId
from tailrace.core.policies import DeliveryPolicy
from tailrace.core.readings import AnyReading, SnapshotReading
from tailrace.core.rows import DELIVERED, Operation, Row, RowKey, RowOutcome
from tailrace.core.runs import Books, RunKind
from tailrace.core.settlements import (
    Position,
)
from tailrace.core.syncs import FieldMapping, SyncDefinition, SyncMode
from tailrace.pipeline.batch import Recipe
from tailrace.pipeline.brake import Brake
from tailrace.pipeline.breaker import Breaker, BreakerTerms
from tailrace.pipeline.columns import PinnedColumns
from tailrace.pipeline.deliver import Deliverer, Patience
from tailrace.pipeline.flight import Flight
from tailrace.pipeline.lineage import Lineage
from tailrace.pipeline.modes import operation_on_rows
from tailrace.pipeline.pace import Limits, Pacer
from tailrace.pipeline.settle import Settler
from tailrace.pipeline.spools import Spools
from tailrace.pipeline.tenure import Tenure
from tailrace.pipeline.walk import Route, walk
from tailrace.pipeline.window import Window
from tests.pipeline.memory_ledger import FrozenSnapshot, MemoryLedger
from tests.pipeline.memory_warehouse import MemoryWarehouse, NoSettings

SYNC = SyncId("retl_sync_test")
IMPATIENT = Patience(attempts=3, base_s=0.001, cap_s=0.002, request_s=5.0)
QUICK_PROBES = BreakerTerms(probe_first_s=0.001, probe_cap_s=0.002, probe_for_s=0.05)

Answer = Callable[[Batch], Sequence[RowOutcome]]
"""What a destination says to a batch; it may raise."""


@dataclass
class MemoryDestination(Destination):
    """Keeps what it is sent, after its script has had a say."""

    answers: list[Answer | TailraceError] = field(default_factory=list)
    always: Answer | None = None
    rows_per_batch: int = 10
    bytes_per_batch: int = 10_000
    is_idempotent: bool = True
    identity_of: Callable[[bytes], bytes] | None = None
    requests: list[Batch] = field(default_factory=list)
    was_asked: asyncio.Event = field(default_factory=asyncio.Event)
    holds: dict[RowKey, bytes] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
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
        return WritePlan(
            target,
            self.rows_per_batch,
            self.bytes_per_batch,
            is_idempotent=self.is_idempotent,
            identity_of=self.identity_of,
        )

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
        if operation is Operation.INSERT:
            self.events.append(name_in(row))
        if operation is Operation.DELETE:
            self.holds.pop(row.key, None)
        else:
            self.holds[row.key] = row.body


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
    policy: DeliveryPolicy = field(default_factory=DeliveryPolicy)
    breaker: BreakerTerms = QUICK_PROBES
    max_delete_ratio: float = 0.1
    reading: AnyReading = field(default_factory=SnapshotReading)
    is_keyed: bool = True
    spools: Spools | None = None
    warehouse: MemoryWarehouse = field(init=False)
    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    limits: NoLimits = field(default_factory=NoLimits)
    tenure: Tenure = field(init=False)
    runs: int = 0

    def __post_init__(self) -> None:
        self.warehouse = MemoryWarehouse(self.rows)

    async def run(
        self,
        kind: RunKind = RunKind.INCREMENTAL,
        *,
        only: Sequence[str] | None = None,
        resume: bool = False,
    ) -> Books:
        """A run from the start, or from where the one before stopped; gives the books of all its parts."""
        if not resume:
            self.runs += 1
            self.ledger = replace(self.ledger, position=Position(), books=Books(), settlements=[])
        self.warehouse.rows = self.rows
        await walk(await self.route(kind, only))
        return self.ledger.books

    @property
    def definition(self) -> SyncDefinition:
        """A sync of people, by id if they are keyed."""
        return SyncDefinition(
            source_id="conn_source",
            source_query="SELECT id, name, at FROM people",
            destination_id="conn_destination",
            object_name="people",
            field_mappings=(
                FieldMapping(source="id", destination="id", key=self.is_keyed),
                FieldMapping(source="name", destination="name"),
            ),
            sync_mode=self.mode,
            reading=self.reading,
            max_delete_ratio=self.max_delete_ratio,
        )

    async def route(self, kind: RunKind, only: Sequence[str] | None = None) -> Route:
        clock = SystemClock()
        self.tenure = Tenure(clock, until=clock.monotonic() + 60)
        key_fields = ("id",) if self.is_keyed else ()
        plan = await self.destination.plan(Target("people", operation_on_rows(self.mode), key_fields, ("id", "name")))
        deletes = await self.destination.plan(Target("people", Operation.DELETE, ("id",), ("id",)))
        keys = None if only is None else [RowKey((key,)) for key in only]
        known = sorted(self.ledger.entries.values(), key=lambda entry: entry.key)
        snapshot = FrozenSnapshot(
            [entry for entry in known if keys is None or entry.key in keys],
            self.ledger,
            keys,
        )
        lineage = Lineage(SYNC, has_places=False) if self.mode is SyncMode.INSERT else Lineage(f"run {self.runs}")
        return Route(
            definition=self.definition,
            start=self.ledger.position,
            only=keys,
            warehouse=self.warehouse,
            snapshot=snapshot,
            recipe=Recipe(
                lineage,
                self.mode,
                kind,
                plan,
                self.ledger.still_dead,
            ),
            kept_rows=snapshot.kept_rows if kind is RunKind.REPLAY and self.mode is SyncMode.APPEND else None,
            columns=PinnedColumns(),
            flight=self._flight(plan),
            spools=self.spools,
            delete_plan=deletes if self.mode is SyncMode.MIRROR else None,
        )

    def _flight(self, plan: WritePlan) -> Flight:
        clock = SystemClock()
        window = Window(0 if self.policy.strict else self.window_rows, clock, open_s=self.policy.window_s)
        pacer = Pacer(Limits("memory"), self.limits, clock)
        return Flight(
            deliverer=Deliverer(
                destination=self.destination,
                plan=plan,
                pacer=pacer,
                breaker=Breaker(self.breaker, clock, Random(1)),
                tenure=self.tenure,
                random=Random(1),
                patience=self.patience,
                on_ambiguous=self.policy.on_ambiguous,
            ),
            settler=Settler(
                self.ledger,
                window,
                Brake(self.policy.failure_thresholds),
                clock,
                every_s=0.01,
            ),
            window=window,
            tenure=self.tenure,
        )


def people(count: int) -> list[tuple[str | None, str]]:
    """So many rows with ids in order."""
    return [(f"{number:04}", f"name {number}") for number in range(count)]


def name_in(row: Row) -> str:
    """The name that a row carries."""
    return str(orjson.loads(row.body)["name"])
