"""The disk of every pod is full from the start: services do without it."""

import asyncio
import stat
import sys
from pathlib import Path

import pytest

from tests.cli.commands import COMMAND
from tests.faults.trial import Trial
from tests.fixtures.trials import Count, Outcome
from tests.walks import processes

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

SERVICES = ("gateway", "scheduler", "executor", "dlq")
# No file can grow by a byte; what is logged goes through a pipe, as it does in a pod.
_WITHOUT_ROOM = f"""#!{sys.executable}
import os, resource, subprocess, sys
log = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=2)
os.dup2(log.stdin.fileno(), 1)
os.dup2(log.stdin.fileno(), 2)
log.stdin.close()
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
try:
    open(os.environ["TMPDIR"] + "/probe", "wb", buffering=0).write(b"x")
    sys.exit("there is room")
except OSError:
    os.execv({COMMAND!r}, [{COMMAND!r}, *sys.argv[1:]])
"""


@pytest.fixture
def full_disks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Services are started without room for a byte."""
    script = tmp_path / "without-room"
    script.write_text(_WITHOUT_ROOM)
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(processes, "COMMAND", str(script))
    monkeypatch.setenv("TMPDIR", str(tmp_path))


@pytest.mark.usefixtures("full_disks")
async def test_services_on_full_disks_are_ready_and_carry_out_runs(trial: Trial, count: Count) -> None:
    services = [await trial.ground.start(name) for name in SERVICES]
    await asyncio.gather(*(service.ready() for service in services))

    run = await trial.run()

    assert await trial.breaches_after(run) == []
    count([Outcome("disk full")])
    assert await trial.ground.breaches() == []
