"""A clock that a test sets."""

from tailrace.core.clock import SystemClock


class SetClock(SystemClock):
    """Stands still until it is told."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def monotonic(self) -> float:
        return self.seconds
