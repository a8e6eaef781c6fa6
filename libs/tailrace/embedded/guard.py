"""The guard of a server: a small process that owns it and its directory, and ends both when its owner goes.

Run as a script with the standard library alone (`python -I -S guard.py`) by `guarded_server.py`, which
speaks JSON lines with it: the first on stdin is the charge, each further one a request; stdout tells events.
The owner is gone when stdin ends or another process has become the parent. Where the charge has a `lifeline`,
the owners are those who hold a shared lock on its `users`; a file `keep` stands for one more. So a SIGKILL of
the owner needs no clean-up by anybody else.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

LOCK_FILE = "guard.lock"
LOG_FILE = "server.log"
STDIN = 0
STDOUT = 1
LOG_TAIL_BYTES = 4_000
LOCK_WAIT_S = 2.0
REMOVE_WAIT_S = 10.0
FREEZE_WAIT_S = 5.0
LOOK_EVERY_S = 0.5
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class Guard:
    """Keeps at most one child at a time: a step of the preparation, or the server."""

    def __init__(self, charge: dict[str, Any]) -> None:
        self.charge = charge
        self.directory = Path(charge["directory"])
        self.steps: list[dict[str, Any]] = []
        self.child: subprocess.Popen[bytes] | None = None
        self.is_serving = False
        self.is_ending = False
        self.is_heard = True
        self.unread = b""
        self.locks: list[int] = []
        self.wake = self._wake_on_signals()

    def keep(self) -> None:
        """Serve requests until the owner is gone; on return the server and `remove_at_end` are gone too."""
        self._open_directory()
        try:
            _tell("opened", guard=os.getpid())
            while not self.is_ending:
                self._look()
        finally:
            self._end_child()
            for path in self.charge["remove_at_end"]:
                _remove(Path(path))

    def _look(self) -> None:
        heard = [self.wake, STDIN] if self.is_heard else [self.wake]
        ready = select.select(heard, [], [], LOOK_EVERY_S)[0]
        if self.wake in ready:
            os.read(self.wake, 4096)
        if STDIN in ready:
            self._hear()
        self._look_at_child()
        self._look_at_owner()

    def _hear(self) -> None:
        received = os.read(STDIN, 65_536)
        if not received:
            self.is_heard = False
            self.is_ending |= self.charge["lifeline"] is None
        *lines, self.unread = (self.unread + received).split(b"\n")
        for line in lines:
            self.obey(json.loads(line))

    def obey(self, request: dict[str, Any]) -> None:
        """Do what one line of the owner asks for."""
        match request["do"]:
            case "serve":
                self.steps = request["steps"]
                self._advance()
            case "stop":
                self._end_child()
            case "signal" if self.child is not None:
                self.child.send_signal(signal.Signals[request["name"]])
            case "freeze" if self.child is not None:
                self._freeze(self.child.pid)

    def _freeze(self, pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)
        give_up_at = time.monotonic() + FREEZE_WAIT_S
        # Its exit is not collected here: that is told as such.
        while os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOHANG) is None and time.monotonic() < give_up_at:
            time.sleep(0.005)
        _tell("frozen")

    def _advance(self) -> None:
        while self.steps and self.child is None:
            ((verb, what),) = self.steps.pop(0).items()
            try:
                self._take_step(verb, what)
            except OSError as error:
                self._fail(f"cannot {verb}: {error}")

    def _take_step(self, verb: str, what: Any) -> None:  # noqa: ANN401  # JSON: a shape for each verb
        match verb:
            case "write":
                self._make(Path(what[0]).parent)
                Path(what[0]).write_text(what[1])
                self._give_to_user(what[0])
            case "remove":
                _remove(Path(what))
            case "rename":
                Path(what[0]).rename(what[1])
            case "copy":
                self._copy(Path(what[0]), Path(what[1]))
            case "run" | "serve":
                self._spawn(what, is_serving=verb == "serve")

    def _spawn(self, command: list[str], *, is_serving: bool) -> None:
        user = self.charge["user"]
        with (self.directory / LOG_FILE).open("ab") as log:
            self.child = subprocess.Popen(  # noqa: S603  # the owner names the program
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env=os.environ | self.charge["environment"],
                start_new_session=True,
                user=user and user[0],
                group=user and user[1],
                extra_groups=[] if user else None,
                preexec_fn=self._die_with_guard,  # noqa: PLW1509  # this process has one thread
            )
        self.is_serving = is_serving
        if is_serving:
            _tell("started", pid=self.child.pid)

    def _die_with_guard(self) -> None:
        # The second lock, where the kernel has one: the guard itself may be killed.
        if _libc is not None:
            _libc.prctl(PR_SET_PDEATHSIG, int(signal.Signals[self.charge["orphan_signal"]]))

    def _look_at_child(self) -> None:
        if self.child is None or self.child.poll() is None:
            return
        code, self.child = self.child.returncode, None
        if self.is_serving:
            _tell("exited", code=code, log=self._log_tail())
        elif code == 0:
            self._advance()
        else:
            self._fail(f"a step of the preparation ended with {code}")

    def _look_at_owner(self) -> None:
        lifeline = self.charge["lifeline"]
        if lifeline is None:
            self.is_ending |= os.getppid() != self.charge["owner"]
        elif not Path(lifeline["keep"]).exists():
            self.is_ending |= self._hold(lifeline["users"])

    def _end_child(self) -> None:
        self.steps = []
        for name, wait_s in self.charge["ladder"]:
            if self.child is None:
                return
            self._signal(self.child, name if self.is_serving else "SIGKILL")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.wait(wait_s)
            self._look_at_child()

    @staticmethod
    def _signal(child: subprocess.Popen[bytes], name: str) -> None:
        # A killed step such as initdb leaves children; they are in its group.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if name == "SIGKILL":
                os.killpg(child.pid, signal.SIGKILL)
            child.send_signal(signal.Signals[name])
            child.send_signal(signal.SIGCONT)  # a paused server hears no other

    def _open_directory(self) -> None:
        self._make(self.directory)
        self._give_to_user(self.directory)
        give_up_at = time.monotonic() + LOCK_WAIT_S
        while not self._hold(self.directory / LOCK_FILE):
            if time.monotonic() > give_up_at:
                _tell("busy")
                sys.exit(1)
            time.sleep(0.05)
        log = self.directory / LOG_FILE
        if log.exists():
            log.replace(self.directory / f"{LOG_FILE}.previous")

    def _make(self, folder: Path) -> None:
        if not folder.exists():
            self._make(folder.parent)
            folder.mkdir(mode=0o700)
            self._give_to_user(folder)

    def _copy(self, source: Path, target: Path) -> None:
        self._make(target.parent)
        shutil.copytree(source, target, symlinks=True)
        for folder, _, files in os.walk(target):
            for name in (".", *files):
                self._give_to_user(os.path.join(folder, name))  # noqa: PTH118  # a Path is slow by the thousand

    def _hold(self, path: str | Path) -> bool:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self.locks.append(descriptor)
        return True

    def _give_to_user(self, path: str | Path) -> None:
        if self.charge["user"]:
            os.chown(path, *self.charge["user"], follow_symlinks=False)

    def _fail(self, reason: str) -> None:
        self.steps = []
        _tell("failed", reason=reason, log=self._log_tail())

    def _log_tail(self) -> str:
        with contextlib.suppress(OSError):
            return (self.directory / LOG_FILE).read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")
        return ""

    def _wake_on_signals(self) -> int:
        awake, waker = os.pipe()
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        # Handlers, not SIG_IGN: a program that the guard starts would inherit that.
        for ignored in (signal.SIGCHLD, signal.SIGINT, signal.SIGHUP):
            signal.signal(ignored, lambda *_: None)
        signal.signal(signal.SIGTERM, self._end)
        return awake

    def _end(self, *_: object) -> None:
        self.is_ending = True


def main() -> None:
    """Read the charge, keep it, go."""
    charge = json.loads(_first_line())
    os.umask(0o077)
    if charge["lifeline"] and os.fork():
        os._exit(0)  # nobody waits for a guard that outlives the process which started it
    try:
        Guard(charge).keep()
    except Exception:  # noqa: BLE001  # the edge of a process: its owner reads it
        _tell("failed", reason="the guard broke", log=traceback.format_exc()[-LOG_TAIL_BYTES:])
        sys.exit(1)


def _first_line() -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(STDIN, 1)
        if not byte:
            sys.exit(0)
        line += byte
    return line


def _tell(event: str, **fields: object) -> None:
    # The owner may have gone, or no longer listen.
    with contextlib.suppress(OSError):
        os.write(STDOUT, json.dumps({"event": event, **fields}).encode() + b"\n")


def _remove(path: Path) -> None:
    """A killed server's last children may still write: try again until nothing is left."""
    give_up_at = time.monotonic() + REMOVE_WAIT_S
    while path.exists() and time.monotonic() < give_up_at:
        shutil.rmtree(path, ignore_errors=True)
        if path.exists():
            time.sleep(0.05)


if __name__ == "__main__":
    main()
