"""Processes that the tests of the servers start, kill and look for."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_LINE_S = 40.0


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and waits for its parent does not."""
    try:
        os.kill(pid, 0)
        status = Path(f"/proc/{pid}/stat").read_text()
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return status.rpartition(")")[2].split()[0] not in "ZX"


async def eventually(holds: Callable[[], bool], within_s: float = 10.0) -> bool:
    """Whether it holds at some time before the wait ends."""
    try:
        async with asyncio.timeout(within_s):
            while not holds():  # noqa: ASYNC110  # whatever is waited for sets no event
                await asyncio.sleep(0.01)
    except TimeoutError:
        return False
    return True


class Owner:
    """A Python process that owns a server, and tells of it by one line of JSON."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    async def told(self) -> dict[str, Any]:
        """What its next line says."""
        assert self._process.stdout is not None
        async with asyncio.timeout(_LINE_S):
            line = await asyncio.to_thread(self._process.stdout.readline)
        found: dict[str, Any] = json.loads(line)
        return found

    def kill(self) -> None:
        """End it so that it can do nothing about it."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(5)


@contextmanager
def an_owner(script: str, *arguments: str) -> Iterator[Owner]:
    """A process that runs the script, until the scope ends or it is killed."""
    with subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            yield Owner(process)
        finally:
            process.kill()
