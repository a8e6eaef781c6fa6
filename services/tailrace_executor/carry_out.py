"""One run, from its claim to its end."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import TypeVar

import structlog

from tailrace.core.errors import (
    DestinationUnavailable,
    InDoubt,
    Invalid,
    LeaseLost,
    SourceUnavailable,
    StoreUnavailable,
    TailraceError,
    Throttled,
)
from tailrace.core.runs import CANCELLED, RunName, RunStatus
from tailrace.events.run_events import run_finished
from tailrace.observe import metrics
from tailrace.observe.failpoints import failpoint
from tailrace.pipeline.brake import FAILURE_THRESHOLD, too_many
from tailrace.pipeline.tenure import Stopped, StopReason, Tenure
from tailrace.pipeline.walk import walk
from tailrace.store.shards import Claim, Ending
from tailrace.store.shared_runs import Sum
from tailrace_executor.bench import Bench
from tailrace_executor.ledger import RunLedger
from tailrace_executor.route import open_route

CLAIMS_WITHOUT_PROGRESS = 3
"""A run that was claimed so often since its last checkpoint kills its executors: it must not go on for ever."""

RECONNECTS = 3
"""So often in a row a run connects to its source anew without having got further."""

_STORE_RETRY_S = 0.5
_RECONNECT_S = 0.5

Written = TypeVar("Written")

_log = structlog.get_logger(__name__)


async def carry_out(claim: Claim, bench: Bench, tenure: Tenure) -> None:
    """Work on a claimed shard until its run ends, is handed back, or belongs to somebody else."""
    try:
        async with asyncio.TaskGroup() as tasks:
            keeping = [tasks.create_task(_keep_lease(claim, bench, tenure)), tasks.create_task(tenure.ran_out())]
            await _work(claim, bench, tenure)
            for task in keeping:
                task.cancel()
    except* LeaseLost as lost:
        metrics.LEASES_LOST.inc()
        _log.warning("lease.lost", reason=str(lost.exceptions[0]))


async def _keep_lease(claim: Claim, bench: Bench, tenure: Tenure) -> None:
    """Renew the lease while the run is worked on."""
    wait_s = bench.terms.heartbeat_s
    while True:
        await bench.clock.sleep(wait_s)
        stamp = bench.clock.monotonic()
        try:
            await bench.shards.heartbeat(claim.lease, ttl_s=bench.terms.ttl_s)
        except StoreUnavailable as error:
            _log.warning("heartbeat.delayed", code=error.code)
            wait_s = _STORE_RETRY_S
        except LeaseLost:
            if tenure.is_given_up:
                return
            raise
        else:
            tenure.renew(until=bench.terms.until(stamp))
            wait_s = bench.terms.heartbeat_s


async def _work(claim: Claim, bench: Bench, tenure: Tenure) -> None:
    """Walk the rows, then write how it ended; where the run is only interrupted, hand it back."""
    ledger = RunLedger(claim, bench.checkpoints, tenure, bench.clock, bench.terms)
    try:
        async with bench.of_sync(claim.sync_id) as its_bench:
            is_through = await _walk(ledger, its_bench, tenure)
    except Stopped as stopped:
        if stopped.reason is StopReason.SHUTDOWN:
            await _hand_back(claim, bench, tenure, stopped)
        else:
            await _finish(ledger, bench, tenure, stopped)
    except StoreUnavailable as error:
        await _hand_back(claim, bench, tenure, error)
    except (DestinationUnavailable, InDoubt) as error:
        await _pause(ledger, bench, tenure, error)
    except LeaseLost:
        raise
    except TailraceError as error:
        await _finish(ledger, bench, tenure, error)
    else:
        if is_through:
            await _finish(ledger, bench, tenure, None)


async def _walk(ledger: RunLedger, bench: Bench, tenure: Tenure) -> bool:
    """Walk the rows of the shard, and what comes behind all rows; False where that is for others to do."""
    claim = ledger.claim
    if claim.is_cancelling:
        raise Stopped(StopReason.CANCELLED)
    if claim.attempts_without_progress > CLAIMS_WITHOUT_PROGRESS:
        raise Invalid(
            f"{CLAIMS_WITHOUT_PROGRESS} executors ended without progress on this run:"
            " look for rows of extreme size, then start it again",
            code="CRASH_LOOP",
        )
    is_through = await _walk_all(ledger, bench, tenure)
    if is_through:
        await _merge_at_last(claim, bench)
    return is_through


async def _merge_at_last(claim: Claim, bench: Bench) -> None:
    try:
        await bench.snapshots.merge(claim.lease, claim.sync_id)
    except SourceUnavailable as error:
        # All rows are settled, and the next run begins with what is left of this.
        _log.warning("snapshot.left_unmerged", code=error.code)


async def _make_ready(claim: Claim, bench: Bench, tenure: Tenure) -> None:
    """Have what the shard compares with as the run before has left it."""
    async with tenure.ending():
        await bench.snapshots.check(claim.sync_id)
        if not claim.checkpoint_seq and not claim.is_shared:
            if await bench.snapshots.forget_other_target(claim.lease, claim.sync_id):
                _log.info("snapshot.forgotten")
            await bench.snapshots.merge(claim.lease, claim.sync_id)


async def _walk_all(ledger: RunLedger, bench: Bench, tenure: Tenure) -> bool:
    """Walk the rows; where the source is lost on the way, connect anew and go on from the checkpoint.

    :raises SourceUnavailable: it was lost again and again, without a row settled in between.
    """
    losses, is_ready = 0, False
    while True:
        stood_at = ledger.position
        try:
            if not is_ready:
                await _make_ready(ledger.claim, bench, tenure)
                is_ready = True
            async with AsyncExitStack() as stack:
                async with tenure.ending():
                    route = await stack.enter_async_context(open_route(ledger, bench, tenure))
                return await walk(route)
        except SourceUnavailable as error:
            losses = 1 if ledger.position != stood_at else losses + 1
            if losses > RECONNECTS or error.code != SourceUnavailable.code:
                raise
            _log.warning("source.lost", losses=losses, reason=error.message)
            await tenure.sleep(bench.random.uniform(0.5, 1.0) * _RECONNECT_S * 3 ** (losses - 1))


async def _hand_back(claim: Claim, bench: Bench, tenure: Tenure, why: TailraceError) -> None:
    _log.info("run.handed_back", code=why.code)
    failpoint("exec.during_sigterm_handback")
    await _until_stored(bench, tenure, lambda: bench.shards.hand_back(claim.lease))


async def _pause(ledger: RunLedger, bench: Bench, tenure: Tenure, why: TailraceError) -> None:
    """Have the run wait for its destination, in nobody's hands, or give it up where it has waited for long enough."""
    claim = ledger.claim
    got_through = ledger.books.delivered + ledger.books.deleted > claim.books.delivered + claim.books.deleted
    pauses, paused_for_s = (0, 0.0) if got_through else (claim.pauses, claim.paused_for_s)
    asked_s = why.retry_after_s or 0.0 if isinstance(why, Throttled) else 0.0
    wait_s = bench.pauses.next_s(pauses, paused_for_s, bench.random, asked_s=asked_s)
    if wait_s is None:
        message = f"{why.message}; no row got through for {paused_for_s / 60:.0f} minutes"
        await _finish(ledger, bench, tenure, DestinationUnavailable(message))
        return
    _log.warning("run.paused", code=why.code, wait_s=wait_s, reason=why.message)
    reason = f"waiting for the destination: {why.message}"
    await _until_stored(bench, tenure, lambda: bench.shards.pause(claim.lease, wait_s=wait_s, reason=reason))


async def _finish(ledger: RunLedger, bench: Bench, tenure: Tenure, error: TailraceError | None) -> None:
    """Write how the run ended; where others share it and are not done, only that this shard did."""
    claim = ledger.claim
    total = Sum(ledger.books, *_reason(error))
    if claim.is_shared:
        leave = partial(bench.shared_runs.leave, claim.lease, code=total.error_code, message=total.error_message)
        left = await _until_stored(bench, tenure, leave)
        if left is None:
            _log.info("shard.finished", shard=claim.lease.shard, code=total.error_code)
            return
        total = left
    await _finish_run(ledger, bench, tenure, total)


async def _finish_run(ledger: RunLedger, bench: Bench, tenure: Tenure, total: Sum) -> None:
    claim, books, code, message = ledger.claim, total.books, total.error_code, total.error_message
    if code == FAILURE_THRESHOLD:
        # Others had rows under way when this was first said.
        message = too_many(ledger.rejections + total.elsewhere).message
    if code is None and not books.balance:
        code, message = "BOOKS_UNBALANCED", "rows are missing in the books of this run: report it as a bug"
    status = _status(code)
    name = RunName(claim.lease.run_id, claim.sync_id, claim.workspace_id)
    told = run_finished(name, status, books, at=bench.clock.now(), error_code=code)
    ending = Ending(status, told, code, message)
    failpoint("exec.before_finish")
    await _until_stored(bench, tenure, lambda: bench.shards.finish(claim.lease, ending))
    failpoint("exec.finish_after_commit")
    metrics.RUNS.labels(status=status).inc()
    metrics.RUN_DURATION.observe(ledger.run_for_s)
    _log.info("run.finished", status=status, code=code)


def _reason(error: TailraceError | None) -> tuple[str | None, str | None]:
    if isinstance(error, Stopped):
        return CANCELLED, None
    return (None, None) if error is None else (error.code, error.message)


def _status(code: str | None) -> RunStatus:
    if code == CANCELLED:
        return RunStatus.CANCELLED
    return RunStatus.SUCCEEDED if code is None else RunStatus.FAILED


async def _until_stored(bench: Bench, tenure: Tenure, write: Callable[[], Awaitable[Written]]) -> Written:
    """Repeat a write while the store is away and the lease lasts.

    :raises LeaseLost: it was not written, or was by an attempt whose answer got lost.
    """
    tenure.is_given_up = True
    while True:
        try:
            return await write()
        except StoreUnavailable as error:
            if tenure.left_s <= _STORE_RETRY_S:
                raise LeaseLost("the store stayed away until the lease ran out") from error
            await bench.clock.sleep(_STORE_RETRY_S)
