"""Whether a run may go on: its lease still holds and nobody asked it to stop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import NoReturn

from tailrace.core.clock import Clock
from tailrace.core.errors import LeaseLost, TailraceError
from tailrace.core.seats import Seats
from tailrace.core.time_limit import Scopes


class StopReason(StrEnum):
    """Why a run stops before its end."""

    CANCELLED = "cancelled"
    SHUTDOWN = "shutdown"


class Stopped(TailraceError):
    """The run was asked to stop; what had not been sent stays unsent."""

    code = "STOPPED"

    def __init__(self, reason: StopReason) -> None:
        super().__init__(f"stopped: {reason}")
        self.reason = reason


class Tenure:
    """Asked before every request and in every wait. Times are the local monotonic clock's: no other clock decides.

    What `is_given_up` is being let go of, or was: it is no loss then that the store knows nothing of the lease.
    """

    def __init__(self, clock: Clock, *, until: float) -> None:
        self._clock = clock
        self._until = until
        self.is_given_up = False
        self._stop = asyncio.Event()
        self._reason = StopReason.SHUTDOWN
        self._waits = Scopes()
        self._asked: set[asyncio.Future[bool]] = set()
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def reason(self) -> StopReason:
        """Why the end was asked for."""
        return self._reason

    @property
    def left_s(self) -> float:
        """Seconds until the lease may be somebody else's."""
        return self._until - self._clock.monotonic()

    def renew(self, *, until: float) -> None:
        """The lease was kept; `until` was computed from a stamp taken before the store was asked."""
        self._until = max(self._until, until)

    def stop(self, reason: StopReason) -> None:
        """Ask for the end; the first reason stands."""
        if not self._stop.is_set():
            self._reason = reason
            self._stop.set()
            self._waits.end_all()
            self._send_away()

    def check(self) -> None:
        """Return if a request may leave now.

        :raises LeaseLost: another executor may own the run by now.
        :raises Stopped: the run was asked to end.
        """
        if self.left_s <= 0:
            raise LeaseLost("the lease ran out before the request could be sent")
        if self._stop.is_set():
            raise Stopped(self._reason)

    async def stopped(self) -> None:
        """Return when somebody asks for the end."""
        await self._stop.wait()

    async def ran_out(self) -> NoReturn:
        """Wait for as long as the lease is kept.

        :raises LeaseLost: it was not, and what is under way has to be given up.
        """
        while (left_s := self.left_s) > 0:
            await self._clock.sleep(left_s)
        raise LeaseLost("the lease could not be renewed in time")

    @asynccontextmanager
    async def ending(self) -> AsyncIterator[None]:
        """What is waited for inside ends as soon as somebody asks for the end.

        :raises LeaseLost, Stopped: as `check`.
        """
        self.check()
        scope = self._waits.scope()
        try:
            with scope:
                yield
        except TimeoutError:
            if scope.is_over:
                raise Stopped(self._reason) from None
            raise

    async def acquire(self, seats: Seats) -> None:
        """Wait for a seat, but not past the end.

        :raises LeaseLost, Stopped: as `check`; it is not ours then.
        """
        self.check()
        while not seats.take() and not await self._got(seats):
            self.check()

    async def sleep(self, wait_s: float) -> None:
        """Wait, but not past the end.

        :raises LeaseLost, Stopped: as `check`.
        """
        ends = self._clock.monotonic() + wait_s
        while (left_s := ends - self._clock.monotonic()) > 0:
            self.check()
            try:
                async with asyncio.timeout(max(0.0, min(left_s, self.left_s))):
                    await self._stop.wait()
            except TimeoutError:
                continue
        self.check()

    async def _got(self, seats: Seats) -> bool:
        """Whether a seat came; if not, the wait is over."""
        self._watch_lease()
        asked = seats.ask()
        self._asked.add(asked)
        try:
            return await asked
        except asyncio.CancelledError:
            # It came as the wait was cancelled.
            if not asked.cancelled() and asked.result():
                seats.give_back()
            raise
        finally:
            self._asked.discard(asked)

    def _send_away(self) -> None:
        for asked in self._asked:
            if not asked.done():
                asked.set_result(False)

    def _watch_lease(self) -> None:
        if self._alarm is None:
            loop = asyncio.get_running_loop()
            self._alarm = loop.call_later(max(0.0, self.left_s), self._look_at_lease)

    def _look_at_lease(self) -> None:
        """End the waits for a seat if the lease is over; it may have been renewed."""
        self._alarm = None
        if self.left_s > 0:
            self._watch_lease()
        else:
            self._send_away()
