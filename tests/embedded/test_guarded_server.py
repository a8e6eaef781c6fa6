"""What a guard promises for any server, shown with programs of one line."""

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tailrace.core.errors import Conflict, Unavailable
from tailrace.embedded.guarded_server import Charge, GuardedServer, IsReady, Step
from tests.embedded.processes import an_owner, eventually, is_alive

READY_S = 20.0
SLEEPS: Step = {"serve": ["sleep", "60"]}
IGNORES_SIGTERM = """
import pathlib, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path("ready").touch()
signal.pause()
"""
DIES_IN_A_STEP_WITH_CHILDREN = """
import asyncio, json, os, pathlib, signal, sys
from tailrace.embedded.guarded_server import Charge, GuardedServer
async def main():
    directory = pathlib.Path(sys.argv[1])
    charge = Charge(name="a server", directory=directory, ladder=(("SIGTERM", 5.0), ("SIGKILL", 5.0)))
    async with GuardedServer.open(charge) as server, asyncio.TaskGroup() as group:
        step = ["sh", "-c", "trap '' TERM; sleep 61 & echo $! > child.new; mv child.new child; wait"]
        group.create_task(server.start([{"run": step}], None, 60.0))
        while not (directory / "child").exists():
            await asyncio.sleep(0.01)
        print(json.dumps({"child": int((directory / "child").read_text())}), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""


def a_charge(directory: Path, *ladder: tuple[str, float]) -> Charge:
    return Charge(name="a server", directory=directory, ladder=ladder or (("SIGTERM", 5.0), ("SIGKILL", 5.0)))


async def at_once(_pid: int) -> bool:
    return True


async def never(_pid: int) -> bool:
    return False


def once_there(path: Path) -> IsReady:
    async def is_there(_pid: int) -> bool:
        return path.exists()

    return is_there


async def test_server_that_ignores_a_signal_gets_the_next(tmp_path: Path) -> None:
    async with GuardedServer.open(a_charge(tmp_path, ("SIGTERM", 0.1), ("SIGKILL", 5.0))) as server:
        stubborn: Step = {"serve": [sys.executable, "-c", IGNORES_SIGTERM]}
        await server.start([stubborn], once_there(tmp_path / "ready"), READY_S)
        pid = server.pid

        await server.stop()

    assert pid is not None
    assert not is_alive(pid)
    assert server.pid is None


async def test_frozen_server_still_stops(tmp_path: Path) -> None:
    async with GuardedServer.open(a_charge(tmp_path, ("SIGTERM", 30.0))) as server:
        await server.start([SLEEPS], at_once, READY_S)
        await server.freeze()

        await server.stop()

    assert server.pid is None


async def test_server_that_is_never_ready_is_stopped_and_told_with_its_log(tmp_path: Path) -> None:
    async with GuardedServer.open(a_charge(tmp_path)) as server:
        talks: Step = {"serve": ["sh", "-c", "echo waiting for the moon; exec sleep 60"]}

        with pytest.raises(Unavailable, match=r"a server was not ready within 0\.5 s\nwaiting for the moon"):
            await server.start([talks], never, 0.5)

        assert server.pid is None


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        pytest.param([{"run": ["sh", "-c", "echo no room; exit 3"]}, SLEEPS], "ended with 3\nno room", id="fails"),
        pytest.param([{"run": ["/nonexistent/initdb"]}, SLEEPS], "cannot run", id="cannot be run"),
        pytest.param([{"rename": ["/nonexistent", "/elsewhere"]}, SLEEPS], "cannot rename", id="has no file"),
        pytest.param([{"serve": ["sh", "-c", "echo no luck; exit 4"]}], "ended with 4\nno luck", id="ends"),
    ],
)
async def test_step_that_goes_wrong_is_told_at_once(tmp_path: Path, steps: Sequence[Step], told: str) -> None:
    async with GuardedServer.open(a_charge(tmp_path)) as server:
        with pytest.raises(Unavailable, match=told):
            await server.start(steps, never, READY_S)


async def test_server_starts_after_a_start_that_failed(tmp_path: Path) -> None:
    async with GuardedServer.open(a_charge(tmp_path)) as server:
        with pytest.raises(Unavailable):
            await server.start([{"run": ["false"]}, SLEEPS], at_once, READY_S)

        await server.start([SLEEPS], at_once, READY_S)

        assert server.pid is not None
        assert is_alive(server.pid)


async def test_server_that_died_meanwhile_can_be_stopped_and_started(tmp_path: Path) -> None:
    async with GuardedServer.open(a_charge(tmp_path)) as server:
        await server.start([SLEEPS], at_once, READY_S)
        first = server.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)

        await server.stop()
        await server.start([SLEEPS], at_once, READY_S)

        assert server.pid not in {None, first}


async def test_second_guard_is_refused_the_directory(tmp_path: Path) -> None:
    async with GuardedServer.open(a_charge(tmp_path)):
        with pytest.raises(Conflict, match="in use by another process"):
            async with GuardedServer.open(a_charge(tmp_path)):
                pytest.fail("two guards hold one directory")


async def test_lost_guard_is_told(tmp_path: Path) -> None:
    async with GuardedServer.open(a_charge(tmp_path)) as server:
        await server.start([SLEEPS], at_once, READY_S)
        assert server.guard_pid is not None
        os.kill(server.guard_pid, signal.SIGKILL)

        with pytest.raises(Unavailable, match="lost its guard"):
            await server.stop()


async def test_owner_does_what_a_killed_guard_cannot(tmp_path: Path) -> None:
    charge = replace(a_charge(tmp_path / "server"), remove_at_end=(tmp_path / "server",))
    async with GuardedServer.open(charge) as server:
        await server.start([SLEEPS], at_once, READY_S)
        pid = server.pid
        assert server.guard_pid is not None
        os.kill(server.guard_pid, signal.SIGKILL)

    assert pid is not None
    assert await eventually(lambda: not is_alive(pid))
    assert not (tmp_path / "server").exists()


async def test_our_environment_is_none_of_the_servers_business(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILRACE_SECRET_KEYS", "confidential")
    charge = replace(a_charge(tmp_path), environment={"LC_ALL": "C"})

    async with GuardedServer.open(charge) as server:
        await server.start([{"run": ["env"]}, SLEEPS], at_once, READY_S)

    environment = (tmp_path / "server.log").read_text()
    assert "LC_ALL=C\n" in environment
    assert "PATH=" in environment
    assert "confidential" not in environment


async def test_log_of_the_time_before_is_kept_beside(tmp_path: Path) -> None:
    async with GuardedServer.open(a_charge(tmp_path)) as server:
        await server.start([{"run": ["echo", "first"]}, SLEEPS], at_once, READY_S)

    async with GuardedServer.open(a_charge(tmp_path)) as server:
        await server.start([{"run": ["echo", "second"]}, SLEEPS], at_once, READY_S)

    assert (tmp_path / "server.log").read_text() == "second\n"
    assert (tmp_path / "server.log.previous").read_text() == "first\n"


async def test_children_of_a_step_end_with_the_owner_too(tmp_path: Path) -> None:
    with an_owner(DIES_IN_A_STEP_WITH_CHILDREN, str(tmp_path)) as owner:
        found = await owner.told()

        assert await eventually(lambda: not is_alive(found["child"]))
