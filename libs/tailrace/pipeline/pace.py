"""Step 4 of a row: its batch waits for its turn, within limits that all executors share."""

import asyncio
import math
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID, uuid4

from tailrace.core.clock import Clock
from tailrace.core.errors import StoreUnavailable, Throttled
from tailrace.core.seats import Seats
from tailrace.observe import metrics
from tailrace.observe.failpoints import failpoint
from tailrace.pipeline.tenure import Tenure

REQUESTS_IN_FLIGHT = 16
"""In-flight requests of one executor to a destination that sets no limit."""

_CHUNK_S = 0.25
_CHUNK_VALID_S = 1.0
_SLOT_POLL_S = 0.1
_SLOT_KEEP_S = 1.0
_SLOT_RENEW_S = 5.0
_SLOT_MARGIN_S = 2.0


class LimitStore(Protocol):
    """What executors share: request tokens and in-flight slots, by scope."""

    async def reserve(self, scope: str, *, tokens: int, rate_per_s: float | None, burst: int) -> float:
        """Seconds to wait until the tokens may be used; they are gone, used or not. No rate: only blocks count."""
        ...

    async def block(self, scope: str, for_s: float) -> None:
        """Let nobody have tokens for a while."""
        ...

    async def hold_slots(self, scope: str, token: UUID, *, wanted: int, max_slots: int, ttl_s: float) -> int:
        """How many slots are ours for `ttl_s`, at most `wanted`."""
        ...

    async def release_slots(self, scope: str, token: UUID) -> None:
        """Give all our slots back."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """A destination's limits; None where it has none. A request takes `request_s` at most, or is given up.

    A silence that the destination wants is waited for if it ends within `hold_s`.
    """

    scope: str
    requests_per_s: float | None = None
    max_in_flight: int | None = None
    request_s: float = 60.0
    hold_s: float = 120.0


class Pacer:
    """One per destination and executor process, used by all its runs."""

    def __init__(self, limits: Limits, store: LimitStore, clock: Clock) -> None:
        self._limits = limits
        self._store = store
        self._clock = clock
        self._in_flight = Seats(limits.max_in_flight or REQUESTS_IN_FLIGHT)
        self._slots = _Slots(limits, store, clock)
        self._tokens = _Tokens(limits, store, clock)

    def turn(self, tenure: Tenure) -> "_Turn":
        """The turn of one request: waited for where the scope is entered, over when it is left.

        :raises LeaseLost, Stopped: before the turn came.
        :raises Throttled: it will not come for long, as the destination wants silence.
        """
        return _Turn(self, tenure)

    async def begin(self, tenure: Tenure) -> None:
        """Wait for a turn, as `turn` does; `end` it."""
        asked = self._clock.monotonic()
        await tenure.acquire(self._in_flight)
        try:
            await self._slots.enter(tenure)
        except BaseException:
            self._in_flight.give_back()
            raise
        try:
            await self._tokens.take(tenure)
            await self._slots.keep(tenure)
            failpoint("exec.before_send")
            tenure.check()
        except BaseException:
            await self.end()
            raise
        metrics.RATE_LIMIT_WAIT.observe(self._clock.monotonic() - asked)

    async def end(self) -> None:
        """A turn is over."""
        try:
            await self._slots.leave()
        finally:
            self._in_flight.give_back()

    async def tend(self) -> None:
        """While this runs, for a run that sends now and then, slots are kept over the pauses between requests."""
        await self._slots.tend()

    async def block(self, for_s: float) -> None:
        """The destination wants silence for a while, from all executors; from this one it has it at once."""
        self._tokens.silence(for_s)
        await self._store.block(self._limits.scope, for_s)


class _Turn:
    __slots__ = ("_pacer", "_tenure")

    def __init__(self, pacer: Pacer, tenure: Tenure) -> None:
        self._pacer = pacer
        self._tenure = tenure

    def __aenter__(self) -> Coroutine[None, None, None]:
        return self._pacer.begin(self._tenure)

    async def __aexit__(self, *_: object) -> None:
        await self._pacer.end()


class _Tokens:
    """Request tokens, reserved a quarter of a second's worth at a time and void a second later.

    Where there is no rate, one look whether somebody wants silence lets requests leave for that quarter of a second.
    """

    def __init__(self, limits: Limits, store: LimitStore, clock: Clock) -> None:
        self._limits = limits
        self._store = store
        self._clock = clock
        self._turn = Seats(1)
        self._left = 0.0
        self._valid_until = 0.0
        self._silent_until = 0.0

    def silence(self, for_s: float) -> None:
        self._left = 0.0
        self._silent_until = max(self._silent_until, self._clock.monotonic() + for_s)

    async def take(self, tenure: Tenure) -> None:
        if not self._are_valid:
            await tenure.acquire(self._turn)
            try:
                while (silent_s := self._silent_until - self._clock.monotonic()) > 0:
                    self._check(silent_s)
                    await tenure.sleep(silent_s)
                if not self._are_valid:
                    await self._reserve(tenure)
            finally:
                self._turn.give_back()
        self._left -= 1

    @property
    def _are_valid(self) -> bool:
        return self._left > 0 and self._silent_until <= self._clock.monotonic() <= self._valid_until

    async def _reserve(self, tenure: Tenure) -> None:
        rate = self._limits.requests_per_s
        chunk = max(1, math.floor((rate or REQUESTS_IN_FLIGHT / _CHUNK_S) * _CHUNK_S))
        wait_s = await self._store.reserve(self._limits.scope, tokens=chunk, rate_per_s=rate, burst=chunk)
        while wait_s > 0:
            failpoint("exec.mid_token_wait")
            if wait_s > self._limits.hold_s:
                self._check(await self._silence_s(chunk))
            await tenure.sleep(wait_s)
            # Somebody may have been told to come back later while this one slept.
            wait_s = await self._silence_s(chunk)
        left, valid_s = (chunk, _CHUNK_VALID_S) if rate else (math.inf, _CHUNK_S)
        self._left, self._valid_until = left, self._clock.monotonic() + valid_s

    async def _silence_s(self, chunk: int) -> float:
        """For how long nobody may have tokens, however many are left."""
        return await self._store.reserve(self._limits.scope, tokens=0, rate_per_s=None, burst=chunk)

    def _check(self, silent_s: float) -> None:
        if silent_s > self._limits.hold_s:
            raise Throttled("the destination wants to be left alone for now", retry_after_s=silent_s)


class _Slots:
    """In-flight slots, held while there is something in flight, and for a moment longer where somebody tends them.

    Their lease outlasts one request, no more: what a crash leaves behind is free when the run is taken over.
    """

    def __init__(self, limits: Limits, store: LimitStore, clock: Clock) -> None:
        self._limits = limits
        self._store = store
        self._clock = clock
        self._token = uuid4()
        self._lock = asyncio.Lock()
        self._held = 0
        self._used = 0
        self._entering = 0
        self._renew_at = 0.0
        self._tenders = 0

    async def enter(self, tenure: Tenure) -> None:
        if self._limits.max_in_flight is None:
            return
        self._entering += 1
        try:
            while True:
                async with self._lock:
                    if self._used >= self._held or self._clock.monotonic() >= self._renew_at:
                        await self._hold(self._used + self._entering, self._limits.max_in_flight)
                    if self._used < self._held:
                        self._used += 1
                        return
                await tenure.sleep(_SLOT_POLL_S)
        finally:
            self._entering -= 1

    async def keep(self, tenure: Tenure) -> None:
        """Wait until the slots in use are ours for another request: the wait for tokens may have outlasted them."""
        if self._limits.max_in_flight is None:
            return
        while True:
            async with self._lock:
                if self._clock.monotonic() >= self._renew_at:
                    await self._hold(self._used, self._limits.max_in_flight)
                if self._used <= self._held:
                    return
            await tenure.sleep(_SLOT_POLL_S)

    async def leave(self) -> None:
        if self._limits.max_in_flight is None:
            return
        # Before anything is waited for: a cancelled wait must not keep the place.
        self._used -= 1
        if not self._are_kept:
            await self._give_back()

    async def tend(self) -> None:
        self._tenders += 1
        try:
            while self._limits.max_in_flight is not None:
                await self._clock.sleep(_SLOT_KEEP_S)
                await self._give_back()
        finally:
            self._tenders -= 1
            await self._give_back()

    @property
    def _are_kept(self) -> bool:
        """Whether idle slots are kept: not for a tenth of each second, so that others get them too."""
        return self._tenders > 0 and self._clock.monotonic() % (_SLOT_KEEP_S + _SLOT_POLL_S) < _SLOT_KEEP_S

    async def _give_back(self) -> None:
        async with self._lock:
            if not self._used and self._held:
                # Where this breaks off nobody knows whether they are ours: they are given back, or held, anew.
                self._renew_at = 0.0
                # What became of the request stands; slots that stay behind are ours again at the next one, or run out.
                with suppress(StoreUnavailable):
                    await self._store.release_slots(self._limits.scope, self._token)
                self._held = 0

    async def _hold(self, wanted: int, max_slots: int) -> None:
        renew_at = self._clock.monotonic() + _SLOT_RENEW_S
        ttl_s = self._limits.request_s + _SLOT_RENEW_S + _SLOT_MARGIN_S
        self._held = await self._store.hold_slots(
            self._limits.scope, self._token, wanted=wanted, max_slots=max_slots, ttl_s=ttl_s
        )
        self._renew_at = renew_at if self._held >= wanted else 0.0
