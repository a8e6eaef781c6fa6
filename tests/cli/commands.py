"""The command line as somebody else runs it: a process, its exit code and what it wrote."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_WAIT_S = 60.0
COMMAND = str(Path(sys.executable).with_name("tailrace"))


@dataclass(frozen=True, slots=True)
class Ended:
    """What a command left behind."""

    code: int
    stdout: str
    stderr: str

    def json(self) -> Any:  # noqa: ANN401 - whatever the command says
        """What it printed, as one JSON object."""
        return json.loads(self.stdout)


async def tailrace(*arguments: str, environment: Mapping[str, str] | None = None, folder: Path | None = None) -> Ended:
    """Run `tailrace` with these arguments and, of TAILRACE_ variables, these alone."""
    return await run(COMMAND, *arguments, environment=environment, folder=folder)


async def run(*command: str, environment: Mapping[str, str] | None = None, folder: Path | None = None) -> Ended:
    """Run a program, or with `-m` a module of this Python, in the same way."""
    program = (sys.executable,) if command[0] == "-m" else ()
    child = await asyncio.create_subprocess_exec(
        *program,
        *command,
        env={**without_ours(), "COLUMNS": "200", "NO_COLOR": "1", **(environment or {})},
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(_WAIT_S):
        stdout, stderr = await child.communicate()
    assert child.returncode is not None
    return Ended(child.returncode, stdout.decode(), stderr.decode())


def without_ours() -> dict[str, str]:
    """The environment, but for what would set up Tailrace."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
