"""The destination at the other end of a story, which does as it likes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Self

import orjson
from pydantic import BaseModel

from tailrace.connector_kit.destination import Destination, Field, Level, Object, Target, WritePlan
from tailrace.connector_kit.fence import pass_fence
from tailrace.connector_kit.http import HttpClient, HttpRequest, HttpResponse
from tailrace.core.batches import Batch, BatchResult
from tailrace.core.errors import (
    BatchRefused,
    CredentialsRefused,
    DestinationUnavailable,
    InDoubt,
    TailraceError,
    Throttled,
)
from tailrace.core.rows import (
    DELIVERED,
    Operation,
    Row,
    RowOutcome,
    rejected,
    retry,
    skipped,
    unknown,
)
from tailrace.core.syncs import SyncMode
from tests.simulation.loop import PROCESS
from tests.simulation.world import LEASE, LONGEST_FREEZE_S, WORLD, Request, Sent, Where, World

ROWS_PER_BATCH = 4
BAD = "bad"
"""A name that no destination takes."""

_CONNECTS_S = 0.05
_ARRIVES_S = 0.4
_ANSWERS_S = 0.2
_SILENCE_S = 20.0


class NoHttp:
    """Nobody speaks HTTP here."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        raise DestinationUnavailable("there is no network")


class SimulatedDestination(Destination):
    """Keeps a table for each object; a request that left arrives, whatever becomes of who sent it."""

    name = "simulated"
    label = "Simulated"
    level = Level.BRONZE
    settings_type = Where

    def __init__(self, world: World, place: str) -> None:
        self._world = world
        self._place = place

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: BaseModel, http: HttpClient) -> AsyncIterator[Self]:
        assert isinstance(settings, Where)
        yield cls(WORLD[id(asyncio.get_running_loop())], settings.place)

    async def check(self) -> None:
        return

    async def objects(self) -> Sequence[Object]:
        return []

    async def fields(self, object_name: str) -> Sequence[Field]:
        return []

    async def plan(self, target: Target) -> WritePlan:
        return WritePlan(target, ROWS_PER_BATCH, 10_000, is_idempotent=True)

    async def write(self, plan: WritePlan, batch: Batch) -> BatchResult:
        world = self._world
        await asyncio.sleep(world.chance.uniform(0.0, _CONNECTS_S))
        if world.is_over:
            raise asyncio.CancelledError
        pass_fence()
        request = self._request(plan, batch)
        world.requests.append(request)
        answer: asyncio.Future[Sequence[RowOutcome]] = world.loop.create_future()
        arrives_s = world.chance.uniform(0.0, _ARRIVES_S)
        world.loop.outside(arrives_s, self._arrive, request, batch, answer, PROCESS.get())
        try:
            outcomes = await answer
        except asyncio.CancelledError:
            request.is_in_doubt = True
            raise
        return BatchResult(batch, outcomes)

    def _request(self, plan: WritePlan, batch: Batch) -> Request:
        world, lease = self._world, LEASE.get()
        assert lease is not None
        mode = world.definition_of(lease.run_id).sync_mode
        deletes_what_left = mode is SyncMode.MIRROR and batch.operation is Operation.DELETE
        return Request(
            at=world.loop.time(),
            run_id=lease.run_id,
            shard=lease.shard,
            epoch=lease.epoch,
            operation=batch.operation,
            place=f"{self._place}.{plan.target.object_name}",
            rows=[Sent(row.key[0], row.body) for row in batch.rows],
            is_early=deletes_what_left and not world.store.tables.runs[lease.run_id].is_through_but_for(lease.shard),
            is_current=world.store.tables.shard(lease).is_held_by(lease),
            tells_events=mode is SyncMode.APPEND,
        )

    def _arrive(
        self, request: Request, batch: Batch, answer: "asyncio.Future[Sequence[RowOutcome]]", process: object
    ) -> None:
        """The request is here; what is done about it, and what is said."""
        world = self._world
        request.ended_at = world.loop.time()
        told: Sequence[RowOutcome] | TailraceError | None
        try:
            told = self._answer(request, batch)
        except TailraceError as error:
            told = error
        sender = next((known for known in world.processes if known is process), None)
        if sender is not None:
            match world.luck(world.weather.crash, world.weather.freeze):
                case 0:
                    world.kill(sender)
                case 1:
                    world.freeze(sender, world.chance.uniform(0.0, LONGEST_FREEZE_S))
        if told is None:
            request.is_in_doubt = True
        else:
            world.loop.outside(world.chance.uniform(0.0, _ANSWERS_S), _tell, answer, told)

    def _answer(self, request: Request, batch: Batch) -> Sequence[RowOutcome] | None:
        """None is silence for ever."""
        world, weather = self._world, self._world.weather
        if (refusal := world.refusal()) is not None:
            raise refusal
        match world.luck(
            weather.down,
            weather.throttled,
            weather.in_doubt,
            weather.hangs,
            weather.refuses_batch,
            weather.locks_us_out,
        ):
            case 0:
                raise DestinationUnavailable("out of order")
            case 1:
                wanted_s = world.chance.choice((None, 0.5, 5.0, _SILENCE_S))
                raise Throttled("later", retry_after_s=wanted_s)
            case 2:
                request.is_in_doubt = True
                taken = world.chance.randint(0, len(batch.rows))
                self._take_all(request, batch, taken)
                raise InDoubt("the answer is lost")
            case 3:
                self._take_all(request, batch, len(batch.rows))
                return None
            case 4 if any(_is_bad(row) for row in batch.rows):
                raise BatchRefused("one of them is bad")
            case 5:
                raise CredentialsRefused("not with these credentials")
        return [self._outcome(request, batch.operation, row) for row in batch.rows]

    def _take_all(self, request: Request, batch: Batch, first: int) -> None:
        for row in batch.rows[:first]:
            if not _is_bad(row):
                self._take(request, batch.operation, row)

    def _outcome(self, request: Request, operation: Operation, row: Row) -> RowOutcome:
        world, weather = self._world, self._world.weather
        if _is_bad(row):
            return rejected("BAD", "not this name")
        match world.luck(weather.asks_again, weather.unsure, weather.skips):
            case 0:
                return retry("LOCKED", "locked")
            case 1:
                request.is_in_doubt = True
                if world.chance.random() < 0.5:
                    self._take(request, operation, row)
                return unknown("perhaps")
            case 2 if operation is not Operation.DELETE and not request.tells_events and self._has(request, row):
                return skipped("THE_SAME")
        self._take(request, operation, row)
        return DELIVERED

    def _has(self, request: Request, row: Row) -> bool:
        return self._world.holds.get(request.place, {}).get(row.key[0]) == row.body

    def _take(self, request: Request, operation: Operation, row: Row) -> None:
        table = self._world.holds.setdefault(request.place, {})
        request.applied.append(Sent(row.key[0], row.body))
        if operation is Operation.DELETE:
            table.pop(row.key[0], None)
        else:
            table[row.key[0]] = row.body


def is_bad(name: str) -> bool:
    """Whether no destination takes a row of that name."""
    return name.startswith(BAD)


def _is_bad(row: Row) -> bool:
    """A row of which only the key is known is as good as any."""
    return is_bad(str(orjson.loads(row.body).get("name")))


def _tell(answer: "asyncio.Future[Sequence[RowOutcome]]", told: Sequence[RowOutcome] | TailraceError) -> None:
    if answer.done():
        return
    if isinstance(told, TailraceError):
        answer.set_exception(told)
        answer.exception()
    else:
        answer.set_result(told)
