"""Places in the code where a test may break this process on purpose, by name and by the nth time one comes there.

`TAILRACE_FAILPOINT=name:nth:action` arms one. `kill` and `stop` send this process SIGKILL and SIGSTOP, `raise` raises
`FailpointReached`, `sleep:S` blocks the event loop for S seconds. Nothing is armed otherwise.
"""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import structlog

NAMES = (
    "api.after_run_insert_before_commit",
    "api.after_commit_before_response",
    "sched.after_tick_insert",
    "sched.after_run_insert",
    "sched.after_commit",
    "relay.after_send_before_delete",
    "exec.after_claim",
    "exec.before_first_read",
    "exec.mid_read",
    "exec.after_map",
    "exec.before_send",
    "exec.after_send_before_response",
    "exec.after_response_before_checkpoint",
    "exec.ckpt_after_dlq_insert",
    "exec.ckpt_after_run_update_before_commit",
    "exec.ckpt_after_commit",
    "exec.mid_backoff",
    "exec.mid_token_wait",
    "exec.snapshot_written_before_forgotten",
    "exec.snapshot_forgotten",
    "exec.before_finish",
    "exec.finish_after_commit",
    "exec.during_sigterm_handback",
    "dlq.after_consume_before_upsert",
    "dlq.after_upsert_before_commit_offset",
)
"""All failpoints there are."""

_USAGE = "write name:nth:action; an action is kill, stop, raise or sleep:SECONDS"

_log = structlog.get_logger(__name__)


class FailpointReached(Exception):
    """A bug that a test has asked for: nothing handles it."""


@dataclass(frozen=True, slots=True)
class Failpoint:
    """What happens at the nth time that a place is come to."""

    name: str
    nth: int
    act: Callable[[], None]


@dataclass(slots=True)
class _Arms:
    """The failpoint of this process, and how often its place was come to."""

    armed: Failpoint | None = None
    reached: int = 0

    def reach(self, name: str) -> None:
        if self.armed is None or name != self.armed.name:
            return
        self.reached += 1
        if self.reached == self.armed.nth:
            _log.warning("failpoint.reached", name=name, nth=self.reached)
            self.armed.act()


_arms = _Arms()


def failpoint(name: str) -> None:
    """Where the process breaks if the failpoint of that name is armed; otherwise nothing.

    :raises FailpointReached: the action is `raise`.
    """
    if _arms.armed is not None:
        _arms.reach(name)


def arm(wanted: Failpoint | None) -> None:
    """Make it the failpoint of this process, from now on; None takes it away."""
    _arms.armed, _arms.reached = wanted, 0
    if wanted is not None:
        _log.warning("failpoint.armed", name=wanted.name, nth=wanted.nth)


def parse_failpoint(text: str) -> Failpoint:
    """Read `name:nth:action`.

    :raises ValueError: says what is known.
    """
    name, _, rest = text.partition(":")
    nth, _, action = rest.partition(":")
    if name not in NAMES:
        raise ValueError(f"no failpoint is called {name!r}; known are: {', '.join(NAMES)}")
    if not nth.isdecimal() or int(nth) < 1:
        raise ValueError(f"nth must be 1 or more; {_USAGE}")
    return Failpoint(name, int(nth), _action(name, action))


def _action(name: str, text: str) -> Callable[[], None]:
    kind, _, seconds = text.partition(":")
    match kind:
        case "kill" if not seconds:
            return partial(os.kill, os.getpid(), signal.SIGKILL)
        case "stop" if not seconds:
            return partial(os.kill, os.getpid(), signal.SIGSTOP)
        case "raise" if not seconds:
            return partial(_raise, name)
        case "sleep" if seconds.isdecimal():
            return partial(time.sleep, int(seconds))
        case _:
            raise ValueError(f"there is no action {text!r}; {_USAGE}")


def _raise(name: str) -> None:
    raise FailpointReached(name)
