"""Shares a run over many rows with other executors: it is cut by key before its first row is sent."""

from collections.abc import Awaitable, Sequence
from dataclasses import replace
from typing import TypeVar

import structlog

from tailrace.connector_kit.key_samples import SamplesKeys
from tailrace.connector_kit.warehouse import Reading, Warehouse
from tailrace.core.errors import SourceInvalid, SourceUnavailable
from tailrace.core.rows import RowKey
from tailrace.core.runs import RunKind
from tailrace.core.syncs import SyncDefinition
from tailrace.mapping.accepted import Accepted
from tailrace.mapping.sent_keys import keys_may_meet
from tailrace.pipeline.brake import Brake
from tailrace.pipeline.columns import SCHEMA_CHANGED
from tailrace.pipeline.tenure import Stopped, StopReason, Tenure
from tailrace.store.shards import Claim
from tailrace_executor.bench import Bench
from tailrace_executor.ledger import RunLedger

_KEYS_PER_SHARD = 500

Told = TypeVar("Told")

_log = structlog.get_logger(__name__)


def may_share(ledger: RunLedger, definition: SyncDefinition, warehouse: Warehouse) -> bool:
    """Whether the run may be cut: it stands at its beginning, and reads all of its query in the order of keys."""
    is_whole = not ledger.claim.is_shared and ledger.claim.kind is not RunKind.REPLAY
    is_by_key = definition.cursor is None and bool(definition.key_columns)
    wants_it = definition.delivery.shards > 1 and not definition.delivery.strict
    return is_whole and ledger.has_not_begun and is_by_key and wants_it and warehouse.reads_up_to_a_key


async def share_out(
    ledger: RunLedger, bench: Bench, definition: SyncDefinition, warehouse: Warehouse, accepted: Accepted
) -> None:
    """Cut the run into shards of so many rows that each is worth it; the first stays here.

    Rows whose keys may become one have to be seen by one executor, to be told apart.

    :raises LeaseLost: the run is somebody else's.
    """
    claim, worth_it = ledger.claim, 2 * bench.rows_per_shard
    known = await bench.snapshots.size(claim.sync_id)
    about = known if known >= worth_it else await _rows_about(claim, bench, definition, warehouse)
    if about < worth_it or keys_may_meet(definition, accepted, await ledger.columns.of(warehouse, definition)):
        return
    parts = min(definition.delivery.shards, known // bench.rows_per_shard)
    cuts: Sequence[RowKey] = await bench.snapshots.cuts(claim.sync_id, parts) if known >= worth_it else ()
    cuts = cuts or await _sampled_cuts(bench, definition, warehouse, about)
    if not cuts:
        return
    # Before the others are there to be claimed, by ourselves too.
    bench.sharing.add(claim.lease.run_id)
    # Whoever is stopped while this is committed has to leave by what the store says.
    ledger.claim = replace(claim, is_shared=True, until=cuts[0])
    await bench.shared_runs.share_out(claim.lease, cuts, columns=ledger.columns.digest)
    _log.info("run.shared_out", shards=len(cuts) + 1)


async def check_shared(ledger: RunLedger, definition: SyncDefinition, warehouse: Warehouse, accepted: Accepted) -> None:
    """Return if what a run was cut by still holds.

    :raises SourceInvalid: `SCHEMA_CHANGED`.
    """
    columns = await ledger.columns.of(warehouse, definition)
    if keys_may_meet(definition, accepted, columns):
        raise SourceInvalid(
            "the destination's key fields changed while executors shared the run: start the sync again",
            code=SCHEMA_CHANGED,
        )


async def is_last(ledger: RunLedger, bench: Bench, tenure: Tenure, brake: Brake) -> bool:
    """Whether the rows of all other shards are settled; if not, the shard is closed, and the run is theirs.

    :raises Stopped: another shard failed.
    :raises Invalid: too many rows of the run were rejected, as can be told now that all were sent.
    :raises LeaseLost: the shard is somebody else's.
    """
    claim = ledger.claim
    if claim.is_shared:
        tenure.is_given_up = True
        total = await bench.shared_runs.leave(claim.lease)
        tenure.is_given_up = total is None
        if total is None:
            _log.info("shard.finished", shard=claim.lease.shard, code=None)
            return False
        if total.error_code is not None:
            raise Stopped(StopReason.CANCELLED)
        brake.heed(total.elsewhere)
    if (verdict := brake.verdict) is not None:
        raise verdict
    return True


async def _rows_about(claim: Claim, bench: Bench, definition: SyncDefinition, warehouse: Warehouse) -> int:
    """How many rows the run will read: as many as the last one, or as the warehouse tells, which may have to count."""
    before = await bench.shared_runs.read_before(claim.sync_id, claim.sync_version)
    if before or not isinstance(warehouse, SamplesKeys):
        return before
    return await _unless_too_slow(warehouse.rows_about(definition.source_query)) or 0


async def _sampled_cuts(bench: Bench, definition: SyncDefinition, warehouse: Warehouse, about: int) -> Sequence[RowKey]:
    """Where to cut by a sample of what is in the warehouse, which has about so many rows."""
    if not isinstance(warehouse, SamplesKeys):
        return ()
    most = definition.delivery.shards
    part = min(1.0, most * _KEYS_PER_SHARD / about)
    reading = Reading(definition.source_query, definition.key_columns)
    sample = await _unless_too_slow(warehouse.key_sample(reading, part=part)) or ()
    return cuts_of(sample, min(most, int(len(sample) / part) // bench.rows_per_shard))


async def _unless_too_slow(asked: Awaitable[Told]) -> Told | None:
    """What the warehouse tells, None where that takes it too long: the query may well be read in time, by one."""
    try:
        return await asked
    except SourceUnavailable as error:
        if error.code == SourceUnavailable.code:
            raise
        _log.warning("run.not_shared_out", code=error.code)
        return None


def cuts_of(sample: Sequence[RowKey], parts: int) -> Sequence[RowKey]:
    """The keys that end all parts but the last, where a sample is cut into so many of about the same size."""
    ordered = sorted(sample)
    return sorted({ordered[len(ordered) * part // parts] for part in range(1, parts)}) if ordered else ()
