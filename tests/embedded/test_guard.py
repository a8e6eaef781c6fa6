"""Whatever becomes of the owner, nothing is left behind."""

import contextlib
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from tailrace.embedded.postgres import EmbeddedPostgres
from tests.embedded.processes import an_owner, eventually, is_alive

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc, or leans on the kernel's own help")

OWNS_A_SERVER = """
import asyncio, json, os, signal, sys
from tailrace.embedded.postgres import EmbeddedPostgres
async def main():
    async with EmbeddedPostgres(durable=False) as postgres:
        heir = os.fork() if sys.argv[1] == "leaves an heir" else None
        if heir == 0:
            signal.pause()
        guard = postgres._server._guard.pid
        told = {"pid": postgres.pid, "directory": str(postgres.directory), "heir": heir, "guard": guard}
        print(json.dumps(told), flush=True)
        if sys.argv[1] == "raises":
            raise SystemExit
        await asyncio.sleep(60)
asyncio.run(main())
"""

DIES_WHILE_THE_CLUSTER_IS_MADE = """
import asyncio, json, os, signal
from tailrace.embedded.postgres import EmbeddedPostgres
async def main():
    postgres = EmbeddedPostgres(durable=False)
    opening = asyncio.create_task(postgres.__aenter__())
    while not getattr(postgres, "_server", None) or not (postgres.directory / "cluster.new" / "base").exists():
        await asyncio.sleep(0.001)
    print(json.dumps({"directory": str(postgres.directory)}), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""


def processes_in(directory: str) -> list[int]:
    """Process ids of what was started for the files in the directory."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if directory in entry.read_text():
                found.append(int(entry.parent.name))
    return found


async def test_sigkill_of_the_owner_leaves_no_server_and_no_files() -> None:
    with an_owner(OWNS_A_SERVER, "stays") as owner:
        found = await owner.told()

        owner.kill()

        assert await eventually(lambda: not is_alive(found["pid"]))
        assert await eventually(lambda: not Path(found["directory"]).exists())
        assert await eventually(lambda: not is_alive(found["guard"]))


async def test_sigkill_of_an_owner_with_a_forked_child_leaves_nothing_either() -> None:
    with an_owner(OWNS_A_SERVER, "leaves an heir") as owner:
        found = await owner.told()

        owner.kill()

        assert await eventually(lambda: not is_alive(found["pid"]))
        assert await eventually(lambda: not Path(found["directory"]).exists())
        os.kill(found["heir"], signal.SIGKILL)


async def test_ordinary_end_of_the_owner_leaves_nothing() -> None:
    with an_owner(OWNS_A_SERVER, "raises") as owner:
        found = await owner.told()

        assert await eventually(lambda: not is_alive(found["pid"]))
        assert await eventually(lambda: not Path(found["directory"]).exists())


@linux
async def test_sigkill_while_the_cluster_is_made_leaves_nothing() -> None:
    with an_owner(DIES_WHILE_THE_CLUSTER_IS_MADE) as owner:
        found = await owner.told()

        assert await eventually(lambda: not Path(found["directory"]).exists())
        assert await eventually(lambda: processes_in(found["directory"]) == [])


@linux
async def test_sigkill_of_the_guard_takes_the_server_with_it() -> None:
    with an_owner(OWNS_A_SERVER, "stays") as owner:
        found = await owner.told()

        os.kill(found["guard"], signal.SIGKILL)

        assert await eventually(lambda: not is_alive(found["pid"]))
        shutil.rmtree(found["directory"])


async def test_interrupt_from_the_keyboard_reaches_neither_guard_nor_server() -> None:
    async with EmbeddedPostgres(durable=False) as postgres:
        assert postgres.pid is not None
        assert postgres._server.guard_pid is not None

        assert os.getpgid(postgres.pid) != os.getpgid(0)
        assert os.getpgid(postgres._server.guard_pid) != os.getpgid(0)
