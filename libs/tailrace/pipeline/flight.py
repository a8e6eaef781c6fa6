"""Parcels on their way: sent side by side as far as the window lets, settled in the order in which they were read.

Two versions of a key are never under way together. Where rows are read in the order of keys each key comes once; by a
cursor, and in mode append, a parcel waits for those before it that hold one of its keys.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Coroutine
from dataclasses import dataclass
from typing import TypeAlias

from tailrace.core.errors import TailraceError
from tailrace.core.rows import RowKey
from tailrace.pipeline.batch import Parcel
from tailrace.pipeline.deliver import Deliverer
from tailrace.pipeline.settle import Answer, Sent, Settler
from tailrace.pipeline.tenure import Stopped, Tenure
from tailrace.pipeline.window import Passage, Window

_PARCELS_IN_FLIGHT = 256

Delivering: TypeAlias = Collection["asyncio.Task[Answer]"]


@dataclass(frozen=True, slots=True)
class Flight:
    """What takes the parcels of one run to their outcome."""

    deliverer: Deliverer
    settler: Settler
    window: Window
    tenure: Tenure


async def deliver_and_settle(parcels: AsyncIterator[Parcel], flight: Flight) -> None:
    """Send parcels side by side and settle them in order.

    :raises TailraceError: the first failure, after everything before it was settled.
    """
    under_way = _UnderWay()
    async with asyncio.TaskGroup() as tasks:
        settling = tasks.create_task(flight.settler.settle(under_way.sent, under_way.fail))
        feeding = tasks.create_task(_feed(parcels, flight, under_way, tasks))
        tending = tasks.create_task(flight.deliverer.pacer.tend())
        ending = tasks.create_task(_first(flight.tenure.stopped(), under_way.broken.wait()))
        await asyncio.wait({feeding, ending}, return_when=asyncio.FIRST_COMPLETED)
        feeding.cancel()
        ending.cancel()
        await asyncio.wait({feeding})
        await under_way.sent.put(None)
        await asyncio.wait({settling})
        tending.cancel()
    failure = settling.result() or _failure(feeding, flight.tenure)
    if failure is not None:
        raise failure


class _UnderWay:
    """The parcels on their way, in the order in which they were read, and whether one of them failed."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[Sent | None] = asyncio.Queue(_PARCELS_IN_FLIGHT)
        self.failure: TailraceError | None = None
        self.broken = asyncio.Event()
        self._newest: dict[RowKey, asyncio.Task[Answer]] = {}

    def fail(self, error: TailraceError) -> None:
        """Start nothing more; the first failure stands."""
        self.failure = self.failure or error
        self.broken.set()

    def ahead(self, parcel: Parcel) -> Delivering:
        """The deliveries that this parcel must not overtake: they hold other versions of its keys."""
        return {self._newest[key] for key in parcel.keys & self._newest.keys()} if parcel.keys else ()

    def add(self, parcel: Parcel, delivering: "asyncio.Task[Answer]") -> None:
        """What later parcels with its keys must not overtake."""
        if parcel.keys:
            self._newest |= dict.fromkeys(parcel.keys, delivering)
            delivering.add_done_callback(lambda _: self._forget(parcel, delivering))

    def _forget(self, parcel: Parcel, delivered: "asyncio.Task[Answer]") -> None:
        for key in parcel.keys:
            if self._newest[key] is delivered:
                del self._newest[key]


async def _feed(
    parcels: AsyncIterator[Parcel], flight: Flight, under_way: _UnderWay, tasks: asyncio.TaskGroup
) -> TailraceError | None:
    """Start the delivery of parcel after parcel, as far as the window lets; gives why it could not go on."""
    try:
        async for parcel in parcels:
            passage = await flight.window.enter(parcel.rows_to_send, parcel.size_bytes)
            ahead = under_way.ahead(parcel)
            answer = tasks.create_task(_answer(parcel, passage, ahead, flight, under_way))
            under_way.add(parcel, answer)
            await under_way.sent.put(Sent(parcel, passage, answer))
    except TailraceError as error:
        return error
    return None


async def _answer(parcel: Parcel, passage: Passage, ahead: Delivering, flight: Flight, under_way: _UnderWay) -> Answer:
    """What became of a parcel; a failure is a value here, so that what was read before it is still settled."""
    if parcel.batch is None:
        return None
    if ahead:
        await asyncio.wait(ahead)
    if under_way.failure is not None:
        return under_way.failure
    try:
        return await flight.deliverer.deliver(parcel.batch, passage)
    except TailraceError as error:
        under_way.fail(error)
        return error


async def _first(*waits: Coroutine[object, object, object]) -> None:
    """Return when one of the waits does."""
    async with asyncio.TaskGroup() as tasks:
        started = {tasks.create_task(wait) for wait in waits}
        await asyncio.wait(started, return_when=asyncio.FIRST_COMPLETED)
        for task in started:
            task.cancel()


def _failure(feeding: "asyncio.Task[TailraceError | None]", tenure: Tenure) -> TailraceError | None:
    if not feeding.cancelled():
        return feeding.result()
    return Stopped(tenure.reason)
