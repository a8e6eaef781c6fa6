"""Step 5 of a row: sent, sent again where that helps, and told what became of it.

This is the only place that repeats a request. What is repeated is decided by who failed: a row that asks for it, a
destination that is out of order, a batch that holds a bad row nobody has named yet.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

import structlog

from tailrace.connector_kit.destination import Destination, WritePlan
from tailrace.connector_kit.fence import fenced
from tailrace.core.batches import Batch, BatchResult
from tailrace.core.errors import BatchRefused, DestinationUnavailable, InDoubt, TailraceError, Throttled
from tailrace.core.ids import SyncId
from tailrace.core.rows import RowOutcome, Verdict, rejected
from tailrace.observe import metrics
from tailrace.observe.failpoints import failpoint
from tailrace.pipeline.batch import idempotency_key
from tailrace.pipeline.pace import Pacer
from tailrace.pipeline.tenure import Tenure

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and how long. Waits grow from `base_s` to `cap_s`, each a random part of it."""

    attempts: int = 5
    base_s: float = 0.5
    cap_s: float = 60.0
    throttle_cap_s: float = 900.0
    request_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Deliverer:
    """Sends the batches of one run; used by several tasks at once."""

    sync_id: SyncId
    destination: Destination
    plan: WritePlan
    pacer: Pacer
    tenure: Tenure
    random: Random
    patience: Patience = Patience()

    async def deliver(self, batch: Batch) -> BatchResult:
        """Send until every row is delivered, skipped or rejected.

        :raises DestinationUnavailable, InDoubt: the attempts are used up; rows of the batch may have been applied.
        :raises CredentialsRefused, DestinationInvalid: no batch will pass until somebody mends it.
        :raises LeaseLost, Stopped: some rows may not have been sent.
        """
        todo = list(range(len(batch.rows)))
        final: dict[int, RowOutcome] = {}
        attempt = 0
        while todo:
            outcomes = await self._attempt(self._part(batch, todo), attempt)
            attempt += 1
            settled = {at: self._settle(got, attempt) for at, got in zip(todo, outcomes, strict=True)}
            final |= {at: got for at, got in settled.items() if got is not None}
            todo = [at for at in todo if at not in final]
            if todo:
                asked_s = max(got.retry_after_s or 0.0 for got in outcomes)
                failpoint("exec.mid_backoff")
                await self.tenure.sleep(max(self._backoff_s(attempt), min(asked_s, self.patience.throttle_cap_s)))
        return BatchResult(batch, [final[at] for at in range(len(batch.rows))])

    async def _attempt(self, batch: Batch, attempt: int) -> Sequence[RowOutcome]:
        """One answer for the batch, however often the destination has to be asked for it."""
        while True:
            try:
                return (await self._send(batch)).outcomes
            except BatchRefused as refusal:
                return await self._bisect(batch, refusal)
            except Throttled as throttled:
                await self._wait_as_told(throttled)
            except (DestinationUnavailable, InDoubt) as error:
                attempt += 1
                if attempt >= self.patience.attempts:
                    raise
                _log.info("delivery.retried", sync_id=self.sync_id, code=error.code, attempt=attempt)
                failpoint("exec.mid_backoff")
                await self.tenure.sleep(self._backoff_s(attempt))

    async def _send(self, batch: Batch) -> BatchResult:
        async with self.pacer.turn(self.tenure):
            code, sent_at = "ok", time.perf_counter()
            try:
                async with asyncio.timeout(self.patience.request_s):
                    with fenced(self.tenure.check):
                        return await self.destination.write(self.plan, batch)
            except TimeoutError as error:
                code = InDoubt.code
                raise InDoubt(f"the destination did not answer in {self.patience.request_s:g} s") from error
            except TailraceError as error:
                code = error.code
                raise
            finally:
                metrics.DESTINATION_REQUESTS.labels(connector=self.destination.name, code=code).inc()
                metrics.DESTINATION_DURATION.labels(self.destination.name).observe(time.perf_counter() - sent_at)

    async def _bisect(self, batch: Batch, refusal: BatchRefused) -> Sequence[RowOutcome]:
        """Halve a refused batch until the bad rows stand alone."""
        if len(batch.rows) == 1:
            return [rejected(refusal.code, refusal.message)]
        middle = len(batch.rows) // 2
        first = await self.deliver(self._part(batch, range(middle)))
        second = await self.deliver(self._part(batch, range(middle, len(batch.rows))))
        return [*first.outcomes, *second.outcomes]

    async def _wait_as_told(self, throttled: Throttled) -> None:
        wait_s = self._backoff_s(1) if throttled.retry_after_s is None else throttled.retry_after_s
        wait_s = min(wait_s, self.patience.throttle_cap_s)
        _log.info("delivery.throttled", sync_id=self.sync_id, wait_s=wait_s)
        await self.pacer.block(wait_s)
        await self.tenure.sleep(wait_s)

    def _settle(self, outcome: RowOutcome, attempt: int) -> RowOutcome | None:
        """The outcome that stands, or None for a row that is worth another attempt."""
        if outcome.verdict not in {Verdict.RETRY, Verdict.UNKNOWN}:
            return outcome
        if attempt < self.patience.attempts:
            return None
        return replace(outcome, verdict=Verdict.REJECTED)

    def _part(self, batch: Batch, indexes: Sequence[int]) -> Batch:
        if len(indexes) == len(batch.rows):
            return batch
        rows = [batch.rows[at] for at in indexes]
        return Batch(batch.operation, rows, idempotency_key(self.sync_id, batch.operation, rows))

    def _backoff_s(self, attempt: int) -> float:
        return self.random.uniform(0.0, min(self.patience.cap_s, self.patience.base_s * 2**attempt))
