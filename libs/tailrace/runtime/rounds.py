"""Work that a service does again and again, through every outage of what it needs."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import SystemRandom

import structlog

from tailrace.core.errors import Unavailable
from tailrace.core.waits import pause
from tailrace.observe import fields
from tailrace.runtime.health import BEAT_WITHIN_S, Health

_JITTER = 0.1

_log = structlog.get_logger(__name__)
_random = SystemRandom()


@dataclass(frozen=True, slots=True)
class Round:
    """Something to do every so many seconds, a little more or less, so that processes do not do it all at once.

    `name` is unique in the process; the loop tells of its life under it. Once a time has come, it may take `silent_s`.
    """

    name: str
    every_s: float
    act: Callable[[], Awaitable[object]]
    silent_s: float = BEAT_WITHIN_S


def exhausting(prune: Callable[[], Awaitable[int]]) -> Callable[[], Awaitable[None]]:
    """Prunes until nothing is left to go: more may come in between two rounds than one statement takes away."""

    async def act() -> None:
        while await prune():
            pass

    return act


async def go_round(wanted: Round, health: Health, stopping: asyncio.Event) -> None:
    """Do it at once and then again, until `stopping` is set; what is under way is finished.

    `Unavailable` leaves the work to the next time; any other error is the caller's.
    """
    within_s = wanted.every_s * (1 + _JITTER) + wanted.silent_s
    while not stopping.is_set():
        health.beat(wanted.name, within_s=within_s)
        try:
            await wanted.act()
        except Unavailable as error:
            _log.warning("round.put_off", work=wanted.name, reason=error.message, **{fields.CODE: error.code})
        await pause(stopping, wanted.every_s * _random.uniform(1 - _JITTER, 1 + _JITTER))
    health.rest(wanted.name)
