"""Step 5 of a row: sent, sent again where that helps, and told what became of it.

This is the only place that repeats a request. What is repeated is decided by who failed: a row that asks for it, a
destination that is out of order, a batch that holds a bad row nobody has named yet. Rows that may have been applied,
and would be there twice, are repeated only where the sync allows it.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from random import Random

import structlog

from tailrace.connector_kit.destination import Destination, WritePlan
from tailrace.connector_kit.fence import fenced
from tailrace.core.batches import Batch, BatchResult
from tailrace.core.errors import BatchRefused, DestinationUnavailable, InDoubt, TailraceError, Throttled
from tailrace.core.policies import OnAmbiguous
from tailrace.core.rows import RowOutcome, Verdict, not_delivered, rejected, unknown
from tailrace.core.time_limit import TimeLimit
from tailrace.observe import metrics
from tailrace.observe.failpoints import failpoint
from tailrace.pipeline.breaker import Breaker
from tailrace.pipeline.lineage import key_of_part
from tailrace.pipeline.pace import Pacer
from tailrace.pipeline.tenure import Tenure
from tailrace.pipeline.window import Passage

# To look up labels takes longer than to count.
_requests = cache(metrics.DESTINATION_REQUESTS.labels)
_duration = cache(metrics.DESTINATION_DURATION.labels)

_NOT_FINAL = (Verdict.RETRY, Verdict.UNKNOWN)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a batch is tried before the breaker opens, and how long. Waits grow up to `cap_s`, fully jittered."""

    attempts: int = 5
    base_s: float = 0.5
    cap_s: float = 60.0
    throttle_cap_s: float = 3600.0
    row_wait_cap_s: float = 900.0
    request_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Deliverer:
    """Sends the batches of one run; used by several tasks at once."""

    destination: Destination
    plan: WritePlan
    pacer: Pacer
    breaker: Breaker
    tenure: Tenure
    random: Random
    patience: Patience = Patience()
    on_ambiguous: OnAmbiguous = OnAmbiguous.RETRY
    time: TimeLimit = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "time", TimeLimit(self.patience.request_s))

    async def deliver(self, batch: Batch, passage: Passage) -> BatchResult:
        """Send until every row is delivered, skipped or rejected.

        :raises DestinationUnavailable, InDoubt: it is out of order, or wants silence, for long; rows of the batch may
            have been applied.
        :raises CredentialsRefused, DestinationInvalid: no batch will pass until somebody mends it.
        :raises LeaseLost, Stopped, WindowClosed: some rows may not have been sent.
        """
        outcomes = await self._attempt(batch, passage)
        if not any(outcomes[at].verdict in _NOT_FINAL for at in not_delivered(outcomes)):
            return BatchResult(batch, outcomes)
        return await self._repeat(batch, outcomes, passage)

    async def _repeat(self, batch: Batch, outcomes: Sequence[RowOutcome], passage: Passage) -> BatchResult:
        """Send what the first attempt has left again, until nothing is left."""
        todo = list(range(len(batch.rows)))
        final: dict[int, RowOutcome] = {}
        attempt = 1
        while True:
            settled = {at: self._settle(got, attempt) for at, got in zip(todo, outcomes, strict=True)}
            final |= {at: got for at, got in settled.items() if got is not None}
            todo = [at for at in todo if at not in final]
            if not todo:
                return BatchResult(batch, [final[at] for at in range(len(batch.rows))])
            asked_s = max(got.retry_after_s or 0.0 for got in outcomes)
            failpoint("exec.mid_backoff")
            await self.tenure.sleep(max(self._backoff_s(attempt), min(asked_s, self.patience.row_wait_cap_s)))
            outcomes = await self._attempt(self._part(batch, todo), passage)
            attempt += 1

    async def _attempt(self, batch: Batch, passage: Passage) -> Sequence[RowOutcome]:
        """One answer for the batch, however often the destination has to be asked for it."""
        failures = 0
        while True:
            try:
                return (await self._send(batch, passage)).outcomes
            except BatchRefused as refusal:
                return await self._bisect(batch, refusal, passage)
            except Throttled as throttled:
                await self._wait_as_told(throttled)
            except (DestinationUnavailable, InDoubt) as error:
                if isinstance(error, InDoubt) and not self._may_repeat_what_was_sent:
                    return [unknown(error.message)] * len(batch.rows)
                failures += self.breaker.is_closed
                await self._back_off(error, failures)

    async def _back_off(self, error: TailraceError, failures: int) -> None:
        """Wait before the next attempt: a while, or for the breaker.

        :raises DestinationUnavailable, InDoubt: the error; others get through, or nobody has for long.
        """
        if failures > self.patience.attempts:
            raise error
        if failures == self.patience.attempts:
            self.breaker.trip()
        if self.breaker.is_closed:
            self.breaker.spend_repeat()
        _log.info("delivery.retried", code=error.code, attempt=failures)
        failpoint("exec.mid_backoff")
        if self.breaker.is_closed:
            await self.tenure.sleep(self._backoff_s(failures))
            return
        if not self.breaker.has_given_up:
            await self.pacer.block(self.breaker.silence_s)
        try:
            await self.breaker.until_it_lets_one(self.tenure)
        except DestinationUnavailable:
            raise error from None

    async def _send(self, batch: Batch, passage: Passage) -> BatchResult:
        """One request, once window, breaker and limits let it leave."""
        while True:
            if not self.breaker.lets_one:
                await self.breaker.until_it_lets_one(self.tenure)
            if not passage.is_free:
                async with self.tenure.ending():
                    await passage.freed()
            async with self.pacer.turn(self.tenure):
                if self.breaker.lets_one and passage.is_free:
                    passage.begin()
                    with self.breaker.watched():
                        return await self._write(batch)

    async def _write(self, batch: Batch) -> BatchResult:
        code, sent_at = "ok", time.perf_counter()
        try:
            with self.time.scope(), fenced(self.tenure.check):
                return await self.destination.write(self.plan, batch)
        except TimeoutError as error:
            code = InDoubt.code
            raise InDoubt(f"the destination did not answer in {self.patience.request_s:g} s") from error
        except TailraceError as error:
            code = error.code
            raise
        finally:
            _requests(self.destination.name, code).inc()
            _duration(self.destination.name).observe(time.perf_counter() - sent_at)

    async def _bisect(self, batch: Batch, refusal: BatchRefused, passage: Passage) -> Sequence[RowOutcome]:
        """Halve a refused batch until the bad rows stand alone."""
        if len(batch.rows) == 1:
            return [rejected(refusal.code, refusal.message)]
        middle = len(batch.rows) // 2
        first = await self.deliver(self._part(batch, range(middle)), passage)
        second = await self.deliver(self._part(batch, range(middle, len(batch.rows))), passage)
        return [*first.outcomes, *second.outcomes]

    async def _wait_as_told(self, throttled: Throttled) -> None:
        wait_s = self._backoff_s(1) if throttled.retry_after_s is None else throttled.retry_after_s
        wait_s = min(wait_s, self.patience.throttle_cap_s)
        _log.info("delivery.throttled", wait_s=wait_s)
        await self.pacer.block(wait_s)
        self.breaker.heed(throttled, wait_s)
        await self.tenure.sleep(wait_s)

    def _settle(self, outcome: RowOutcome, attempt: int) -> RowOutcome | None:
        """The outcome that stands, or None for a row that is worth another attempt."""
        match outcome.verdict:
            case Verdict.RETRY if attempt < self.patience.attempts:
                return None
            case Verdict.UNKNOWN if attempt < self.patience.attempts and self._may_repeat_what_was_sent:
                return None
            case Verdict.RETRY | Verdict.UNKNOWN:
                return replace(outcome, verdict=Verdict.REJECTED)
            case _:
                return outcome

    @property
    def _may_repeat_what_was_sent(self) -> bool:
        return self.plan.is_idempotent or self.on_ambiguous is OnAmbiguous.RETRY

    def _part(self, batch: Batch, indexes: Sequence[int]) -> Batch:
        if len(indexes) == len(batch.rows):
            return batch
        rows = [batch.rows[at] for at in indexes]
        return Batch(batch.operation, rows, key_of_part(batch.idempotency_key, indexes))

    def _backoff_s(self, attempt: int) -> float:
        return self.random.uniform(0.0, min(self.patience.cap_s, self.patience.base_s * 2**attempt))
