"""Watches how late the event loop is: the sign that something blocks it."""

import asyncio

from tailrace.observe.metrics import LOOP_LAG
from tailrace.runtime.service import Chassis

BEAT = "event loop"
SILENT_S = 10.0

_EVERY_S = 0.5


async def watch_loop(chassis: Chassis) -> None:
    """Beat and measure until cancelled."""
    while True:
        chassis.health.beat(BEAT, within_s=SILENT_S)
        asleep_at = chassis.clock.monotonic()
        await asyncio.sleep(_EVERY_S)
        LOOP_LAG.set(max(0.0, chassis.clock.monotonic() - asleep_at - _EVERY_S))
