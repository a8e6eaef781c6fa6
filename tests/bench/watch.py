"""What a process measures of itself. Of the standard library alone: others run it in environments of their own."""

import json
import resource
import sys
import time
from dataclasses import asdict, dataclass

_KIB_PER_MIB = 1024


@dataclass(frozen=True, slots=True)
class Timed:
    """The part of a case that counts."""

    rows: int
    wall_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What a case came to."""

    rows: int
    wall_s: float
    cpu_s: float
    peak_rss_mib: float


class Watch:
    """Wall and CPU time of this process from its making on."""

    def __init__(self) -> None:
        self._wall_s = time.perf_counter()
        self._cpu_s = time.process_time()

    def stop(self, rows: int) -> Timed:
        """What it took to do so many rows."""
        return Timed(rows, time.perf_counter() - self._wall_s, time.process_time() - self._cpu_s)


def tell(timed: Timed) -> None:
    """Print it as the last line, one JSON object, with the most memory that this process ever held."""
    peak_rss_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIB_PER_MIB
    measured = Measured(timed.rows, timed.wall_s, timed.cpu_s, peak_rss_mib)
    sys.stdout.write(json.dumps(asdict(measured)) + "\n")
