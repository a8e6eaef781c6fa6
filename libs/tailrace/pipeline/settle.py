"""Step 6 of a row: its outcome is written, together with everything that follows from it.

Parcels are settled in the order in which they were read, so that the position behind them is true; several that are
done share one checkpoint. Nothing behind a parcel that failed is settled: it will be read again.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

from tailrace.core.batches import BatchResult
from tailrace.core.clock import Clock
from tailrace.core.errors import TailraceError
from tailrace.core.settlements import Rejections, Settlement
from tailrace.observe.failpoints import failpoint
from tailrace.pipeline.batch import Parcel
from tailrace.pipeline.brake import Brake
from tailrace.pipeline.window import Passage, Window

_LETTERS_PER_CHECKPOINT = 5000


class Ledger(Protocol):
    """Where checkpoints are written."""

    async def commit(self, settlement: Settlement) -> Rejections | None:
        """Write one checkpoint, repeating until it is known to be written.

        Gives what other shards of the run have sent by now, if that is known.

        :raises LeaseLost: the run is somebody else's; nothing more can be written.
        """
        ...


Answer: TypeAlias = BatchResult | TailraceError | None
"""What became of a parcel: a result, None where nothing was to be sent, or why there is no result."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A parcel on its way, with the answer to come."""

    parcel: Parcel
    passage: Passage
    answer: "asyncio.Future[Answer]"


class Settler:
    """Writes the checkpoints of one run."""

    def __init__(self, ledger: Ledger, window: Window, brake: Brake, clock: Clock, *, every_s: float) -> None:
        self._ledger = ledger
        self._window = window
        self._brake = brake
        self._clock = clock
        self._every_s = every_s
        self._group: list[tuple[Sent, BatchResult | None]] = []
        self._rows = self._letters = self._size_bytes = 0
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
                following.passage.end()
                continue
            self._add(following, answer)
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

    async def _answer(self, following: Sent) -> Answer:
        """The answer; what is settled already does not wait for a slow one."""
        if self._group and not following.answer.done():
            await asyncio.wait({following.answer}, timeout=self._left_s)
            if not following.answer.done():
                await self._commit()
        return await following.answer

    @property
    def _left_s(self) -> float:
        return max(0.0, self._oldest + self._every_s - self._clock.monotonic())

    @property
    def _is_due(self) -> bool:
        is_half_of_the_window = self._window.is_half(self._rows, self._size_bytes)
        return is_half_of_the_window or self._letters >= _LETTERS_PER_CHECKPOINT or self._left_s <= 0

    def _add(self, sent: Sent, result: BatchResult | None) -> None:
        if not self._group:
            self._oldest = self._clock.monotonic()
        self._group.append((sent, result))
        self._rows += sent.parcel.rows_to_send
        self._size_bytes += sent.parcel.size_bytes
        self._letters += len(sent.parcel.decided.letters)
        self._brake.add(result.outcomes if result else ())

    async def _commit(self) -> None:
        if not self._group:
            return
        group, self._group = self._group, []
        self._rows = self._letters = self._size_bytes = 0
        failpoint("exec.after_response_before_checkpoint")
        settlement = _settlement([(sent.parcel, result) for sent, result in group])
        elsewhere = await self._ledger.commit(replace(settlement, rejections=self._brake.rejections))
        if elsewhere is not None:
            self._brake.heed(elsewhere)
        for sent, _ in group:
            sent.passage.end()


def _settlement(group: Sequence[tuple[Parcel, BatchResult | None]]) -> Settlement:
    """What a group of neighbouring parcels comes to."""
    total = group[0][0].decided
    for parcel, result in group:
        if parcel.decided is not total:
            total.absorb(parcel.decided)
        total.add_outcomes(parcel.changes, result.outcomes if result else ())
    return total.settlement(group[-1][0].position)
