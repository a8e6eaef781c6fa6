"""Jars that Maven resolves from a pom of this repository, fetched once into a cache of the checkout."""

import asyncio
import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tailrace.core.errors import Unavailable
from tailrace.testing.file_locks import locked

REPOSITORY = Path(__file__).resolve().parents[3]
_MAVEN_S = 600.0


@dataclass(frozen=True, slots=True)
class Jars:
    """What a pom names, and the cache that it goes to."""

    what: str
    size_mb: int
    pom: Path
    cache: Path

    @property
    def folder(self) -> Path:
        """Where the jars are once they are complete; another pom has another folder."""
        return self.cache / f"jars-{hashlib.sha256(self.pom.read_bytes()).hexdigest()[:12]}"

    def why_not(self) -> str | None:
        """What is missing to have them; None where they are there or can be fetched."""
        if not self.pom.exists():
            return f"{self.what} is started from a checkout of the repository: use one"
        if not self.folder.exists() and shutil.which("mvn") is None:
            return f"no mvn here to get {self.what} with: install Maven"
        return None

    async def fetched(self) -> Path:
        """The folder of jars; one process fetches them and the others wait.

        :raises Unavailable: Maven cannot get them, or they fail their checksums.
        """
        if not self.folder.exists():
            async with locked(self.cache / "fetch.lock", wait_s=_MAVEN_S):
                await asyncio.to_thread(self._fetch)
        return self.folder

    def _fetch(self) -> None:
        """Has Maven copy the jars beside their place and moves them there once they are complete."""
        if self.folder.exists():
            return
        sys.stderr.write(f"Fetching {self.what} ({self.size_mb} MB) into {self.folder}, once\n")
        fresh = self.folder.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={fresh}"]
        try:
            done = subprocess.run(  # noqa: S603  # our own pom
                ["mvn", "--batch-mode", "--quiet", "--strict-checksums", f"--file={self.pom}", *goal],  # noqa: S607  # from PATH
                capture_output=True,
                text=True,
                timeout=_MAVEN_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"Maven did not get {self.what} within {_MAVEN_S:g} s") from error
        if done.returncode != 0:
            raise Unavailable(f"Maven cannot get {self.what}: {_first_error(done.stdout)}")
        fresh.rename(self.folder)


def _first_error(output: str) -> str:
    errors = [line.removeprefix("[ERROR]").strip() for line in output.splitlines() if line.startswith("[ERROR]")]
    return errors[0] if errors else output.strip()[-500:]
