"""Opens what a run needs on its way: warehouse, destination, plan."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from tailrace.connector_kit.destination import Destination, Target, WritePlan
from tailrace.connector_kit.registry import validate_settings
from tailrace.connector_kit.warehouse import Warehouse
from tailrace.core.errors import DestinationUnavailable, SourceUnavailable
from tailrace.core.rows import Operation
from tailrace.core.runs import RunKind
from tailrace.core.syncs import SyncDefinition, SyncMode
from tailrace.pipeline.batch import Recipe
from tailrace.pipeline.brake import Brake, BrakeLimits
from tailrace.pipeline.deliver import Deliverer
from tailrace.pipeline.flight import Flight
from tailrace.pipeline.modes import operation_on_rows
from tailrace.pipeline.pace import Pacer
from tailrace.pipeline.settle import Settler, Window
from tailrace.pipeline.tenure import Tenure
from tailrace.pipeline.walk import Route
from tailrace.store.checkpoints import position_of
from tailrace.store.shards import Claim
from tailrace_executor.bench import Bench, SyncSnapshot
from tailrace_executor.ledger import RunLedger

_OPEN_S = 30.0


@asynccontextmanager
async def open_route(claim: Claim, bench: Bench, tenure: Tenure, ledger: RunLedger) -> AsyncIterator[Route]:
    """The route of a run for as long as the scope lasts; the destination has agreed to it before a row is read.

    :raises TailraceError: what cannot be opened, and what to do about it.
    """
    definition = await bench.syncs.definition(claim.sync_id, claim.sync_version)
    only = await bench.dead_letters.keys_of_replay(claim.lease.run_id) if claim.kind is RunKind.REPLAY else None
    async with AsyncExitStack() as stack:
        warehouse = await _open_warehouse(stack, definition, bench)
        destination, pacer = await _open_destination(stack, definition, bench)
        plan = await _plan(destination, _target(definition), bench)
        deletes_too = definition.sync_mode is SyncMode.MIRROR
        keeps_rows = definition.sync_mode is SyncMode.APPEND and claim.kind is RunKind.REPLAY
        window = Window(bench.window_rows)
        yield Route(
            definition=definition,
            start=position_of(claim.checkpoint),
            only=only,
            warehouse=warehouse,
            snapshot=SyncSnapshot(bench.snapshots, claim.lease, claim.sync_id, only),
            recipe=Recipe(
                sync_id=claim.sync_id,
                mode=definition.sync_mode,
                kind=claim.kind,
                plan=plan,
                still_dead=lambda keys: bench.dead_letters.still_dead(claim.sync_id, keys),
                lineage=claim.lease.run_id if definition.sync_mode is SyncMode.APPEND else claim.sync_id,
            ),
            flight=Flight(
                deliverer=Deliverer(claim.sync_id, destination, plan, pacer, tenure, bench.random, bench.patience),
                settler=Settler(ledger, window, Brake(BrakeLimits()), bench.clock, every_s=bench.checkpoint_s),
                window=window,
                tenure=tenure,
            ),
            kept_rows=(lambda: bench.dead_letters.kept_rows(claim.lease.run_id)) if keeps_rows else None,
            delete_plan=await _plan(destination, _delete_target(definition), bench) if deletes_too else None,
        )


async def _open_warehouse(stack: AsyncExitStack, definition: SyncDefinition, bench: Bench) -> Warehouse:
    stored, values = await bench.connections.open_settings(definition.source_id)
    kind = bench.warehouse_type(stored.connector)
    settings = validate_settings(kind.settings_type, values)
    try:
        async with asyncio.timeout(_OPEN_S):
            return await stack.enter_async_context(kind.open(settings))
    except TimeoutError as error:
        raise SourceUnavailable(f"source {stored.name!r} did not answer in {_OPEN_S:g} s") from error


async def _open_destination(
    stack: AsyncExitStack, definition: SyncDefinition, bench: Bench
) -> tuple[Destination, Pacer]:
    stored, values = await bench.connections.open_settings(definition.destination_id)
    kind = bench.destination_type(stored.connector)
    settings = validate_settings(kind.settings_type, values)
    try:
        async with asyncio.timeout(_OPEN_S):
            return await stack.enter_async_context(kind.open(settings, bench.http)), bench.pacer(stored)
    except TimeoutError as error:
        raise DestinationUnavailable(f"destination {stored.name!r} did not answer in {_OPEN_S:g} s") from error


async def _plan(destination: Destination, target: Target, bench: Bench) -> WritePlan:
    plan = await destination.plan(target)
    # A batch beyond the window would be sent twice as a whole.
    return replace(plan, rows_per_batch=min(plan.rows_per_batch, bench.window_rows))


def _target(definition: SyncDefinition) -> Target:
    return Target(
        object_name=definition.object_name,
        operation=operation_on_rows(definition.sync_mode),
        key_fields=tuple(mapping.destination for mapping in definition.key_mappings),
        fields=tuple(mapping.destination for mapping in definition.field_mappings),
    )


def _delete_target(definition: SyncDefinition) -> Target:
    """For rows of which only the key is known."""
    key_fields = tuple(mapping.destination for mapping in definition.key_mappings)
    return Target(definition.object_name, Operation.DELETE, key_fields, key_fields)
