"""What the spools of a process share: a directory, how many bytes they may take there, and a thread for their files."""

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import ParamSpec, Self, TypeVar

from tailrace.core.clock import Clock
from tailrace.observe import metrics

CHUNK_BYTES = 512 << 10

Given = ParamSpec("Given")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class SpoolTerms:
    """How long a reading waits for its destination before rows go to disk, and how many bytes they may take there.

    It waits for `after_s` in all, and a sixtieth of that at a time. With 0 bytes rows never go there; without a
    directory they go to the system's for temporary files. `chunk_bytes` is what may wait in memory, roughly, and
    what is written at once.
    """

    after_s: float
    run_bytes: int
    total_bytes: int
    directory: Path | None = None
    chunk_bytes: int = CHUNK_BYTES

    @property
    def are_on(self) -> bool:
        """Whether rows may go to disk at all."""
        return self.run_bytes > 0 and self.total_bytes > 0


class Spools:
    """Room for the spools of one process. What is done with files is done one after another, on a thread of its own."""

    def __init__(self, terms: SpoolTerms, clock: Clock, thread: ThreadPoolExecutor) -> None:
        self.terms = terms
        self.clock = clock
        self._thread = thread
        self.taken_bytes = 0

    @classmethod
    @contextmanager
    def open(cls, terms: SpoolTerms, clock: Clock) -> Iterator[Self]:
        """The spools for as long as the scope lasts; at its end their files are closed."""
        with ThreadPoolExecutor(1, "spool") as thread:
            yield cls(terms, clock, thread)

    def take(self, size_bytes: int) -> bool:
        """Have so many bytes of the room; False where it has not so many left."""
        if self.taken_bytes + size_bytes > self.terms.total_bytes:
            return False
        self.taken_bytes += size_bytes
        metrics.SPOOL_BYTES.set(self.taken_bytes)
        return True

    def give_back(self, size_bytes: int) -> None:
        """Have them no more."""
        self.taken_bytes -= size_bytes
        metrics.SPOOL_BYTES.set(self.taken_bytes)

    def open_file(self) -> FileIO:
        """A file without a name, which nobody else can open and which ends with the process; called on the thread.

        :raises OSError: the directory cannot be written.
        """
        return tempfile.TemporaryFile(buffering=0, prefix="tailrace-spool-", dir=self.terms.directory)

    async def run(self, work: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs) -> Result:
        """What the work gives, done on the thread."""
        return await asyncio.wrap_future(self._thread.submit(work, *args, **kwargs))

    def run_later(self, work: Callable[[], None]) -> None:
        """Have work done on the thread, behind all that was asked of it before."""
        self._thread.submit(work)
