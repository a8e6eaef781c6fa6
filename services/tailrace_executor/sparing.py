"""Keeps Python's collections short however many runs wait: a full one goes through all that lives, and all stands."""

import gc
from dataclasses import dataclass

from tailrace.runtime.interpreter import spare_what_stays

_MANY = 100
_FEW = 50
_AT_ONCE = 25
_ENDED_TO_MOST = 4


@dataclass(slots=True)
class Sparing:
    """Leaves the objects of runs out of collections while there are many, some runs at a time.

    What ended runs leave behind in cycles is found once few runs are left, or so many have ended that it counts.
    """

    held: int = 0
    most: int = 0
    begun: int = 0
    ended: int = 0

    def begin(self) -> None:
        """A run begins."""
        self.held += 1
        self.begun += 1
        if self.held >= _MANY and self.begun >= _AT_ONCE:
            self._spare()

    def end(self) -> None:
        """A run has ended."""
        self.held -= 1
        self.ended += 1
        if self.most and (self.held <= _FEW or self.ended >= _ENDED_TO_MOST * self.most):
            gc.unfreeze()
            self._spare()
            self.most = self.held if self.held > _FEW else 0
            self.ended = 0

    def _spare(self) -> None:
        self.begun = 0
        self.most = max(self.most, self.held)
        spare_what_stays()
