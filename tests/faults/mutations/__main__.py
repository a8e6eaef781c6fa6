"""`make mutations`: each mechanism switched off in a copy of the tree, and whether its tests notice.

The tests that are named have to pass as they are first, two at a time. What a test that noticed had to say is printed,
so that one can see whether it noticed the right thing. `ARGS="--only WORD"` takes the mutations whose name holds the
word. Exit code 1 if a mutation survives or no longer applies.
"""

import asyncio
import os
import shutil
import sys
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tailrace.embedded.postgres import EmbeddedPostgres
from tests.architecture.source import ROOT, files
from tests.faults.mutations.catalogue import MUTATIONS
from tests.faults.mutations.mutation import STORIES, Mutation, Outdated
from tests.simulation.test_simulation import PARTS

_AT_ONCE = 2
_ENDS_WITHIN_S = 600.0
_ALL_END_WITHIN_S = 1800.0
_TAIL_LINES = 12
_REASON_LENGTH = 240
_NOTICED = "FAILED "  # so begins the line of a test that failed, where that of one that could not begin says ERROR


class Fate(StrEnum):
    """What became of a mutation."""

    FOUND = "found"
    SURVIVED = "SURVIVED"
    UNUSABLE = "UNUSABLE"  # the tests could not be run, which proves nothing


@dataclass(frozen=True, slots=True)
class Trial:
    """A mutation, its fate, and what was said: by the test that noticed, or at the end where none did."""

    mutation: Mutation
    fate: Fate
    told: str
    took_s: float


def main() -> None:
    """Try them all."""
    arguments = ArgumentParser(prog="make mutations ARGS=...")
    arguments.add_argument("--only", default="", help="those whose name holds this")
    only = arguments.parse_args().only
    wanted = [mutation for mutation in MUTATIONS if only in mutation.name]
    if not wanted:
        arguments.error(f"no mutation's name holds {only!r}")
    sys.exit(asyncio.run(_try_all(wanted)))


async def _try_all(wanted: Sequence[Mutation]) -> int:
    with TemporaryDirectory(prefix="tailrace-mutations-") as folder:
        async with EmbeddedPostgres(durable=False, icu_locale="und") as postgres:
            bench = _Bench(Path(folder), postgres.dsn("postgres"))
            if not await bench.passes_as_it_is(wanted):
                return 1
            async with asyncio.TaskGroup() as tasks:
                trials = [tasks.create_task(bench.attempt(mutation)) for mutation in wanted]
    found = [trial for trial in (task.result() for task in trials) if trial.fate is Fate.FOUND]
    sys.stdout.write(f"{len(found)} of {len(wanted)} found\n")
    return 0 if len(found) == len(wanted) else 1


class _Bench:
    """Copies of the tree, some at a time, over one PostgreSQL."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self._folder = folder
        self._database_url = database_url
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def passes_as_it_is(self, wanted: Sequence[Mutation]) -> bool:
        """Whether all tests pass with nothing switched off; otherwise they would prove nothing."""
        tests = sorted({test for mutation in wanted for test in mutation.tests})
        side_by_side = (f"--numprocesses={_AT_ONCE}", "--dist=loadgroup")
        code, said = await self._run(ROOT, [*side_by_side, *tests], within_s=_ALL_END_WITHIN_S)
        if code != pytest.ExitCode.OK:
            sys.stdout.write(f"the tests do not pass as they are:\n{_tail(said)}\n")
        return code == pytest.ExitCode.OK

    async def attempt(self, mutation: Mutation) -> Trial:
        """Switch it off and look whether its tests notice."""
        async with self._places:
            began = time.monotonic()
            try:
                code, said = await self._run_mutated(mutation)
            except Outdated as outdated:
                code, said = None, str(outdated)
            noticed = _noticed(said)
            trial = Trial(mutation, _fate(code, noticed), noticed or _tail(said), time.monotonic() - began)
        sys.stdout.write(f"{trial.fate:9} {trial.took_s:6.1f} s  {mutation.name}\n    {trial.told}\n")
        sys.stdout.flush()
        return trial

    async def _run_mutated(self, mutation: Mutation) -> tuple[int | None, str]:
        mutated = mutation.mutated(ROOT)
        with TemporaryDirectory(dir=self._folder) as copy:
            root = Path(copy)
            await asyncio.to_thread(_copy, root)
            (root / mutation.path).write_text(mutated)
            return await self._run(root, mutation.tests, within_s=_ENDS_WITHIN_S)

    async def _run(self, root: Path, arguments: Sequence[str], *, within_s: float) -> tuple[int | None, str]:
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(str(root / name) for name in ("libs", "services", ".")),
            "TAILRACE_TEST_DATABASE_URL": self._database_url,
            "TAILRACE_TEST_SEEDS": str(STORIES * PARTS),
            "COLUMNS": "300",
        }
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *arguments),
            cwd=root,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(within_s):
                said, _ = await child.communicate()
        except TimeoutError:
            return None, f"the tests did not end within {within_s:g} s"
        finally:
            with suppress(ProcessLookupError):
                child.kill()
        return child.returncode, said.decode(errors="replace")


def _copy(root: Path) -> None:
    compiled = [path.relative_to(ROOT) for path in (ROOT / "libs").rglob("*.so")]
    for path in [*map(Path, files()), *compiled]:
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, target)


def _fate(code: int | None, noticed: str) -> Fate:
    match code:
        case pytest.ExitCode.TESTS_FAILED if noticed:
            return Fate.FOUND
        case pytest.ExitCode.OK:
            return Fate.SURVIVED
        case _:
            return Fate.UNUSABLE


def _noticed(said: str) -> str:
    """What the first test that failed had to say."""
    lines = (line.removeprefix(_NOTICED) for line in said.splitlines() if line.startswith(_NOTICED))
    return next(lines, "")[:_REASON_LENGTH]


def _tail(said: str) -> str:
    return "\n".join(said.splitlines()[-_TAIL_LINES:])


if __name__ == "__main__":
    main()
