"""A clock for jobs that are asked about again and again."""

from tailrace.core.clock import SystemClock


class Clock(SystemClock):
    """Time that only waiting moves."""

    at_s = 0.0

    def monotonic(self) -> float:
        return self.at_s

    async def sleep(self, wait_s: float) -> None:
        self.at_s += wait_s
