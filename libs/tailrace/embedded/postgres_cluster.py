"""The files of one PostgreSQL cluster, and the commands that make and serve it."""

import os
import re
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tailrace.core.errors import Conflict, Invalid
from tailrace.embedded.guarded_server import Step
from tailrace.embedded.ports import LOOPBACK
from tailrace.embedded.postgres_binaries import PostgresBinaries

SUPERUSER = "postgres"
_STATUS_LINE = 7
_ANSWERING = {"ready", "standby"}
_PS_S = 5.0
_MAX_CONNECTIONS = 200
_OLDEST_MAJOR_WITH_ICU = 15
# synchronous_commit stays on: a crash of the server alone loses nothing even so.
_THROWAWAY = ("fsync=off", "full_page_writes=off", "wal_level=minimal", "max_wal_senders=0")


@dataclass(frozen=True, slots=True)
class Cluster:
    """A directory with a cluster, its password and its log; all of it is ours."""

    directory: Path
    is_durable: bool = True
    icu_locale: str | None = None

    @property
    def data(self) -> Path:
        """PostgreSQL's own data directory; it exists once the cluster is complete."""
        return self.directory / "cluster"

    @property
    def password_file(self) -> Path:
        """The password of the superuser and of our role."""
        return self.directory / "password"

    def major(self) -> int | None:
        """The major version that made the cluster; None where there is none yet."""
        version = self.data / "PG_VERSION"
        return int(version.read_text()) if version.exists() else None

    def password(self) -> str:
        """The cluster's password, or a fresh one where there is no cluster yet.

        :raises Invalid: the cluster is there without its password.
        """
        if not self.data.exists():
            return secrets.token_urlsafe(24)
        try:
            return self.password_file.read_text()
        except OSError as error:
            raise Invalid(
                f"{self.password_file} is missing or unreadable: put it back, or name another directory"
            ) from error

    def check_directory(self) -> None:
        """Refuse a directory that holds something else.

        :raises Invalid: it does.
        """
        holds = {entry.name for entry in self.directory.iterdir()} if self.directory.exists() else set()
        ours = {
            "cluster",
            "cluster.new",
            "password",
            "guard.lock",
            "programs",
            "server.log",
            "server.log.previous",
        }
        if foreign := sorted(holds - ours):
            raise Invalid(f"{self.directory} holds other files ({foreign[0]}): name an empty directory")

    def clear_stale_pid(self) -> None:
        """Remove what a server that died without a word left, so that its number may belong to anyone now.

        :raises Conflict: a server that no guard of ours keeps is running on these files.
        """
        pid_file = self.data / "postmaster.pid"
        with suppress(FileNotFoundError, IndexError, ValueError):
            pid = int(pid_file.read_text().splitlines()[0])
            if _is_postgres(pid):
                raise Conflict(
                    f"process {pid} still serves {self.data}: stop it (kill -INT {pid}), or name another",
                    code="DIRECTORY_IN_USE",
                )
            pid_file.unlink()

    def is_ready(self, pid: int) -> bool:
        """Whether the server of this process id accepts connections, if only to read, as it writes itself."""
        with suppress(OSError, IndexError, ValueError):
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            return int(lines[0]) == pid and lines[_STATUS_LINE].strip() in _ANSWERING
        return False

    def steps_to_make(self, binaries: PostgresBinaries, password: str) -> Iterator[Step]:
        """Make the cluster where it is missing; a crash in the middle leaves nothing that counts as one."""
        if self.data.exists():
            return
        fresh = self.directory / "cluster.new"
        yield {"remove": str(fresh)}
        yield {"write": [str(self.password_file), password]}
        yield {"run": [str(binaries.initdb), "-D", str(fresh), *self._initdb_options(binaries)]}
        yield {"rename": [str(fresh), str(self.data)]}

    def step_to_serve(self, binaries: PostgresBinaries, port: int) -> Step:
        """Serve on loopback TCP alone: a socket file would outlive a killed server."""
        settings = [
            f"listen_addresses={LOOPBACK}",
            f"port={port}",
            "unix_socket_directories=",
            f"max_connections={_MAX_CONNECTIONS}",
            "timezone=UTC",
            "log_timezone=UTC",
            *(() if self.is_durable else _THROWAWAY),
        ]
        options = [option for setting in settings for option in ("-c", setting)]
        return {"serve": [str(binaries.postgres), "-D", str(self.data), *options]}

    def _initdb_options(self, binaries: PostgresBinaries) -> list[str]:
        options = [
            f"--username={SUPERUSER}",
            f"--pwfile={self.password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-instructions",
        ]
        if self.icu_locale and binaries.has_icu and binaries.major >= _OLDEST_MAJOR_WITH_ICU:
            options += ["--locale-provider=icu", f"--icu-locale={self.icu_locale}"]
        return options if self.is_durable else [*options, "--no-sync"]


def _is_postgres(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return bool(re.match(r"(\S*/)?(postgres|postmaster)(\s|$)", _command_line(pid)))


def _command_line(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")
    with suppress(OSError, subprocess.TimeoutExpired):
        listed = subprocess.run(  # noqa: S603  # a fixed command
            ["ps", "-o", "command=", "-p", str(pid)],  # noqa: S607  # where there is no /proc
            capture_output=True,
            text=True,
            timeout=_PS_S,
            check=False,
        )
        return listed.stdout
    return "postgres"
