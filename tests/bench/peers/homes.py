"""Environments of their own for the peers, from locks beside this file; never the one that runs us."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tailrace.core.errors import Invalid, Unavailable
from tests.bench.ground import data_dir

FOLDER = Path(__file__).parent

_INSTALL_S = 900
_END = 2000
_SILENT = {"DO_NOT_TRACK": "1", "RUNTIME__DLTHUB_TELEMETRY": "false"}


def python_of(peer: str) -> Path:
    """The interpreter of its environment, which is made where it is missing and kept beside the table.

    :raises Invalid: there is no such peer.
    :raises Unavailable: it cannot be installed; the message says what to do.
    """
    lock = FOLDER / f"{peer}.lock"
    if not lock.exists():
        raise Invalid(f"there is no peer {peer!r}; there are {', '.join(sorted(versions()))}")
    home = _home(peer, lock)
    python, whole = home / "bin/python", home / "installed"
    if not whole.exists():
        _uv("venv", "--clear", "--python", sys.executable, str(home), peer=peer)
        _uv("pip", "install", "--python", str(python), "--require-hashes", "-r", str(lock), peer=peer)
        whole.touch()
    return python


def environment_of(folder: str) -> Mapping[str, str]:
    """What keeps a peer to a folder of its own, and quiet."""
    return {**_SILENT, "HOME": folder}


def versions() -> Mapping[str, str]:
    """Each peer, as its requirements name it."""
    return {wanted.stem: wanted.read_text().splitlines()[0] for wanted in sorted(FOLDER.glob("*.in"))}


def _home(peer: str, lock: Path) -> Path:
    """Another one for another lock or another Python."""
    made_of = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()
    kept = data_dir()
    return kept.with_name(f"{kept.name}-peers") / f"{peer}-{made_of[:12]}"


def _uv(*arguments: str, peer: str) -> None:
    uv = Path(sys.executable).with_name("uv")
    try:
        done = subprocess.run(
            [uv, "--quiet", *arguments], capture_output=True, timeout=_INSTALL_S, check=False, env=os.environ
        )
    except OSError as error:
        raise Unavailable(f"{peer} is missing, and so is {uv} to install it: run `make install`") from error
    if done.returncode:
        said = done.stderr.decode()[-_END:].strip()
        raise Unavailable(
            f"{peer} is missing and cannot be installed from tests/bench/peers/{peer}.lock: it takes a package index, "
            f"or a folder of wheels named by UV_FIND_LINKS with UV_NO_INDEX=1.\n{said}"
        )
