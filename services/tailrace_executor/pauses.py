"""How long a run waits, outside of any executor, for a destination that is out of order or wants silence."""

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Pauses:
    """Each pause is twice as long as the one before, up to `cap_s`; `limit_s` after the first began it is enough."""

    first_s: float = 15.0
    cap_s: float = 900.0
    limit_s: float = 3 * 3600.0

    def next_s(self, pauses: int, paused_for_s: float, random: Random, *, asked_s: float = 0.0) -> float | None:
        """Seconds to wait after so many pauses without a row that got through; None where the limit is reached.

        At least as long as the destination asked for, but not beyond the limit.
        """
        left_s = self.limit_s - paused_for_s
        if left_s <= 0:
            return None
        most_s = min(self.cap_s, self.first_s * 2 ** min(pauses, 32))
        wait_s = random.uniform(most_s / 2, most_s)
        if asked_s > wait_s:
            wait_s = asked_s + random.uniform(0.0, self.first_s)
        return min(left_s, wait_s)
