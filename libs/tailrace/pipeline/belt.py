"""The belt between reading and delivery: it lets a reading that is faster than its destination come to its end.

Changes go through memory while delivery keeps up. Where a reading has waited for its destination for long, they go
through a spool on local disk, until that is empty again. The order is always the same: first in, first out.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Collection, Sequence

import structlog

from tailrace.core.errors import TailraceError
from tailrace.core.rows import Change
from tailrace.core.waits import pause
from tailrace.observe import metrics
from tailrace.pipeline.plain import PlainChanges, PlainUpdates, RowChange
from tailrace.pipeline.spool import Changes, Refusal, Spool
from tailrace.pipeline.spools import CHUNK_BYTES, Spools

_PARTS = 60
"""Of the time that a reading may wait in all, it waits such a part at a time."""

_ROW_BYTES = 256
"""What a row takes in memory beside its body, roughly."""

_log = structlog.get_logger(__name__)


class Belt:
    """Carries the changes of one reading; one task puts them on and another takes them off.

    Three pieces follow one another: `head` in memory, what is on disk, and `tail`, which fills the next chunk.
    """

    def __init__(self, spools: Spools | None, sends: Collection[Change]) -> None:
        self._spools = spools
        self._chunk_bytes = CHUNK_BYTES if spools is None else spools.terms.chunk_bytes
        self._spool = None if spools is None else Spool(spools, sends)
        self._head: deque[Changes] = deque()
        self._tail: list[Changes] = []
        self._head_bytes = self._tail_bytes = 0
        self._is_spilling = self._is_writing = self._is_over = self._has_told = False
        self._failure: TailraceError | None = None
        self._waited_s = self._waited_now_s = 0.0
        self._refusals: set[Refusal] = set()
        self._changed = asyncio.Event()

    async def carry(self, changes: AsyncIterator[Changes]) -> None:
        """Put all of them on; a failure of the reading is for who takes them off, behind the last."""
        try:
            async for some in changes:
                await self._put(some)
        except TailraceError as error:
            self._failure = error
        self._is_over = True
        self._changed.set()

    async def changes(self) -> AsyncIterator[Changes]:
        """Take them off until the last.

        :raises TailraceError: why the reading broke off; or some cannot be had from the disk.
        """
        while await self._turn():
            some = self._head.popleft()
            self._head_bytes -= _size_bytes(some)
            self._changed.set()
            yield some
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """Drop what is left, on the disk too."""
        if self._spool is not None:
            self._spool.close()

    async def _put(self, changes: Changes) -> None:
        """Add to the end, and wait for as long as the belt is full."""
        size_bytes = _size_bytes(changes)
        if self._is_spilling:
            self._tail.append(changes)
            self._tail_bytes += size_bytes
        else:
            self._head.append(changes)
            self._head_bytes += size_bytes
        self._changed.set()
        if self._is_spilling and self._tail_bytes >= self._chunk_bytes:
            await self._spill()
        self._waited_now_s = 0.0
        while self._is_full:
            await self._wait_for_room()

    @property
    def _is_full(self) -> bool:
        """Whether more would neither fit into memory nor go to the disk."""
        if self._is_spilling:
            return self._tail_bytes >= self._chunk_bytes
        return self._head_bytes >= self._chunk_bytes

    async def _wait_for_room(self) -> None:
        left_s = self._left_s
        if left_s is not None and left_s <= 0:
            self._begin_to_spill()
            return
        began = 0.0 if self._spools is None else self._spools.clock.monotonic()
        self._changed.clear()
        await pause(self._changed, left_s)
        if self._spools is not None:
            waited_s = self._spools.clock.monotonic() - began
            self._waited_s += waited_s
            self._waited_now_s += waited_s

    @property
    def _left_s(self) -> float | None:
        """How long to wait yet before changes go to the disk; None where they do not."""
        if self._spools is None or self._is_spilling or Refusal.DISK in self._refusals:
            return None
        after_s = self._spools.terms.after_s
        return min(after_s - self._waited_s, after_s / _PARTS - self._waited_now_s)

    def _begin_to_spill(self) -> None:
        if not self._has_told:
            _log.info("spool.begun", waited_s=round(self._waited_s, 3))
        self._is_spilling = self._has_told = True

    async def _spill(self) -> None:
        """Write the tail; where it is refused it stays, and the belt is full until all before it was taken off."""
        if self._spool is None:
            return
        self._is_writing = True
        refusal = await self._spool.write(self._tail)
        self._is_writing = False
        if refusal is None:
            self._tail, self._tail_bytes = [], 0
        elif refusal not in self._refusals:
            self._refusals.add(refusal)
            metrics.SPOOL_REFUSALS.labels(reason=refusal).inc()
            _log.warning("spool.refused", reason=refusal, size_bytes=self._spool.size_bytes)
        self._changed.set()

    async def _turn(self) -> bool:
        """Have changes at the head; False when there are no more."""
        while not self._head:
            if self._spool:
                self._add_to_head(await self._spool.read())
            elif self._is_spilling and not self._is_writing:
                self._end_to_spill()
            elif self._is_over:
                return False
            else:
                self._changed.clear()
                await self._changed.wait()
        return True

    def _end_to_spill(self) -> None:
        """All on the disk was taken off: go on through memory."""
        if self._spool is not None:
            self._spool.empty()
        self._add_to_head(self._tail)
        self._tail, self._tail_bytes = [], 0
        self._is_spilling, self._waited_s = False, 0.0
        self._changed.set()

    def _add_to_head(self, some: Sequence[Changes]) -> None:
        self._head.extend(some)
        self._head_bytes += sum(map(_size_bytes, some))


def _size_bytes(changes: Sequence[RowChange]) -> int:
    """What changes take in memory, roughly."""
    if isinstance(changes, PlainChanges):
        bodies = changes.columns.size_bytes
    elif isinstance(changes, PlainUpdates):
        bodies = changes.size_bytes
    else:
        bodies = sum(len(change.mapped.row.body) for change in changes if change.mapped is not None)
    return bodies + len(changes) * _ROW_BYTES
