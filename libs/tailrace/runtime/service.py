"""What a service is, and what it is given to work with."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tailrace.bus.base import Bus
from tailrace.core.clock import Clock
from tailrace.runtime.health import Health
from tailrace.runtime.settings import Settings
from tailrace.store.database import Database
from tailrace.store.secrets import SecretBox


@dataclass(frozen=True, slots=True)
class Chassis:
    """Everything that is opened once for a process; whoever runs the service closes it."""

    settings: Settings
    database: Database
    bus: Bus
    box: SecretBox
    health: Health
    stopping: asyncio.Event
    clock: Clock


@dataclass(frozen=True, slots=True)
class Service:
    """A service by its name in the CLI.

    `serve` is called once the schema is at head, works until `chassis.stopping` is set and returns soon after
    that, having drained. It outlives outages of PostgreSQL and Kafka. An error that leaves it ends the process
    with exit code 1, or 2 where it is `Invalid`. One that `listens` tells `chassis.health` once it does: nobody is to
    be sent to it before.
    """

    name: str
    serve: Callable[[Chassis], Awaitable[None]]
    listens: bool = False
