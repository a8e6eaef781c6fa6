"""Opens what a run needs on its way: warehouse, destination, plan."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial

from tailrace.connector_kit.destination import Destination, Target, WritePlan
from tailrace.connector_kit.keeping import kept_by
from tailrace.connector_kit.registry import validate_settings
from tailrace.connector_kit.warehouse import Warehouse
from tailrace.connector_kit.way_out import going_out_by
from tailrace.core.errors import DestinationUnavailable, SourceUnavailable, StoreUnavailable
from tailrace.core.policies import DeliveryPolicy
from tailrace.core.rows import RowKey
from tailrace.core.runs import RunKind
from tailrace.core.syncs import SyncDefinition, SyncMode
from tailrace.core.waits import in_time
from tailrace.mapping.accepted import Accepted, accepted_by
from tailrace.pipeline.batch import Recipe
from tailrace.pipeline.brake import Brake
from tailrace.pipeline.deliver import Deliverer
from tailrace.pipeline.flight import Flight
from tailrace.pipeline.lineage import Lineage
from tailrace.pipeline.settle import Settler
from tailrace.pipeline.targets import deletes_target, rows_target
from tailrace.pipeline.tenure import Tenure
from tailrace.pipeline.walk import Route
from tailrace.pipeline.window import Window
from tailrace.runtime.keepers import ConnectionKeeper
from tailrace.store.connections import StoredConnection
from tailrace.store.shards import Claim
from tailrace_executor.bench import Bench, SyncSnapshot
from tailrace_executor.ledger import RunLedger
from tailrace_executor.share import check_shared, is_last, may_share, share_out

_OPEN_S = 30.0
_DESTINATION_SILENT = "the destination did not answer"
_ROWS = 2000
_ROWS_THAT_MAY_REPEAT = 20_000
"""Rows in a window where nobody has said how many; more, where to send a row twice is to send it once."""


@asynccontextmanager
async def open_route(ledger: RunLedger, bench: Bench, tenure: Tenure) -> AsyncIterator[Route]:
    """The route of a run for as long as the scope lasts; the destination has agreed to it before a row is read.

    :raises TailraceError: what cannot be opened, and what to do about it.
    """
    claim = ledger.claim
    definition = await bench.syncs.definition(claim.sync_id, claim.sync_version)
    only = await _keys_of_replay(claim, bench, definition) if claim.kind is RunKind.REPLAY else None
    async with AsyncExitStack() as stack, AsyncExitStack() as warehouse_scope:
        warehouse = await _open_warehouse(warehouse_scope, definition, bench)
        stored, destination = await _open_destination(stack, definition, bench)
        accepted = await _accepted(destination, definition)
        if claim.is_shared:
            await check_shared(ledger, definition, warehouse, accepted)
        elif bench.rows_per_shard and may_share(ledger, definition, warehouse):
            await share_out(ledger, bench, definition, warehouse, accepted)
            claim = ledger.claim
        plan = await _plan(destination, rows_target(definition))
        deletes_too = definition.sync_mode is SyncMode.MIRROR
        delete_plan = await _plan(destination, deletes_target(definition)) if deletes_too else None
        window = _window(definition.delivery, bench, [plan] if delete_plan is None else [plan, delete_plan])
        plan = _within(window, plan)
        recipe = await _recipe(claim, definition, plan, bench)
        keeps_rows = definition.sync_mode is SyncMode.APPEND and claim.kind is RunKind.REPLAY
        brake = Brake(definition.delivery.failure_thresholds, ledger.rejections, ledger.elsewhere)
        yield Route(
            definition=definition,
            deletes_confirmed=claim.deletes_confirmed,
            start=ledger.position,
            until=claim.until,
            is_last=partial(is_last, ledger, bench, tenure, brake),
            only=only,
            warehouse=warehouse,
            leave_warehouse=warehouse_scope.aclose,
            snapshot=SyncSnapshot(bench.snapshots, claim.lease, claim.sync_id, only, claim.until),
            recipe=recipe,
            columns=ledger.columns,
            spools=bench.spools,
            flight=Flight(
                deliverer=Deliverer(
                    destination=destination,
                    plan=plan,
                    pacer=bench.pacer(stored, else_per_s=plan.requests_per_s),
                    breaker=bench.breaker(stored, has_waited=claim.pauses > 0),
                    tenure=tenure,
                    random=bench.random,
                    patience=bench.patience,
                    on_ambiguous=definition.delivery.on_ambiguous,
                ),
                settler=Settler(ledger, window, brake, bench.clock, every_s=bench.checkpoint_s),
                window=window,
                tenure=tenure,
            ),
            kept_rows=(lambda: bench.dead_letters.kept_rows(claim.lease.run_id)) if keeps_rows else None,
            accepted=accepted,
            close_mended=lambda codes: _close_mended(bench, claim, codes),
            delete_plan=delete_plan and _within(window, delete_plan),
        )


def rows_in_window(policy: DeliveryPolicy, deployed: int | None, *, is_repeatable: bool) -> int:
    """How many rows may be under way without a checkpoint: as the sync says, else the deployment; 0 for one batch."""
    if policy.strict:
        return 0
    return policy.window_rows or deployed or (_ROWS_THAT_MAY_REPEAT if is_repeatable else _ROWS)


async def _recipe(claim: Claim, definition: SyncDefinition, plan: WritePlan, bench: Bench) -> Recipe:
    return Recipe(
        lineage=_lineage(claim, definition),
        mode=definition.sync_mode,
        kind=claim.kind,
        plan=plan,
        still_dead=lambda keys: bench.dead_letters.still_dead(claim.sync_id, keys),
        has_old_letters=await bench.dead_letters.has_older(claim.sync_id, claim.sync_version),
    )


async def _keys_of_replay(claim: Claim, bench: Bench, definition: SyncDefinition) -> Sequence[RowKey]:
    """The keys to try; letters of an earlier definition may have keys of other columns, by which no row is found."""
    found = await bench.dead_letters.keys_of_replay(claim.lease.run_id)
    return [key for key in found if len(key) == len(definition.key_columns)]


def _lineage(claim: Claim, definition: SyncDefinition) -> Lineage:
    """A row whose insert may have arrived is not to be inserted twice by the next run; a replay means it anew."""
    if definition.sync_mode is SyncMode.INSERT and claim.kind is not RunKind.REPLAY:
        return Lineage(f"{claim.sync_id}:{definition.destination_id}:{definition.object_name}", has_places=False)
    return Lineage(claim.lease.run_id)


async def _open_warehouse(stack: AsyncExitStack, definition: SyncDefinition, bench: Bench) -> Warehouse:
    stored, values = await bench.connections.open_settings(definition.source_id)
    kind = bench.warehouse_type(stored.connector)
    settings = validate_settings(kind.settings_type, values)
    within = in_time(_OPEN_S, SourceUnavailable, f"source {stored.name!r} did not answer")
    with going_out_by(bench.http):
        async with within:
            return await stack.enter_async_context(kind.open(settings))


async def _open_destination(
    stack: AsyncExitStack, definition: SyncDefinition, bench: Bench
) -> tuple[StoredConnection, Destination]:
    stored, values = await bench.connections.open_settings(definition.destination_id)
    kind = bench.destination_type(stored.connector)
    settings = validate_settings(kind.settings_type, values)
    within = in_time(_OPEN_S, DestinationUnavailable, f"destination {stored.name!r} did not answer")
    with kept_by(ConnectionKeeper(bench.connections, stored.id)):
        async with within:
            return stored, await stack.enter_async_context(kind.open(settings, bench.http))


async def _close_mended(bench: Bench, claim: Claim, codes: Sequence[str]) -> None:
    """If the store is away just now, the next run does it."""
    with suppress(StoreUnavailable):
        await bench.dead_letters.close_mended(claim.workspace_id, claim.sync_id, claim.lease, codes)


async def _accepted(destination: Destination, definition: SyncDefinition) -> Accepted:
    async with in_time(_OPEN_S, DestinationUnavailable, _DESTINATION_SILENT):
        return await accepted_by(destination, definition.object_name)


async def _plan(destination: Destination, target: Target) -> WritePlan:
    async with in_time(_OPEN_S, DestinationUnavailable, _DESTINATION_SILENT):
        return await destination.plan(target)


def _window(policy: DeliveryPolicy, bench: Bench, plans: Sequence[WritePlan]) -> Window:
    rows = rows_in_window(policy, bench.window_rows, is_repeatable=all(plan.is_idempotent for plan in plans))
    return Window(rows, bench.clock, open_s=policy.window_s)


def _within(window: Window, plan: WritePlan) -> WritePlan:
    """A batch beyond the window would be sent twice as a whole."""
    return replace(plan, rows_per_batch=min(plan.rows_per_batch, window.rows or plan.rows_per_batch))
