"""How a process is told to end, and how long it may take about it."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import structlog

from tailrace.core.errors import TailraceError

_SIGNALS = (signal.SIGTERM, signal.SIGINT)

log = structlog.get_logger(__name__)


class DrainCut(TailraceError):
    """The work was not done when its time to drain was over."""

    code = "DRAIN_CUT"


class Ending:
    """The first `stop` starts the drain, a second one cuts it."""

    def __init__(self, *, grace_s: float) -> None:
        self.stopping = asyncio.Event()
        self._grace_s = grace_s
        self._deadline: asyncio.Timeout | None = None

    def stop(self) -> None:
        """Tell the work to end; not to be called from another thread."""
        left_s = 0.0 if self.stopping.is_set() else self._grace_s
        log.info("process.stopping", within_s=left_s)
        self.stopping.set()
        self._end_within(left_s)

    @contextmanager
    def by_signals(self) -> Iterator[None]:
        """A scope in which SIGTERM and Ctrl-C are `stop`."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self.stop)
        try:
            yield
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)

    @asynccontextmanager
    async def bounded(self) -> AsyncIterator[None]:
        """A scope that is cancelled when the time to drain is over.

        :raises DrainCut: it was.
        """
        deadline = asyncio.timeout(None)
        try:
            async with deadline:
                self._deadline = deadline
                if self.stopping.is_set():
                    self._end_within(self._grace_s)
                try:
                    yield
                finally:
                    self._deadline = None
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise DrainCut(f"still busy {self._grace_s:g} s after it was told to end") from error

    def _end_within(self, left_s: float) -> None:
        if self._deadline is not None:
            self._deadline.reschedule(asyncio.get_running_loop().time() + left_s)
