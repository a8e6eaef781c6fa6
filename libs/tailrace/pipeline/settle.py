"""Step 6 of a row: its outcome is written, together with everything that follows from it.

Parcels are settled in the order in which they were read, so that the position behind them is true; several that are
done share one checkpoint. Nothing behind a parcel that failed is settled: it will be read again.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tailrace.core.batches import BatchResult
from tailrace.core.clock import Clock
from tailrace.core.errors import TailraceError
from tailrace.core.settlements import Settlement
from tailrace.observe.failpoints import failpoint
from tailrace.pipeline.batch import Parcel
from tailrace.pipeline.brake import Brake

_LETTERS_PER_CHECKPOINT = 5000


class Ledger(Protocol):
    """Where checkpoints are written."""

    async def commit(self, settlement: Settlement) -> None:
        """Write one checkpoint, repeating until it is known to be written.

        :raises LeaseLost: the run is somebody else's; nothing more can be written.
        """
        ...


@dataclass(frozen=True, slots=True)
class Sent:
    """A parcel on its way, with the answer to come: a result, None where nothing is sent, or why there is none."""

    parcel: Parcel
    answer: "asyncio.Future[BatchResult | TailraceError | None]"


class Window:
    """How many rows may be on their way without a checkpoint: the bound on what a crash can send twice."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._open = 0
        self._changed = asyncio.Condition()

    async def enter(self, rows: int) -> None:
        """Wait for room; a parcel larger than the window goes alone."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._open or self._open + rows <= self.rows)
            self._open += rows

    async def leave(self, rows: int) -> None:
        """These rows are settled."""
        async with self._changed:
            self._open -= rows
            self._changed.notify_all()


class Settler:
    """Writes the checkpoints of one run."""

    def __init__(self, ledger: Ledger, window: Window, brake: Brake, clock: Clock, *, every_s: float) -> None:
        self._ledger = ledger
        self._window = window
        self._brake = brake
        self._clock = clock
        self._every_s = every_s
        self._group: list[tuple[Parcel, BatchResult | None]] = []
        self._oldest = 0.0

    async def settle(
        self, sent: "asyncio.Queue[Sent | None]", fail: Callable[[TailraceError], None]
    ) -> TailraceError | None:
        """Settle parcels until the end mark, or up to the first that failed; gives that failure.

        `fail` is told as soon as the brake stops the run.
        """
        failure: TailraceError | None = None
        while (following := await self._next(sent)) is not None:
            answer = failure or await self._answer(following)
            if isinstance(answer, TailraceError):
                failure = answer
                await self._window.leave(following.parcel.rows_to_send)
                continue
            self._add(following.parcel, answer)
            if self._is_due:
                await self._commit()
            if (failure := self._brake.verdict) is not None:
                fail(failure)
        await self._commit()
        return failure

    async def _next(self, sent: "asyncio.Queue[Sent | None]") -> Sent | None:
        if self._group and sent.empty():
            try:
                async with asyncio.timeout(self._left_s):
                    return await sent.get()
            except TimeoutError:
                await self._commit()
        return await sent.get()

    async def _answer(self, following: Sent) -> BatchResult | TailraceError | None:
        """The answer; what is settled already does not wait for a slow one."""
        if self._group and not following.answer.done():
            try:
                async with asyncio.timeout(self._left_s):
                    return await asyncio.shield(following.answer)
            except TimeoutError:
                await self._commit()
        return await following.answer

    @property
    def _left_s(self) -> float:
        return max(0.0, self._oldest + self._every_s - self._clock.monotonic())

    @property
    def _is_due(self) -> bool:
        waiting = sum(parcel.rows_to_send for parcel, _ in self._group)
        letters = sum(len(parcel.decided.letters) for parcel, _ in self._group)
        return waiting * 2 >= self._window.rows or letters >= _LETTERS_PER_CHECKPOINT or self._left_s <= 0

    def _add(self, parcel: Parcel, result: BatchResult | None) -> None:
        if not self._group:
            self._oldest = self._clock.monotonic()
        self._group.append((parcel, result))
        self._brake.add(result.outcomes if result else ())

    async def _commit(self) -> None:
        if not self._group:
            return
        group, self._group = self._group, []
        failpoint("exec.after_response_before_checkpoint")
        await self._ledger.commit(_settlement(group))
        for parcel, _ in group:
            await self._window.leave(parcel.rows_to_send)


def _settlement(group: Sequence[tuple[Parcel, BatchResult | None]]) -> Settlement:
    """What a group of neighbouring parcels comes to."""
    total = group[0][0].decided
    for parcel, result in group:
        if parcel.decided is not total:
            total.absorb(parcel.decided)
        for (change, mapped), outcome in zip(parcel.changes, result.outcomes if result else (), strict=True):
            total.add_outcome(change, mapped, outcome)
    return total.settlement(group[-1][0].position)
