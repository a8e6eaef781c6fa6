import asyncio
import json
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.commands import COMMAND, without_ours
from tests.embedded.processes import eventually, is_alive

_WAIT_S = 90.0

# A CRM that says yes and forgets one contact: what no status and no count can show.
FORGETFUL = """
from tailrace.cli.main import app
from tailrace.embedded import demo_crm
settled = demo_crm._settled
def forget(crm, operation, row):
    said = settled(crm, operation, row)
    crm.contacts.pop("77", None)
    return said
demo_crm._settled = forget
app()
"""

pytestmark = pytest.mark.timeout(150)


def ended(*command: str) -> "subprocess.CompletedProcess[str]":
    environment = {**without_ours(), "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, timeout=_WAIT_S, check=False, env=environment)


def test_demo_ends_by_itself_and_prints_an_object_a_run() -> None:
    demo = ended(COMMAND, "demo", "--once", "--json")

    first, second = map(json.loads, demo.stdout.splitlines())
    assert (demo.returncode, demo.stderr) == (0, "")
    assert (first["status"], first["books"]["read"], first["books"]["delivered"]) == ("succeeded", 10_000, 9_800)
    assert (second["status"], second["books"]["delivered"], second["books"]["removed"]) == ("succeeded", 295, 40)
    assert first["by_reason"]["rejected.INVALID_EMAIL"] == 80
    assert first["as_expected"] is second["as_expected"] is True
    assert first["run_id"] != second["run_id"]


def test_demo_tells_people_what_became_of_the_rows() -> None:
    demo = ended(COMMAND, "demo", "--once")

    assert demo.returncode == 0
    assert re.search(r"delivered +│ +9,800 │ +295", demo.stdout)
    assert re.search(r"invalid email +│ +80 │ +5", demo.stdout)
    assert "Dead letters: 185 open" in demo.stdout
    assert "exactly what was expected" in demo.stdout


def test_demo_fails_when_the_crm_does_not_hold_what_it_has_to() -> None:
    demo = ended(sys.executable, "-c", FORGETFUL, "demo", "--once", "--json")

    assert demo.returncode == 1
    assert len(demo.stdout.splitlines()) == 2
    assert "the CRM lacks 1 contacts, such as 77" in demo.stderr


async def test_demo_stays_up_with_commands_that_work_until_ctrl_c() -> None:
    process = await asyncio.create_subprocess_exec(
        COMMAND, "demo", env=without_ours(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(_WAIT_S):
            said = (await process.stdout.readuntil(b"Ctrl-C")).decode()
        commands = [line.strip() for line in said.splitlines() if line.strip().startswith("curl ")]

        answers = [json.loads(ended(*shlex.split(command)).stdout) for command in commands]

        assert [sorted(answer) for answer in answers] == [["data"], ["data", "meta"], ["syncId"]]
        assert answers[0]["data"]["attributes"]["status"] == "succeeded"
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(_WAIT_S):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_demo_that_is_killed_leaves_no_process_behind() -> None:
    process = await asyncio.create_subprocess_exec(
        COMMAND, "demo", "--once", env=without_ours(), stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    async with asyncio.timeout(_WAIT_S):
        await process.stdout.readline()
    children = _descendants(process.pid)

    process.kill()
    await process.communicate()

    assert children
    assert await eventually(lambda: not any(map(is_alive, children)), within_s=30)


def _descendants(pid: int) -> list[int]:
    try:
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []  # a server's helper that has ended meanwhile
    own = [int(child) for child in listed.split()]
    return [*own, *(below for child in own for below in _descendants(child))]
