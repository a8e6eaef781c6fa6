"""Step 6 of a row: its outcome is written, together with everything that follows from it.

Parcels are settled in the order in which they were read, so that the position behind them is true; several that are
done share one checkpoint. Nothing behind a parcel that failed is settled: it will be read again.

While one checkpoint is written the next is made ready, so that we and the store work at the same time. It begins when
the one before stands.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol, TypeAlias

from tailrace.core.batches import BatchResult
from tailrace.core.clock import Clock
from tailrace.core.errors import TailraceError
from tailrace.core.rows import RowOutcome
from tailrace.core.settlements import Position, Rejections, Settlement
from tailrace.core.waits import side_by_side
from tailrace.observe.failpoints import failpoint
from tailrace.pipeline.batch import Parcel
from tailrace.pipeline.brake import Brake
from tailrace.pipeline.tally import Tally
from tailrace.pipeline.window import Passage, Window

_LETTERS_PER_CHECKPOINT = 5000


Commit: TypeAlias = Callable[[], Coroutine[Any, Any, Rejections | None]]
"""Writes one checkpoint, repeating until it is known to be written.

Gives what other shards of the run have sent by now, if that is known; raises LeaseLost if the run is somebody else's:
nothing more can be written.
"""


class Ledger(Protocol):
    """Where checkpoints are written."""

    def prepare(self, settlement: Settlement) -> Commit:
        """Do of a checkpoint what can be done before the one before it is written; gives what writes it.

        They are written one after another, in the order in which they were prepared, each once.
        """
        ...


Answer: TypeAlias = BatchResult | TailraceError | None
"""What became of a parcel: a result, None where nothing was to be sent, or why there is no result."""


class Sent(NamedTuple):
    """A parcel on its way, with the answer to come."""

    parcel: Parcel
    passage: Passage
    answer: "asyncio.Future[Answer]"


@dataclass(slots=True)
class _Group:
    """Neighbouring parcels that share a checkpoint, and what they come to; the `oldest` was added then."""

    total: Tally
    position: Position
    oldest: float
    passages: list[Passage] = field(default_factory=list)
    rows: int = 0
    size_bytes: int = 0
    letters: int = 0

    def add(self, sent: Sent, outcomes: Sequence[RowOutcome]) -> None:
        """Take in the parcel that follows."""
        parcel = sent.parcel
        if parcel.decided is not None:
            self.letters += len(parcel.decided.letters)
            self.total.absorb(parcel.decided)
        self.total.add_outcomes(parcel.changes, outcomes)
        self.position = parcel.position
        self.passages.append(sent.passage)
        self.rows += parcel.rows_to_send
        self.size_bytes += parcel.size_bytes


class Settler:
    """Writes the checkpoints of one run."""

    def __init__(self, ledger: Ledger, window: Window, brake: Brake, clock: Clock, *, every_s: float) -> None:
        self._ledger = ledger
        self._window = window
        self._brake = brake
        self._clock = clock
        self._every_s = every_s
        self._group: _Group | None = None
        self._stands = asyncio.Event()
        self._stands.set()

    async def settle(
        self, sent: "asyncio.Queue[Sent | None]", fail: Callable[[TailraceError], None]
    ) -> TailraceError | None:
        """Settle parcels until the end mark, or up to the first that failed; gives that failure.

        `fail` is told as soon as the brake stops the run.
        """
        failure: TailraceError | None = None
        async with side_by_side() as tasks:
            while (following := await self._next(sent, tasks)) is not None:
                answer = failure or await self._answer(following, tasks)
                if isinstance(answer, TailraceError):
                    failure = answer
                    following.passage.end()
                    continue
                if self._is_due(self._add(following, answer)):
                    await self._commit(tasks)
                if (failure := self._brake.verdict) is not None:
                    fail(failure)
            await self._commit(tasks)
        return failure

    async def _next(self, sent: "asyncio.Queue[Sent | None]", tasks: asyncio.TaskGroup) -> Sent | None:
        if self._group is not None and sent.empty():
            try:
                async with asyncio.timeout(self._left_s(self._group)):
                    return await sent.get()
            except TimeoutError:
                await self._commit(tasks)
        return await sent.get()

    async def _answer(self, following: Sent, tasks: asyncio.TaskGroup) -> Answer:
        """The answer; what is settled already does not wait for a slow one."""
        if self._group is not None and not following.answer.done():
            await asyncio.wait({following.answer}, timeout=self._left_s(self._group))
            if not following.answer.done():
                await self._commit(tasks)
        return await following.answer

    def _left_s(self, group: _Group) -> float:
        return max(0.0, group.oldest + self._every_s - self._clock.monotonic())

    def _is_due(self, group: _Group) -> bool:
        is_half_of_the_window = self._window.is_half(group.rows, group.size_bytes)
        return is_half_of_the_window or group.letters >= _LETTERS_PER_CHECKPOINT or self._left_s(group) <= 0

    def _add(self, sent: Sent, result: BatchResult | None) -> _Group:
        outcomes = result.outcomes if result else ()
        self._group = self._group or _Group(Tally(sent.parcel.terms), sent.parcel.position, self._clock.monotonic())
        self._group.add(sent, outcomes)
        self._brake.add(outcomes)
        return self._group

    async def _commit(self, tasks: asyncio.TaskGroup) -> None:
        """Make the checkpoint of the group ready; return when the one before it stands, and this one can be written."""
        group, self._group = self._group, None
        if group is None:
            return
        failpoint("exec.after_response_before_checkpoint")
        settlement = replace(group.total.settlement(group.position), rejections=self._brake.rejections)
        commit = self._ledger.prepare(settlement)
        before, self._stands = self._stands, asyncio.Event()
        tasks.create_task(self._write(commit, settlement.rejections, group.passages, before, self._stands))
        await before.wait()

    async def _write(
        self,
        commit: Commit,
        rejections: Rejections,
        passages: Sequence[Passage],
        before: asyncio.Event,
        stands: asyncio.Event,
    ) -> None:
        await before.wait()
        elsewhere = await commit()
        if elsewhere is not None:
            self._brake.heed(elsewhere, own=rejections)
        stands.set()
        # The next is on its way to the store before rows are let in that keep us busy.
        await asyncio.sleep(0)
        for passage in passages:
            passage.end()
