"""A new connector's files are as `make check` wants them."""

import asyncio
import sys
from datetime import date
from pathlib import Path

import pytest

from tailrace.connector_kit.manifest.scaffold import built_in
from tests.architecture.source import ROOT

RUFF = str(Path(sys.executable).with_name("ruff"))


@pytest.mark.parametrize("name", ["my_crm", "a", "zuora"])
async def test_files_are_as_the_linter_wants_them(name: str) -> None:
    files = built_in(name, today=date(2026, 11, 22))

    told = {path: await judged(path, text) for path, text in files.items()}

    assert told == dict.fromkeys(files, "All checks passed!")


async def judged(path: str, text: str) -> str:
    """What the linter says of a file with this text."""
    child = await asyncio.create_subprocess_exec(
        *(RUFF, "check", "--no-cache", "--output-format=concise", "--stdin-filename", path, "-"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        stdout, _ = await child.communicate(text.encode())
    return stdout.decode().strip()
