"""A server as a child process that cannot outlive its owner: the owner's side of `guard.py`."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

from tailrace.core.errors import Conflict, Unavailable

_GUARD = Path(__file__).with_name("guard.py")
_POLL_S = 0.01
_OPEN_S = 10.0
_SLACK_S = 15.0
_LOG_FILE = "server.log"
# A server may run as another user, who could read our secrets in its environment, and PGOPTIONS is for clients.
_INHERITED = {"PATH", "HOME", "TMPDIR", "TZ", "JAVA_HOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"}
_LOG_TAIL_CHARACTERS = 4_000

Step: TypeAlias = Mapping[str, object]
"""One verb of the guard and its argument: `write`, `remove`, `rename`, `copy`, `run`, `serve`."""

IsReady: TypeAlias = Callable[[int], Awaitable[bool]]
"""Whether the server of this process id answers."""


@dataclass(frozen=True, slots=True)
class Lifeline:
    """Several owners: each holds a shared lock on `users`; while the file `keep` exists none is needed."""

    users: Path
    keep: Path


@dataclass(frozen=True, slots=True)
class Charge:
    """What a guard keeps."""

    name: str
    directory: Path
    ladder: tuple[tuple[str, float], ...]
    """Signals that end the server, each with the seconds it is given."""
    orphan_signal: str = "SIGKILL"
    """Where the kernel can (Linux): sent to the server when the guard itself is killed."""
    remove_at_end: tuple[Path, ...] = ()
    user: tuple[int, int] | None = None
    """User and group id of the server and its directory; None: our own."""
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Beside the few variables of ours that any program needs; no other is passed on."""
    lifeline: Lifeline | None = None

    def to_json(self) -> str:
        """The first line that the guard reads."""
        line = self.lifeline
        return json.dumps(
            {
                "directory": str(self.directory),
                "ladder": self.ladder,
                "orphan_signal": self.orphan_signal,
                "remove_at_end": [str(path) for path in self.remove_at_end],
                "user": self.user,
                "environment": dict(self.environment),
                "lifeline": line and {"users": str(line.users), "keep": str(line.keep)},
                "owner": os.getpid(),
            }
        )


class GuardedServer:
    """One guard and its server, for the scope of `GuardedServer.open`.

    The server can be started, ended and started again; the directory stays in between. However the process
    that opened the scope ends, the server and `remove_at_end` are gone within seconds. One caller at a time.
    """

    def __init__(self, charge: Charge) -> None:
        self._charge = charge
        self._guard = _spawn_guard(charge)
        self._unread = b""
        self._events: deque[dict[str, Any]] = deque()
        self.pid: int | None = None
        self.guard_pid: int | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, charge: Charge) -> AsyncIterator["GuardedServer"]:
        """A guard that holds the directory.

        :raises Conflict: another guard holds it.
        """
        server = cls(charge)
        try:
            server.guard_pid = (await server._expect("opened", _OPEN_S))["guard"]
            yield server
        finally:
            await server._close()

    async def start(self, steps: Sequence[Step], is_ready: IsReady, wait_s: float) -> None:
        """Take the steps, the last of which is to `serve`, and wait until the server is ready.

        :raises Unavailable: a step failed, the server ended, or was not ready in time; with its log.
        """
        self._ask(do="serve", steps=[dict(step) for step in steps])
        try:
            async with asyncio.timeout(wait_s):
                self.pid = (await self._expect("started", wait_s))["pid"]
                while not await is_ready(self.pid):
                    self._raise_if_ended()
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as error:
            await self.stop()
            raise self._unavailable(f"was not ready within {wait_s:g} s", self.log_tail()) from error

    async def stop(self) -> None:
        """End the server in order; the directory stays. Does nothing where none runs."""
        if self.pid is not None:
            self._ask(do="stop")
            await self._wait_for_exit()

    async def kill(self, name: str = "SIGKILL") -> None:
        """End the server by one signal and wait until it is gone. Does nothing where none runs."""
        if self.pid is not None:
            self.signal(name)
            await self._wait_for_exit()

    def signal(self, name: str) -> None:
        """Send the server a signal, such as SIGCONT, without waiting for what comes of it."""
        self._ask(do="signal", name=name)

    async def freeze(self) -> None:
        """Stop the server's clock; on return it does nothing more until SIGCONT, SIGKILL or `stop`."""
        self._ask(do="freeze")
        await self._expect("frozen", _OPEN_S)

    def log_tail(self) -> str:
        """The end of the server's log."""
        log = self._charge.directory / _LOG_FILE
        return log.read_text(errors="replace")[-_LOG_TAIL_CHARACTERS:] if log.exists() else ""

    async def _wait_for_exit(self) -> None:
        await self._expect("exited", self._patience_s())
        self.pid = None

    def _patience_s(self) -> float:
        return sum(wait_s for _, wait_s in self._charge.ladder) + _SLACK_S

    async def _expect(self, name: str, wait_s: float) -> dict[str, Any]:
        try:
            async with asyncio.timeout(wait_s):
                while True:
                    while event := self._next_event():
                        if event["event"] == name:
                            return event
                        self._raise_for(event)
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as error:
            raise self._unavailable(f"was not reported as {name} within {wait_s:g} s", self.log_tail()) from error

    def _raise_if_ended(self) -> None:
        while event := self._next_event():
            self._raise_for(event)

    def _raise_for(self, event: Mapping[str, Any]) -> None:
        match event["event"]:
            case "busy":
                raise Conflict(
                    f"{self._charge.name} in {self._charge.directory} is in use by another process: "
                    "stop that one, or name another directory",
                    code="DIRECTORY_IN_USE",
                )
            case "failed":
                raise self._unavailable(event["reason"], event["log"])
            case "exited":
                self.pid = None
                raise self._unavailable(f"ended with {event['code']}", event["log"])

    def _next_event(self) -> dict[str, Any] | None:
        received = self._guard.stdout.read() if self._guard.stdout else b""
        *lines, self._unread = (self._unread + (received or b"")).split(b"\n")
        self._events.extend(json.loads(line) for line in lines)
        if received == b"" and not self._events:
            raise self._unavailable("lost its guard", self.log_tail())
        return self._events.popleft() if self._events else None

    def _ask(self, **request: object) -> None:
        try:
            _write_line(self._guard, json.dumps(request))
        except (OSError, ValueError) as error:
            raise self._unavailable("lost its guard", self.log_tail()) from error

    def _unavailable(self, what: str, log: str) -> Unavailable:
        end_of_log = f"\n{log.strip()}" if log.strip() else ""
        return Unavailable(f"{self._charge.name} {what}{end_of_log}", code="SERVER_NOT_RUNNING")

    async def _close(self) -> None:
        """The guard ends when its stdin does, unless a lifeline says otherwise."""
        with contextlib.suppress(OSError):
            self._guard.stdin.close()  # type: ignore[union-attr]  # opened as a pipe
        try:
            async with asyncio.timeout(self._patience_s()):
                while self._guard.poll() is None:  # noqa: ASYNC110  # a process sets no event
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            self._guard.kill()
            self._guard.wait(_SLACK_S)
        finally:
            self._guard.stdout.close()  # type: ignore[union-attr]  # opened as a pipe
            if self._guard.returncode:
                self._do_its_last_duty()
            self.pid = None

    def _do_its_last_duty(self) -> None:
        """End and remove what a guard that was killed has left."""
        if self.pid is not None:
            with contextlib.suppress(OSError):
                os.kill(self.pid, signal.Signals[self._charge.orphan_signal])
        for path in self._charge.remove_at_end:
            shutil.rmtree(path, ignore_errors=True)


def _spawn_guard(charge: Charge) -> "subprocess.Popen[bytes]":
    guard = subprocess.Popen(  # noqa: S603  # our own interpreter and script
        [sys.executable, "-I", "-S", str(_GUARD)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        cwd="/",
        env={name: value for name, value in os.environ.items() if name in _INHERITED},
        start_new_session=True,
    )
    os.set_blocking(guard.stdout.fileno(), False)  # type: ignore[union-attr]  # opened as a pipe
    _write_line(guard, charge.to_json())
    return guard


def _write_line(guard: "subprocess.Popen[bytes]", line: str) -> None:
    guard.stdin.write(line.encode() + b"\n")  # type: ignore[union-attr]  # opened as a pipe
