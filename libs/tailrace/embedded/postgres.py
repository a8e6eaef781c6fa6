"""PostgreSQL in the box: a real server of our own on loopback, for one process and gone with it."""

import asyncio
import pwd
import secrets
import tempfile
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Self

import asyncpg

from tailrace.core.errors import Invalid, Unavailable
from tailrace.embedded.accounts import Account, server_account
from tailrace.embedded.guarded_server import Charge, GuardedServer, Step
from tailrace.embedded.ports import LOOPBACK, free_port, is_free
from tailrace.embedded.postgres_binaries import PostgresBinaries, find_binaries
from tailrace.embedded.postgres_cluster import SUPERUSER, Cluster

ROLE = "tailrace"
_READY_S = 30.0
_SQL_S = 10.0
_PORT_ATTEMPTS = 3
# Fast shutdown, then immediate, then none.
_LADDER = (("SIGINT", 20.0), ("SIGQUIT", 6.0), ("SIGKILL", 5.0))
_TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108  # parents of a directory that only its user may enter
_ENVIRONMENT = MappingProxyType({"LC_ALL": "C"})
_FIND_ROLE = "SELECT 1 FROM pg_roles WHERE rolname = $1"
_SPELL_CREATE_ROLE = "SELECT format('CREATE ROLE %I LOGIN CREATEDB PASSWORD %L', $1::text, $2::text)"
_FIND_DATABASE = "SELECT 1 FROM pg_database WHERE datname = $1"
_SPELL_CREATE_DATABASE = "SELECT format('CREATE DATABASE %I', $1::text)"


class EmbeddedPostgres:
    """A server for the scope of `async with`, on a free loopback port with a random password.

    Without `data_dir` its files are temporary. With one they stay: the next scope on that directory serves
    them again. However this process ends, also by SIGKILL, the server stops, and temporary files go with it.
    `durable=False` is for data that may be lost with the machine; a crash of the server alone loses nothing.
    `icu_locale` sorts text as people do, where the programs can: a query that relies on byte order shows.
    As root the server runs as the owner of its files, or `nobody`.
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        *,
        durable: bool = True,
        icu_locale: str | None = None,
        port: int | None = None,
        binaries: PostgresBinaries | None = None,
    ) -> None:
        self._data_dir = data_dir
        self._durable = durable
        self._icu_locale = icu_locale
        self._port = port
        self._given_binaries = binaries
        self._stack = AsyncExitStack()
        self._steps_to_bring: list[Step] = []
        self._cluster: Cluster
        self._binaries: PostgresBinaries
        self._server: GuardedServer
        self._password: str

    async def __aenter__(self) -> Self:
        """Make the cluster where it is missing, start the server, and wait until it answers.

        :raises Invalid: there are no programs, or the directory cannot be used; the message says what to do.
        :raises Conflict: another process uses the directory.
        :raises Unavailable: the server did not start; the message holds the end of its log.
        """
        async with AsyncExitStack() as stack:
            await self._open(stack)
            await self.start()
            await self._ensure_role()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def dsn(self, database: str) -> str:
        """A database's address for our role: owner of what it makes, but no superuser, as in production."""
        return self._dsn_for(ROLE, database)

    def superuser_dsn(self, database: str = SUPERUSER) -> str:
        """Address of a database for the superuser, whom row level security does not bind."""
        return self._dsn_for(SUPERUSER, database)

    @property
    def pid(self) -> int | None:
        """Process id of the server; None where it is stopped."""
        return self._server.pid

    @property
    def directory(self) -> Path:
        """Where the files are."""
        return self._cluster.directory

    async def start(self) -> None:
        """Start the server again after `stop` or `crash`, on the same files and the same port."""
        for attempts_left in reversed(range(_PORT_ATTEMPTS)):
            port = self._port or free_port()
            steps = [
                *self._steps_to_bring,
                *self._cluster.steps_to_make(self._binaries, self._password),
                self._cluster.step_to_serve(self._binaries, port),
            ]
            try:
                await self._server.start(steps, self._is_ready, _READY_S)
            except Unavailable:
                # Somebody else took the port between the choice and the start.
                if self._port or not attempts_left or is_free(port):
                    raise
            else:
                self._port, self._steps_to_bring = port, []
                return

    async def stop(self) -> None:
        """Shut the server down in order; its files stay."""
        await self._server.stop()

    async def crash(self) -> None:
        """End the server at once: its connections break, and the next start has to recover."""
        await self._server.kill("SIGQUIT")

    async def ensure_database(self, name: str) -> str:
        """Make the database where it is missing, owned by our role; gives its address."""
        connection = await asyncpg.connect(self.dsn(SUPERUSER), timeout=_SQL_S, command_timeout=_SQL_S)
        try:
            if not await connection.fetchval(_FIND_DATABASE, name):
                with suppress(asyncpg.DuplicateDatabaseError):
                    await connection.execute(await connection.fetchval(_SPELL_CREATE_DATABASE, name))
        finally:
            await connection.close(timeout=_SQL_S)
        return self.dsn(name)

    async def _open(self, stack: AsyncExitStack) -> None:
        given = self._data_dir and self._data_dir.absolute()
        account = server_account(given and Cluster(given).data)
        self._cluster = Cluster(
            given or _fresh_directory(account), is_durable=self._durable, icu_locale=self._icu_locale
        )
        self._cluster.check_directory()
        _check_reach(account, self._cluster.directory)
        found = self._given_binaries
        if found is None:
            found = await asyncio.to_thread(find_binaries, major=self._cluster.major())
        charge = self._charge(account)
        self._server = await stack.enter_async_context(GuardedServer.open(charge))
        self._cluster.clear_stale_pid()
        self._password = self._cluster.password()
        self._binaries, self._steps_to_bring = _within_reach(found, account, self._cluster.directory)

    def _charge(self, account: Account) -> Charge:
        return Charge(
            name="PostgreSQL",
            directory=self._cluster.directory,
            ladder=_LADDER,
            orphan_signal="SIGQUIT",
            remove_at_end=() if self._data_dir else (self._cluster.directory,),
            user=None if account.is_ours else (account.user_id, account.group_id),
            environment=_ENVIRONMENT,
        )

    async def _is_ready(self, pid: int) -> bool:
        return self._cluster.is_ready(pid)

    async def _ensure_role(self) -> None:
        connection = await asyncpg.connect(self.superuser_dsn(), timeout=_SQL_S, command_timeout=_SQL_S)
        try:
            if not await connection.fetchval(_FIND_ROLE, ROLE):
                await connection.execute(await connection.fetchval(_SPELL_CREATE_ROLE, ROLE, self._password))
        finally:
            await connection.close(timeout=_SQL_S)

    def _dsn_for(self, role: str, database: str) -> str:
        return f"postgresql://{role}:{self._password}@{LOOPBACK}:{self._port}/{database}?sslmode=disable"


def _fresh_directory(account: Account) -> Path:
    """A name only: the guard makes the directory, so that nothing is left where we die before it starts."""
    for parent in (tempfile.gettempdir(), *_TEMPORARY):
        if account.may_reach(Path(parent)):
            return Path(parent) / f"tailrace-postgres-{secrets.token_hex(8)}"
    raise Invalid("no temporary directory can be reached by the user that PostgreSQL runs as: set TMPDIR to one")


def _check_reach(account: Account, directory: Path) -> None:
    if not account.may_reach(directory.parent):
        name = pwd.getpwuid(account.user_id).pw_name
        raise Invalid(
            f"PostgreSQL refuses root, and the user '{name}' cannot reach {directory}: name a directory whose "
            "parents let every user through, such as one under /var/lib, or run as an ordinary user"
        )


def _within_reach(found: PostgresBinaries, account: Account, directory: Path) -> tuple[PostgresBinaries, list[Step]]:
    """The programs, or a copy of them beside the data where the account cannot enter their folder."""
    if account.may_reach(found.postgres):
        return found, []
    programs = directory / "programs"
    steps: list[Step] = [{"remove": str(programs)}]
    steps += [{"copy": [str(part), str(programs / part.name)]} for part in found.bundle]
    moved = programs / found.folder.relative_to(found.bundle[0].parent)
    return replace(found, folder=moved), steps
