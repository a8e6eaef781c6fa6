"""Locks on files that processes share; the system releases them when their holder ends, however it ends."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tailrace.core.errors import Unavailable

_POLL_S = 0.05


@asynccontextmanager
async def locked(path: Path, *, shared: bool = False, wait_s: float) -> AsyncIterator[None]:
    """The lock on the file, which is made where it is missing, for the scope.

    :raises Unavailable: others held it all the time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        await _acquire(descriptor, path, shared=shared, wait_s=wait_s)
        yield
    finally:
        os.close(descriptor)


def is_held(path: Path, *, shared: bool = False) -> bool:
    """Whether somebody holds the lock for himself alone; with `shared`, whether anybody holds it at all."""
    if not path.exists():
        return False
    descriptor = os.open(path, os.O_RDWR)
    try:
        return not _try(descriptor, fcntl.LOCK_EX if shared else fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


async def _acquire(descriptor: int, path: Path, *, shared: bool, wait_s: float) -> None:
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        async with asyncio.timeout(wait_s):
            while not _try(descriptor, kind):  # noqa: ASYNC110  # a lock sets no event
                await asyncio.sleep(_POLL_S)
    except TimeoutError as error:
        raise Unavailable(f"{path} was locked by others for {wait_s:g} s") from error


def _try(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
