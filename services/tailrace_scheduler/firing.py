"""Fires the schedules that are due: any number of schedulers at once, each sync by one of them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import structlog

from tailrace.core.clock import Clock
from tailrace.core.errors import Unavailable
from tailrace.core.ids import SyncId
from tailrace.events.run_events import run_queued
from tailrace.observe import fields, metrics
from tailrace.store.schedules import Fired, Schedules

CLOCKS_APART_S = 60.0
"""A database whose clock is further from ours has jumped: firing by it could skip or repeat hours."""

_LISTED_AT_ONCE = 1000
_FIRED_AT_ONCE = 25
_LANES = 2
_HOLD_OFF_S = 60.0

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Firing:
    """Fires schedules, and holds off those that cannot be fired."""

    schedules: Schedules
    clock: Clock
    random: Random
    held_off: dict[SyncId, float] = field(default_factory=dict)

    async def fire_due(self) -> None:
        """Fire every sync that is due.

        One that cannot be fired is logged and tried again in a minute; the others do not wait for it.

        :raises StoreUnavailable: what was fired is fired, the rest is still due.
        :raises Unavailable: `CLOCKS_APART`; nothing was fired.
        """
        await self.check_clocks()
        while due := await self.schedules.due(without=self._held_off(), limit=_LISTED_AT_ONCE):
            sweep = _Sweep(self._cut(due))
            async with asyncio.TaskGroup() as tasks:
                for _ in range(_LANES):
                    tasks.create_task(self._fire(sweep))
            if sweep.cut_short is not None:
                raise sweep.cut_short
            if not sweep.fired and not sweep.failed:
                return
            self.held_off |= dict.fromkeys(sweep.failed, self.clock.monotonic() + _HOLD_OFF_S)

    async def check_clocks(self) -> None:
        """Return if the database's clock and ours tell about the same time.

        :raises Unavailable: they do not.
        """
        apart_s = (await self.schedules.now() - self.clock.now()).total_seconds()
        if abs(apart_s) > CLOCKS_APART_S:
            raise Unavailable(
                f"the database's clock is {apart_s:+.0f} s from ours: set the one that is wrong; no schedule fires",
                code="CLOCKS_APART",
            )

    def _cut(self, due: Sequence[SyncId]) -> list[list[SyncId]]:
        """The same pieces for all schedulers, each beginning somewhere else: they meet whole pieces that are done."""
        ordered = sorted(due)
        pieces = [ordered[at : at + _FIRED_AT_ONCE] for at in range(0, len(ordered), _FIRED_AT_ONCE)]
        first = self.random.randrange(len(pieces))
        return pieces[first:] + pieces[:first]

    def _held_off(self) -> set[SyncId]:
        now = self.clock.monotonic()
        self.held_off = {sync_id: until for sync_id, until in self.held_off.items() if until > now}
        return set(self.held_off)

    async def _fire(self, sweep: "_Sweep") -> None:
        while sweep.waiting and sweep.cut_short is None:
            some = sweep.waiting.pop()
            try:
                fired = await self.schedules.fire(some, run_queued)
            except Unavailable as error:
                sweep.cut_short = error
            except Exception:  # noqa: BLE001 - one sync must not stop the schedules of all others
                sweep.part(some)
            else:
                sweep.fired += len(fired)
                for one in fired:
                    self._tell(one)

    def _tell(self, fired: Fired) -> None:
        for outcome, ticks in fired.outcomes.items():
            metrics.SCHEDULE_TICKS.labels(outcome).inc(ticks)
        if fired.run_id is not None and fired.lag_s is not None:
            metrics.SCHEDULE_LAG.observe(fired.lag_s)
        told = {str(outcome): ticks for outcome, ticks in fired.outcomes.items()}
        _log.info("schedule.fired", ticks=told, **{fields.SYNC_ID: fired.sync_id, fields.RUN_ID: fired.run_id})


@dataclass(slots=True)
class _Sweep:
    """Syncs to be fired, some at a time, and what became of those that were taken out."""

    waiting: list[list[SyncId]]
    fired: int = 0
    failed: set[SyncId] = field(default_factory=set)
    cut_short: Unavailable | None = None

    def part(self, some: list[SyncId]) -> None:
        """These cannot be fired together: find out which of them cannot be fired alone."""
        if len(some) > 1:
            self.waiting += [[sync_id] for sync_id in some]
            return
        _log.exception("schedule.failed", **{fields.SYNC_ID: some[0]})
        self.failed.update(some)
