"""One row of a sync, sent to its destination now: a real write, outside of any run."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from tailrace.connector_kit.destination import Destination, WritePlan
from tailrace.core.batches import Batch
from tailrace.core.errors import BatchRefused, Conflict, DestinationUnavailable, InDoubt, NotFound, StoreUnavailable
from tailrace.core.ids import new_run_id
from tailrace.core.rows import Operation, RowKey, RowOutcome, rejected
from tailrace.core.settlements import Position
from tailrace.core.syncs import SyncMode
from tailrace.core.waits import in_time
from tailrace.mapping.accepted import accepted_by
from tailrace.pipeline.lineage import Lineage
from tailrace.pipeline.targets import rows_target
from tailrace.store.syncs import Sync
from tailrace_gateway.discovery import DESTINATION_SILENT
from tailrace_gateway.problems import TooMany
from tailrace_gateway.row_reading import fields_of, read_row
from tailrace_gateway.stores import Stores

READY_S = 60.0
"""So long everything before the write may take, of which `FIND_S` and `TURN_S` are parts."""

WRITE_S = 20.0
FIND_S = 30.0
TURN_S = 10.0
"""So long a row waits for its turn at the destination."""

_MAY_DOUBLE = {SyncMode.INSERT, SyncMode.APPEND}


@dataclass(frozen=True, slots=True)
class RowTest:
    """What was sent, and what the destination said of it; `was_sent` is false for a row that cannot be sent."""

    operation: Operation
    fields: dict[str, Any] | None
    outcome: RowOutcome
    was_sent: bool


def may_double(mode: SyncMode) -> bool:
    """Whether a row that is sent now is there twice once the next run sends it."""
    return mode in _MAY_DOUBLE


async def send_row(
    stores: Stores, sync: Sync, key: RowKey, *, ready_s: float = READY_S, write_s: float = WRITE_S
) -> RowTest:
    """Read a row, map it and write it as a run would; the next run sends it all the same.

    :raises Conflict: `RUN_ACTIVE`: a run may be sending the same row.
    :raises NotFound: the query has no row of that key.
    :raises Invalid, Unavailable: the source or the destination does not answer as it should; nothing was written.
    :raises InDoubt: the row may have been written.
    """
    active = await stores.runs.active(sync.workspace_id, sync.id)
    if active is not None:
        raise Conflict(f"run {active} may be sending this row", code="RUN_ACTIVE", existing_id=active)
    ends = stores.discovery.ends_of(sync.workspace_id, sync.definition)
    async with ends as (warehouse, destination), AsyncExitStack() as turn:
        async with _nothing_written(ready_s):
            accepted = await accepted_by(destination, sync.definition.object_name)
            mapped = await read_row(warehouse, sync.definition, key, accepted, within_s=FIND_S)
            if mapped is None:
                raise NotFound("the query has no row with this key", code="ROW_NOT_FOUND")
            target = rows_target(sync.definition)
            told = RowTest(target.operation, fields_of(mapped.row.body), rejected("", ""), was_sent=True)
            if mapped.problem is not None:
                return replace(told, outcome=mapped.problem, was_sent=False)
            plan = await destination.plan(target)
            await turn.enter_async_context(_turn(stores, sync))
        name = Lineage(new_run_id()).key_of(target.operation, [mapped.row], Position(), 0)
        made = Batch(target.operation, [mapped.row], name)
        async with in_time(write_s, InDoubt, "the row may have been written, look there: no answer"):
            return replace(told, outcome=await _written(destination, plan, made))


@asynccontextmanager
async def _nothing_written(within_s: float) -> AsyncIterator[None]:
    """A scope of questions alone: one whose answer is lost leaves no doubt about the row."""
    try:
        async with in_time(within_s, DestinationUnavailable, DESTINATION_SILENT):
            yield
    except InDoubt as error:
        raise DestinationUnavailable(f"{error.message}; nothing was written") from error


@asynccontextmanager
async def _turn(stores: Stores, sync: Sync) -> AsyncIterator[None]:
    """One request of those that the destination's limits allow to all of its syncs."""
    stored = await stores.connections.get(sync.workspace_id, sync.definition.destination_id)
    wait_s = await stores.limits.reserve(stored.id, tokens=1, rate_per_s=stored.requests_per_s, burst=1)
    if wait_s > TURN_S:
        raise TooMany(f"the destination takes no more requests for {wait_s:.0f} s: come back then")
    await asyncio.sleep(wait_s)
    if stored.max_in_flight is None:
        yield
        return
    token, most = uuid4(), stored.max_in_flight
    try:
        if not await stores.limits.hold_slots(stored.id, token, wanted=1, max_slots=most, ttl_s=READY_S):
            raise TooMany(f"all of the {most} requests that the destination takes at once are under way: come back")
        yield
    finally:
        # It frees itself in time, and what became of the row is to be told.
        with suppress(StoreUnavailable):
            await stores.limits.release_slots(stored.id, token)


async def _written(destination: Destination, plan: WritePlan, made: Batch) -> RowOutcome:
    try:
        [outcome] = (await destination.write(plan, made)).outcomes
    except BatchRefused as refusal:
        return rejected(refusal.code, refusal.message)
    return outcome
