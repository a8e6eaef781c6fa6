"""A PostgreSQL that follows another and can take its place."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from tailrace.embedded.accounts import server_account
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace.embedded.postgres_binaries import find_binaries

_COPY_S = 60.0
_SQL_S = 30.0
_LOOK_S = 0.05
_FOLLOWS = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"


@dataclass(frozen=True, slots=True)
class Pair:
    """A primary and its standby. Both keep their ports, whoever serves."""

    primary: EmbeddedPostgres
    standby: EmbeddedPostgres

    def dsn(self, database: str) -> str:
        """The address of both: a client takes the one that writes."""
        first, second = urlsplit(self.primary.dsn(database)), urlsplit(self.standby.dsn(database))
        return first._replace(netloc=f"{first.netloc},{second.netloc.rpartition('@')[2]}").geturl()

    async def confirm(self) -> None:
        """From now on a commit is done once the standby has it."""
        await _tell(self.primary, "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (*)'")
        await _tell(self.primary, "SELECT pg_reload_conf()")

    async def part(self) -> None:
        """The standby hears no more of the primary."""
        await _tell(self.standby, "ALTER SYSTEM SET primary_conninfo = ''")
        await _tell(self.standby, "SELECT pg_reload_conf()")
        await _until(self.primary, _FOLLOWS, 0)

    async def demote(self) -> None:
        """The primary takes reads alone, on connections that are open too."""
        await _tell(self.primary, "ALTER SYSTEM SET default_transaction_read_only = on")
        await _tell(self.primary, "SELECT pg_reload_conf()")

    async def promote(self) -> None:
        """The standby serves in the place of the primary."""
        await _tell(self.standby, "SELECT pg_promote()")


@asynccontextmanager
async def open_pair(primary: EmbeddedPostgres) -> AsyncIterator[Pair]:
    """The primary with a standby that streams from it."""
    folder = Path(tempfile.mkdtemp(prefix="tailrace-standby-"))
    try:
        await _copy(primary, folder / "postgres")
        folder.chmod(0o755)
        async with EmbeddedPostgres(folder / "postgres") as standby:
            await _until(primary, _FOLLOWS, 1)
            yield Pair(primary, standby)
    finally:
        shutil.rmtree(folder)


async def _copy(primary: EmbeddedPostgres, folder: Path) -> None:
    program = find_binaries().folder / "pg_basebackup"
    folder.mkdir()
    copying = await asyncio.create_subprocess_exec(
        *(program, "--dbname", primary.superuser_dsn(), "--pgdata", folder / "cluster"),
        *("--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--wal-method=stream"),
    )
    async with asyncio.timeout(_COPY_S):
        assert await copying.wait() == 0
    shutil.copy(primary.directory / "password", folder / "password")
    account = server_account()
    for path in (folder, *folder.rglob("*")):
        os.chown(path, account.user_id, account.group_id)


async def _tell(postgres: EmbeddedPostgres, statement: str) -> object:
    connection = await asyncpg.connect(postgres.superuser_dsn(), timeout=_SQL_S, command_timeout=_SQL_S)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close(timeout=_SQL_S)


async def _until(postgres: EmbeddedPostgres, question: str, answer: object) -> None:
    async with asyncio.timeout(_SQL_S):
        while await _tell(postgres, question) != answer:  # noqa: ASYNC110 - another process answers
            await asyncio.sleep(_LOOK_S)
