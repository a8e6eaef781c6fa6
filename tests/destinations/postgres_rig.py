"""PostgreSQL for the contract of destinations."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from urllib.parse import urlsplit

import asyncpg

from tailrace.connector_kit.destination import Destination
from tailrace.connector_kit.registry import validate_settings
from tailrace.destinations.postgres import PostgresDestination, PostgresDestinationSettings
from tailrace.testing.destination_contract import DestinationRig, Person
from tailrace.testing.fake_http import FakeHttp

SECRET = "s3cr3t-canary-2093"
PEOPLE = "CREATE TABLE people (id text PRIMARY KEY, name text, score numeric)"

_OURS = "FROM pg_stat_activity WHERE application_name = 'tailrace' AND datname = current_database()"


class PostgresRig(DestinationRig):
    object_name = "public.people"
    secret = SECRET

    def __init__(self, destination: Destination, admin: "asyncpg.Connection[asyncpg.Record]", url: str) -> None:
        self.destination = destination
        self.admin = admin
        self.url = url

    async def people(self) -> Mapping[str, Person]:
        records = await self.admin.fetch("SELECT id, name, score::text AS score FROM people")
        return {record["id"]: dict(record) for record in records}

    async def refuse(self, name: str) -> None:
        await self.admin.execute(f"ALTER TABLE people ADD CHECK (name <> '{name}')")

    @asynccontextmanager
    async def stalled(self) -> AsyncIterator[None]:
        blocker = await asyncpg.connect(self.url, timeout=10, command_timeout=10)
        await blocker.execute("BEGIN; LOCK TABLE people")
        try:
            yield
        finally:
            await blocker.close(timeout=10)

    async def writes_open(self) -> int:
        return int(await self.admin.fetchval(f"SELECT count(*) {_OURS} AND wait_event_type = 'Lock'"))

    async def connections_open(self) -> int:
        return int(await self.admin.fetchval(f"SELECT count(*) {_OURS}"))

    def another(self) -> AbstractAsyncContextManager[Destination]:
        return PostgresDestination.open(settings(self.url), FakeHttp())

    async def break_off(self) -> None:
        await self.admin.fetch(f"SELECT pg_terminate_backend(pid) {_OURS} AND wait_event_type = 'Lock'")

    def unreachable(self) -> AbstractAsyncContextManager[Destination]:
        url = urlsplit(self.url)._replace(netloc=f"u:{SECRET}@127.0.0.1:1").geturl()
        return PostgresDestination.open(settings(url), FakeHttp())

    def unauthorized(self) -> AbstractAsyncContextManager[Destination]:
        parts = urlsplit(self.url)
        url = parts._replace(netloc=f"nobody:{SECRET}@{parts.netloc.rpartition('@')[2]}").geturl()
        return PostgresDestination.open(settings(url), FakeHttp())


def settings(url: str, **options: object) -> PostgresDestinationSettings:
    return validate_settings(PostgresDestinationSettings, {"url": url, **options})


@asynccontextmanager
async def opened_rig(url: str) -> AsyncIterator[PostgresRig]:
    """The destination over an empty database, with a table of people."""
    admin = await asyncpg.connect(url, timeout=10, command_timeout=10)
    await admin.execute(PEOPLE)
    async with PostgresDestination.open(settings(url), FakeHttp()) as destination:
        yield PostgresRig(destination, admin, url)
    await admin.close(timeout=10)
