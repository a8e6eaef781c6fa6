"""Whose heart has stopped: seen by this process itself, on a clock that nobody can set."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from tailrace.core.clock import Clock
from tailrace.store.shards import Sighting

_SILENT_HEARTBEATS = 1.5


@dataclass(slots=True)
class Watch:
    """What was seen of all leases, and since when it has been the same; `lease_s` is the longest that one can last."""

    clock: Clock
    heartbeat_s: float
    lease_s: float = math.inf
    since: dict[Sighting, float] = field(default_factory=dict)

    def silent(self, sighted: Sequence[Sighting]) -> list[Sighting]:
        """Those that did not change for longer than an owner that lives can be silent."""
        now = self.clock.monotonic()
        self.since = {lease: self.since.get(lease, now) for lease in sighted}
        return [lease for lease, since in self.since.items() if now - since >= _SILENT_HEARTBEATS * self.heartbeat_s]

    @property
    def long_silent(self) -> list[Sighting]:
        """Those whose lease has ended for certain, whatever the database's clock says."""
        now = self.clock.monotonic()
        return [lease for lease, since in self.since.items() if now - since > self.lease_s]
