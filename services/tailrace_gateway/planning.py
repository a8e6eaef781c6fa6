"""What a run would send, worked out by the steps of a run, up to where it would send: nothing is written.

Nothing is sent either, but for the rows of a dry run, which the destination tries and does not apply.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, Literal

from tailrace.connector_kit.capabilities import RehearsesWrites
from tailrace.connector_kit.destination import Destination, WritePlan
from tailrace.connector_kit.warehouse import Warehouse
from tailrace.core.batches import Batch
from tailrace.core.errors import BatchRefused, DestinationUnavailable
from tailrace.core.keys import key_record
from tailrace.core.rows import Change, Operation, Row, Verdict, rejected
from tailrace.core.runs import RunKind
from tailrace.core.settlements import Position
from tailrace.core.snapshots import Entry
from tailrace.core.syncs import SyncMode
from tailrace.core.waits import in_time
from tailrace.mapping.accepted import Accepted, accepted_by
from tailrace.pipeline.batch import Parcel, Recipe, batch
from tailrace.pipeline.diff import diff
from tailrace.pipeline.lineage import Lineage
from tailrace.pipeline.map_fields import Mapper, map_fields
from tailrace.pipeline.mirror import deletes_allowed
from tailrace.pipeline.plain import RowChange
from tailrace.pipeline.read import check_readable, watched, what_to_read
from tailrace.pipeline.tally import Tally
from tailrace.pipeline.targets import rows_target
from tailrace.store.syncs import Sync
from tailrace_gateway.discovery import ASK_S, DESTINATION_SILENT
from tailrace_gateway.problems import Fault, Unprocessable
from tailrace_gateway.row_reading import fields_of
from tailrace_gateway.standings import standings_of
from tailrace_gateway.stores import Stores

PLAN_S = 20.0
"""So long a plan reads rows; what it has seen by then is what it tells of."""

SAMPLE_LIMIT_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """Which run is meant, how many rows to read at most, and how many of each change to show.

    With `dry_run` the destination tries the rows that are shown, without applying them.
    """

    kind: RunKind
    rows: int
    samples: int
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """A row as it would be sent; without an operation it would not be, for the reason given if any.

    `fields` is None where they are too large to show. `verdict` is what the destination says of it in a dry run.
    """

    change: Change | None
    operation: Operation | None
    fields: Mapping[str, Any] | None
    code: str | None = None
    message: str | None = None
    verdict: Verdict | None = None
    row: Row | None = None


@dataclass(slots=True)
class Plan:
    """What a run would do with the rows that were read; `stopped_by` is None where these are all."""

    sync: Sync
    request: PlanRequest
    read: int = 0
    requests: int = 0
    changes: Counter[str] = field(default_factory=Counter)
    sends: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)
    delivered: int = 0
    stopped_by: Literal["rows", "time"] | None = None
    _shown: Counter[tuple[object, object]] = field(default_factory=Counter)

    @property
    def is_mirror(self) -> bool:
        """Whether rows that left the query are deleted."""
        return self.sync.definition.sync_mode is SyncMode.MIRROR

    @property
    def deletes_allowed(self) -> int | None:
        """How many rows the guard lets one run delete; None where the mode deletes none that left the query."""
        if not self.is_mirror:
            return None
        return deletes_allowed(self.delivered + self.changes[Change.ADDED], self.sync.definition.max_delete_ratio)

    def note(self, change: RowChange) -> None:
        """Count what happened to a row; by a cursor nothing is known of rows that are gone."""
        if change.change is Change.REMOVED and self.sync.definition.cursor is not None:
            return
        self.read += change.mapped is not None
        self.changes[change.change or "invalid"] += 1
        if change.known is not None and change.known.delivered is not None:
            self.delivered += 1
            if change.change is Change.REMOVED:
                self._note_removed(change.known)

    def add(self, parcel: Parcel) -> None:
        """Count what would be sent, and why the rest would not be."""
        if parcel.batch is not None:
            self.requests += 1
            self.sends[parcel.batch.operation] += parcel.rows_to_send
            bodies = parcel.batch.bodies
            rows = parcel.batch.rows if self.request.dry_run else [None] * len(bodies)
            for change, body, row in zip(chain.from_iterable(parcel.changes), bodies, rows, strict=True):
                self._show(Sample(change.change, parcel.batch.operation, None, row=row), body)
        if parcel.decided is not None:
            self._add_decided(parcel.decided)

    def _add_decided(self, decided: Tally) -> None:
        for letter in decided.letters:
            self._show(Sample(None, None, None, letter.error_code, letter.message), letter.payload)
        reasons = decided.reasons.items()
        self.reasons += Counter({name: count for name, count in reasons if not name.startswith("change.")})

    def _note_removed(self, known: Entry) -> None:
        self.sends[Operation.DELETE] += self.is_mirror
        key_fields = rows_target(self.sync.definition).key_fields
        sent = Operation.DELETE if self.is_mirror else None
        self._show(Sample(Change.REMOVED, sent, None), key_record(key_fields, known))

    def _show(self, sample: Sample, body: bytes) -> None:
        alike = (sample.change, sample.code)
        if self._shown[alike] >= self.request.samples:
            return
        self._shown[alike] += 1
        fits = len(body) <= SAMPLE_LIMIT_BYTES
        self.samples.append(replace(sample, fields=fields_of(body) if fits else None))


async def make_plan(stores: Stores, sync: Sync, request: PlanRequest) -> Plan:
    """What a run that starts now would do, over as many rows as may be read.

    :raises Invalid, Unavailable, InDoubt: the run would fail: its source or destination does not answer as it should.
    """
    plan = Plan(sync, request)
    bound = in_time(PLAN_S + ASK_S, DestinationUnavailable, DESTINATION_SILENT)
    async with stores.discovery.ends_of(sync.workspace_id, sync.definition) as (warehouse, destination), bound:
        rehearsing = _rehearsing(destination) if request.dry_run else None
        recipe = await _recipe(stores, sync, destination, request.kind)
        accepted = await accepted_by(destination, sync.definition.object_name)
        try:
            async with asyncio.timeout(PLAN_S):
                await _fill(plan, recipe, accepted, stores, warehouse)
        except TimeoutError:
            plan.stopped_by = "time"
        if rehearsing is not None:
            plan.samples = [await _rehearsed(each, sync, rehearsing, recipe.plan) for each in plan.samples]
    return plan


def _rehearsing(destination: Destination) -> RehearsesWrites:
    if not isinstance(destination, RehearsesWrites):
        detail = f"{destination.label} cannot try rows without applying them: plan without"
        raise Unprocessable([Fault("/dryRun", "capability", detail)])
    return destination


async def _rehearsed(sample: Sample, sync: Sync, destination: RehearsesWrites, agreed: WritePlan) -> Sample:
    if sample.row is None:
        return sample
    operation = agreed.target.operation
    made = Batch(operation, [sample.row], Lineage(sync.id).key_of(operation, [sample.row], Position(), 0))
    try:
        [outcome] = (await destination.rehearse(agreed, made)).outcomes
    except BatchRefused as refusal:
        outcome = rejected(refusal.code, refusal.message)
    return replace(sample, verdict=outcome.verdict, code=outcome.code or None, message=outcome.message or None)


async def _recipe(stores: Stores, sync: Sync, destination: Destination, kind: RunKind) -> Recipe:
    agreed = await destination.plan(rows_target(sync.definition))
    mode = sync.definition.sync_mode
    return Recipe(Lineage(sync.id), mode, kind, agreed, lambda keys: stores.dead_letters.still_dead(sync.id, keys))


async def _fill(plan: Plan, recipe: Recipe, accepted: Accepted, stores: Stores, warehouse: Warehouse) -> None:
    definition = plan.sync.definition
    start = Position()
    check_readable(definition, warehouse)
    mapper = Mapper(definition, await warehouse.columns(definition.source_query), start, accepted)
    if definition.cursor is not None:
        watermark = await stores.standings.watermark(plan.sync.id, plan.sync.version)
        recipe = watched(recipe, mapper.order, watermark, start)
    reading = what_to_read(recipe, mapper.order, definition, start)
    async with (
        standings_of(stores, plan.sync.id, within_s=PLAN_S + ASK_S) as standings,
        warehouse.read(reading) as blocks,
    ):
        known = standings.entries(plan.sync.id, plan.sync.version)
        changes = _noted(diff(map_fields(blocks, mapper), known), plan)
        async with aclosing(batch(changes, recipe, start)) as parcels:  # type: ignore[type-var]  # it is a generator
            async for parcel in parcels:
                plan.add(parcel)


async def _noted(changes: AsyncIterator[Sequence[RowChange]], plan: Plan) -> AsyncIterator[Sequence[RowChange]]:
    """The changes as they come, until as many rows were read as may be."""
    async for some in changes:
        for change in some:
            plan.note(change)
        yield some
        if plan.read >= plan.request.rows:
            plan.stopped_by = "rows"
            return
