"""What an executor does: claims runs as long as it has room, works on them, lets go of them in order."""

import asyncio
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from tailrace.core.errors import StoreUnavailable
from tailrace.core.ids import RunId, WorkspaceId
from tailrace.core.runs import Lease
from tailrace.observe import metrics
from tailrace.observe.failpoints import failpoint
from tailrace.pipeline.tenure import StopReason, Tenure
from tailrace.store.shards import Claim, Sighting
from tailrace_executor.bench import Bench
from tailrace_executor.carry_out import carry_out
from tailrace_executor.sparing import Sparing
from tailrace_executor.turns import Turns
from tailrace_executor.watch import Watch

_CANCEL_POLL_S = 1.0
_JITTER = 0.2

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Crew:
    """The runs that this executor works on, by lease: it may have a run anew before it is done with letting it go.

    `shards` says how many leases there are of each run.
    """

    bench: Bench
    turns: Turns
    poll_s: float
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    tenures: dict[Lease, Tenure] = field(default_factory=dict)
    shards: Counter[RunId] = field(default_factory=Counter)
    sparing: Sparing = field(default_factory=Sparing)

    async def claim_runs(self, stopping: asyncio.Event, tasks: asyncio.TaskGroup) -> None:
        """Claim run after run until stopped; woken by events, and every few seconds without.

        Leases are looked at as seldom as that however often it is woken: each look reads those of all executors.
        """
        terms, loop = self.bench.terms, asyncio.get_running_loop()
        watch = Watch(self.bench.clock, terms.heartbeat_s, terms.ttl_s + terms.grace_s)
        silent: Sequence[Sighting] = ()
        look_at = loop.time()
        while not stopping.is_set():
            self.wake.clear()
            if loop.time() >= look_at:
                silent = await self._silent(watch)
                look_at = loop.time() + self.poll_s * self.bench.random.uniform(1 - _JITTER, 1 + _JITTER)
            while len(self.tenures) < self.turns.room and not stopping.is_set():
                if not await self._claim_next(tasks, silent, watch.long_silent):
                    break
            with suppress(TimeoutError):
                async with asyncio.timeout_at(look_at):
                    await self.wake.wait()

    async def heed_cancels(self) -> None:
        """Tell runs that are to end: somebody asked for it, or another shard of theirs failed."""
        while True:
            await self.bench.clock.sleep(_CANCEL_POLL_S)
            if not self.tenures:
                continue
            try:
                asked = await self.bench.shards.cancelling([lease.run_id for lease in self.tenures])
                if self.bench.sharing:
                    asked |= await self.bench.shared_runs.failing(self.bench.sharing)
            except StoreUnavailable:
                continue
            for lease, tenure in self.tenures.items():
                if lease.run_id in asked:
                    tenure.stop(StopReason.CANCELLED)

    def let_go(self) -> None:
        """Have every run stop at its next checkpoint and be handed back."""
        self.wake.set()
        for tenure in self.tenures.values():
            tenure.stop(StopReason.SHUTDOWN)

    async def idle(self) -> None:
        """Return when no run is worked on."""
        while self.tenures:
            self.wake.clear()
            await self.wake.wait()

    async def _silent(self, watch: Watch) -> Sequence[Sighting]:
        try:
            return watch.silent(await self.bench.shards.sighted())
        except StoreUnavailable as error:
            _log.warning("claim.delayed", code=error.code)
            return ()

    async def _claim_next(
        self, tasks: asyncio.TaskGroup, silent: Sequence[Sighting], long_silent: Sequence[Sighting]
    ) -> bool:
        """Claim what has waited longest; first of those who have little of the room, if it is time to look for them."""
        stamp = self.bench.clock.monotonic()
        claim = None
        try:
            if crowding := self.turns.crowding:
                claim = await self._claim(silent, long_silent, but_for=crowding)
                if claim is None:
                    self.turns.nobody_else_waits()
                    stamp = self.bench.clock.monotonic()
            claim = claim or await self._claim(silent, long_silent, but_for=self.turns.full)
        except StoreUnavailable as error:
            _log.warning("claim.delayed", code=error.code)
        if claim is None:
            return False
        self._begin(claim, tasks, stamp)
        return True

    async def _claim(
        self, silent: Sequence[Sighting], long_silent: Sequence[Sighting], *, but_for: Collection[WorkspaceId]
    ) -> Claim | None:
        terms, shards = self.bench.terms, self.bench.shards
        return await (shards.but_for(but_for) if but_for else shards).claim(
            owner=self.bench.owner,
            ttl_s=terms.ttl_s,
            grace_s=terms.grace_s,
            silent=silent,
            long_silent=long_silent,
        )

    def _begin(self, claim: Claim, tasks: asyncio.TaskGroup, stamp: float) -> None:
        """Work on a shard that was claimed after the stamp, a monotonic time."""
        failpoint("exec.after_claim")
        tenure = Tenure(self.bench.clock, until=self.bench.terms.until(stamp))
        self.tenures[claim.lease] = tenure
        self._begin_run(claim.lease.run_id)
        self.turns.begin(claim.workspace_id)
        if claim.is_shared:
            self.bench.sharing.add(claim.lease.run_id)
        tasks.create_task(self._work(claim, tenure))

    async def _work(self, claim: Claim, tenure: Tenure) -> None:
        self.sparing.begin()
        structlog.contextvars.bind_contextvars(run_id=claim.lease.run_id, sync_id=claim.sync_id)
        try:
            await carry_out(claim, self.bench, tenure)
        except Exception:  # noqa: BLE001 - one run's bug must not end the others: its lease runs out, another tries
            _log.exception("run.crashed")
        finally:
            del self.tenures[claim.lease]
            self._end_run(claim.lease.run_id)
            self.turns.end(claim.workspace_id)
            self.sparing.end()
            self.wake.set()

    def _begin_run(self, run_id: RunId) -> None:
        self.shards[run_id] += 1
        if self.shards[run_id] == 1:
            metrics.RUNS_ACTIVE.inc()

    def _end_run(self, run_id: RunId) -> None:
        self.shards[run_id] -= 1
        if not self.shards[run_id]:
            del self.shards[run_id]
            metrics.RUNS_ACTIVE.dec()
            self.bench.sharing.discard(run_id)
