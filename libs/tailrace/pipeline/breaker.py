"""The breaker: a destination that is out of order is left alone, and asked by single requests whether it is back.

It opens when nearly all requests of the last minute failed, when a batch has used up its attempts, or when repeats
have used up their budget: a repeat costs one, a request that is answered gives a tenth back. While it is open one
probe at a time goes out; the first that is answered closes it. A destination that refuses a batch is at work.

One that throttles is at work too, but may want silence for longer than a run should wait here: then it is treated as
one that is out of order, until a request gets through.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from random import Random

import structlog

from tailrace.core.clock import Clock
from tailrace.core.errors import (
    BatchRefused,
    CredentialsRefused,
    DestinationInvalid,
    DestinationUnavailable,
    InDoubt,
    Throttled,
    Unfinished,
)
from tailrace.core.waits import pause
from tailrace.pipeline.tenure import Tenure

_ANSWERS = (Unfinished, BatchRefused, CredentialsRefused, DestinationInvalid)
_REQUESTS_KEPT = 200
_LOOK_S = 1.0
_SHORTEST_S = 0.001

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class BreakerTerms:
    """When it opens, how it probes, and after how long without an answer the runs that wait are let down.

    `hold_s` is how long they wait for a destination that throttles.
    """

    ratio: float = 0.8
    requests: int = 10
    over_s: float = 60.0
    repeats: int = 10
    answers_per_repeat: int = 10
    probe_first_s: float = 1.0
    probe_cap_s: float = 15.0
    probe_for_s: float = 30.0
    hold_s: float = 120.0


class Breaker:
    """One per destination and executor process, used by all its runs."""

    def __init__(self, terms: BreakerTerms, clock: Clock, random: Random) -> None:
        self._terms = terms
        self._clock = clock
        self._random = random
        self._seen: deque[tuple[float, bool]] = deque()
        self._credit = terms.repeats * terms.answers_per_repeat
        self._opened_at: float | None = None
        self._probe_at = 0.0
        self._probes = 0
        self._is_probing = False
        self._complaint = "the destination is out of order"
        self._throttled_at: float | None = None
        self._silent_until = 0.0
        self._lets_down = False
        self._changed = asyncio.Event()

    @property
    def silence_s(self) -> float:
        """Seconds for which nobody should ask the destination; 0 while it is at work."""
        return 0.0 if self._opened_at is None else max(0.0, self._probe_at - self._clock.monotonic())

    @property
    def is_closed(self) -> bool:
        """Whether requests may leave side by side."""
        return self._opened_at is None

    @property
    def lets_one(self) -> bool:
        """Whether a request may leave now: as one of many, or as the only probe."""
        return self._opened_at is None or (not self._is_probing and not self.silence_s)

    async def until_it_lets_one(self, tenure: Tenure) -> None:
        """Wait for `lets_one`.

        :raises DestinationUnavailable: it has been open for so long that a run should wait elsewhere; `Throttled`
            where the destination said for how long.
        :raises LeaseLost, Stopped: before it let one.
        """
        while not self.lets_one:
            if self.has_given_up and not self._is_probing:
                raise self._why
            async with tenure.ending():
                await pause(self._changed, max(self.silence_s, _SHORTEST_S) if self.silence_s else _LOOK_S)

    def heed(self, throttled: Throttled, wait_s: float) -> None:
        """The destination wants silence for so long: return if a run may wait for its end here.

        :raises Throttled: too long, counted from when a request last got through, and for how much longer.
        """
        now = self._clock.monotonic()
        if isinstance(throttled, Unfinished):
            return
        if self._throttled_at is None:
            self._throttled_at = now
        self._silent_until = max(self._silent_until, now + wait_s)
        if self._silent_until - self._throttled_at > self._terms.hold_s:
            self._complaint = throttled.message
            self._lets_down = True
            self.trip()
            raise Throttled(throttled.message, retry_after_s=self._silent_until - now)

    def welcome(self) -> None:
        """A run begins: where others were let down it may probe at once, for somebody may have mended it."""
        if self.has_given_up:
            self._probe_at = self._clock.monotonic()
            self._tell()

    def doubt(self) -> None:
        """A run comes back from its wait: where nobody got through lately, one probe leaves before all others."""
        now = self._clock.monotonic()
        is_known_to_work = any(not is_failure and at > now - self._terms.over_s for at, is_failure in self._seen)
        if self._opened_at is None and not is_known_to_work:
            self._opened_at, self._probes, self._probe_at = now, 0, now

    def spend_repeat(self) -> None:
        """Take one repeat from the budget; open where none is left."""
        if self._credit < self._terms.answers_per_repeat:
            self.trip()
        else:
            self._credit -= self._terms.answers_per_repeat

    def trip(self) -> None:
        """Open, if it is closed."""
        if self._opened_at is None:
            self._opened_at, self._probes = self._clock.monotonic(), 0
            self._plan_probe()
            _log.warning("breaker.opened", probe_in_s=round(self.silence_s, 3))

    def watched(self) -> "_Watched":
        """A request is made inside; how it ends is what the breaker goes by."""
        is_probe = self._opened_at is not None
        self._is_probing = self._is_probing or is_probe
        return _Watched(self, is_probe=is_probe)

    def ended(self, error: BaseException | None, *, is_probe: bool) -> None:
        """A request has ended, with an answer or with that error."""
        if error is None or isinstance(error, _ANSWERS):
            self._answered()
        elif isinstance(error, Throttled):
            self._note(is_failure=False)
            self._plan_next_probe(is_probe=is_probe)
        elif isinstance(error, (DestinationUnavailable, InDoubt)):
            self._complaint = error.message
            self._failed(is_probe=is_probe)
        if is_probe:
            self._is_probing = False
            self._tell()

    @property
    def has_given_up(self) -> bool:
        """Whether runs should wait elsewhere."""
        if self._opened_at is None:
            return False
        return self._lets_down or self._clock.monotonic() - self._opened_at >= self._terms.probe_for_s

    @property
    def _why(self) -> DestinationUnavailable:
        silent_s = self._silent_until - self._clock.monotonic()
        if silent_s > 0:
            return Throttled(self._complaint, retry_after_s=silent_s)
        return DestinationUnavailable(self._complaint)

    def _answered(self) -> None:
        self._note(is_failure=False)
        full = self._terms.repeats * self._terms.answers_per_repeat
        self._credit = min(full, self._credit + 1)
        self._throttled_at, self._silent_until, self._lets_down = None, 0.0, False
        if self._opened_at is not None:
            _log.info("breaker.closed", open_s=round(self._clock.monotonic() - self._opened_at, 3))
            self._opened_at, self._credit = None, full
            self._seen.clear()
            self._tell()

    def _failed(self, *, is_probe: bool) -> None:
        self._note(is_failure=True)
        failures = sum(is_failure for _, is_failure in self._seen)
        self._plan_next_probe(is_probe=is_probe)
        if not is_probe and len(self._seen) >= self._terms.requests and failures > self._terms.ratio * len(self._seen):
            self.trip()

    def _note(self, *, is_failure: bool) -> None:
        now = self._clock.monotonic()
        self._seen.append((now, is_failure))
        while self._seen[0][0] < now - self._terms.over_s or len(self._seen) > _REQUESTS_KEPT:
            self._seen.popleft()

    def _plan_next_probe(self, *, is_probe: bool) -> None:
        if is_probe:
            self._probes += 1
            self._plan_probe()

    def _plan_probe(self) -> None:
        """Once runs are let down, those that wait elsewhere come back too late to be probes as well."""
        cap_s = self._terms.probe_cap_s
        most_s = cap_s if self.has_given_up else min(cap_s, self._terms.probe_first_s * 2**self._probes)
        self._probe_at = self._clock.monotonic() + self._random.uniform(most_s / 2, most_s)

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class _Watched:
    __slots__ = ("_breaker", "_is_probe")

    def __init__(self, breaker: Breaker, *, is_probe: bool) -> None:
        self._breaker = breaker
        self._is_probe = is_probe

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._breaker.ended(error, is_probe=self._is_probe)
