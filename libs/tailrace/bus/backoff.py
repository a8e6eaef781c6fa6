"""Waits that grow while something does not answer, and differ between processes."""

import random


class Backoff:
    """Doubles from `first_s` to `most_s`, each wait between half of that and all of it."""

    def __init__(self, *, first_s: float = 0.1, most_s: float = 5.0) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._bound_s = first_s

    def next_s(self) -> float:
        """How long to wait now."""
        bound_s = self._bound_s
        self._bound_s = min(2 * bound_s, self._most_s)
        return bound_s * random.uniform(0.5, 1.0)  # noqa: S311 - spreads processes, protects nothing

    def reset(self) -> None:
        """It answers again: begin anew next time."""
        self._bound_s = self._first_s
