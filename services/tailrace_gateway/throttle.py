"""How often a token may call: a rate with a burst, so that one script cannot take the gateway from everybody else.

Each gateway counts for itself: a shared count would cost a write for every request, and hand the flood that it is to
stop to the database. So `n` gateways together let through `n` times the rate at most.
"""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta

from tailrace.core.clock import Clock
from tailrace.core.ids import TokenId
from tailrace_gateway.problems import RateLimit, TooMany

_TOKENS_KNOWN = 10_000
# What adding up fractions of a second loses.
_ROUNDING_S = 1e-6


@dataclass(frozen=True, slots=True)
class Pace:
    """Calls of one token: so many a second in the long run, and so many at once after a pause."""

    calls_per_s: float
    burst: int


class Throttle:
    """Counts the calls of each token by GCRA, which needs one number a token.

    https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm
    """

    def __init__(self, pace: Pace, clock: Clock) -> None:
        self._cost_s = 1 / pace.calls_per_s
        self._burst = pace.burst
        self._allowance_s = pace.burst / pace.calls_per_s
        self._clock = clock
        self._spent_until: OrderedDict[TokenId, float] = OrderedDict()

    def take(self, token_id: TokenId) -> None:
        """Count a call of the token.

        :raises TooMany: it has called too often; this call is not counted.
        """
        now = self._clock.monotonic()
        spent_until = max(now, self._spent_until.pop(token_id, now)) + self._cost_s
        wait_s = spent_until - now - self._allowance_s
        if wait_s > _ROUNDING_S:
            self._spent_until[token_id] = spent_until - self._cost_s
            limit = RateLimit(self._burst, self._clock.now() + timedelta(seconds=wait_s))
            told = "this token calls too often; wait as long as Retry-After says"
            raise TooMany(told, retry_after_s=wait_s, rate_limit=limit)
        self._spent_until[token_id] = spent_until
        if len(self._spent_until) > _TOKENS_KNOWN:
            self._spent_until.popitem(last=False)
