import asyncio
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tailrace.observe.failpoints import NAMES, FailpointReached, arm, failpoint, parse_failpoint

_ROOT = Path(__file__).parents[2]
_CODE = "\n".join(path.read_text() for folder in ("libs", "services") for path in (_ROOT / folder).rglob("*.py"))
_DIE = f"""
from tailrace.observe.failpoints import arm, failpoint, parse_failpoint
arm(parse_failpoint("{NAMES[0]}:2:kill"))
failpoint("{NAMES[0]}")
print("once", flush=True)
failpoint("{NAMES[0]}")
print("twice", flush=True)
"""


@pytest.fixture(autouse=True)
def nothing_stays_armed() -> Iterator[None]:
    yield
    arm(None)


def test_process_breaks_at_the_nth_time_only() -> None:
    arm(parse_failpoint("exec.before_send:2:raise"))

    failpoint("exec.before_send")
    failpoint("exec.after_map")
    with pytest.raises(FailpointReached, match=r"exec\.before_send"):
        failpoint("exec.before_send")
    failpoint("exec.before_send")


def test_sleep_blocks_the_process() -> None:
    arm(parse_failpoint("exec.after_map:1:sleep:1"))
    begun = time.monotonic()

    failpoint("exec.after_map")

    assert time.monotonic() - begun >= 1


async def test_kill_leaves_no_time_for_anything() -> None:
    async with asyncio.timeout(30):
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", _DIE, stdout=asyncio.subprocess.PIPE)
        stdout, _ = await child.communicate()

    assert child.returncode == -signal.SIGKILL
    assert b"once" in stdout
    assert b"twice" not in stdout


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("exec.before_lunch:1:kill", "exec.ckpt_after_commit"),
        ("", "exec.ckpt_after_commit"),
        ("exec.after_map", "nth"),
        ("exec.after_map:0:kill", "nth"),
        ("exec.after_map:x:kill", "nth"),
        ("exec.after_map:1:explode", "'explode'"),
        ("exec.after_map:1:kill:2", "'kill:2'"),
        ("exec.after_map:1:sleep:soon", "sleep:SECONDS"),
    ],
)
def test_failpoint_that_cannot_be_is_refused_with_what_can(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        parse_failpoint(text)


@pytest.mark.parametrize("name", NAMES)
def test_each_name_stands_somewhere_in_the_code(name: str) -> None:
    assert f'failpoint("{name}")' in _CODE
