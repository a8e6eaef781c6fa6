"""What is logged in a story: only crashes matter, and each is a breach."""

import asyncio
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from structlog.typing import EventDict, WrappedLogger

from tests.simulation.world import WORLD

_ERROR = 40


@contextmanager
def crashes_noted() -> Iterator[None]:
    """Let every error that is logged be a breach of the world it comes from, and drop the rest."""
    before = structlog.get_config()
    structlog.configure(processors=[_note], wrapper_class=structlog.make_filtering_bound_logger(_ERROR))
    try:
        yield
    finally:
        structlog.configure(**before)


def _note(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    world = WORLD.get(id(asyncio.get_running_loop()))
    if world is not None:
        world.breach(f"crash: {event['event']}: {''.join(traceback.format_exc(limit=-3))}")
    raise structlog.DropEvent
