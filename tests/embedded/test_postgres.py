import socket

import asyncpg
import pytest

from tailrace.core.errors import Unavailable
from tailrace.embedded.ports import LOOPBACK, free_port
from tailrace.embedded.postgres import EmbeddedPostgres
from tests.embedded.processes import eventually, is_alive


async def ask(dsn: str, question: str) -> object:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close(timeout=10)


async def run(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        await connection.execute(statement)
    finally:
        await connection.close(timeout=10)


async def test_server_answers_at_its_address() -> None:
    async with EmbeddedPostgres(durable=False) as postgres:
        answer = await ask(postgres.dsn("postgres"), "SELECT 'here'")

    assert answer == "here"


async def test_our_role_is_bound_by_row_level_security() -> None:
    async with EmbeddedPostgres(durable=False) as postgres:
        is_free = await ask(
            postgres.dsn("postgres"), "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
        )

    assert is_free is False


async def test_superuser_has_an_address_of_its_own() -> None:
    async with EmbeddedPostgres(durable=False) as postgres:
        is_super = await ask(postgres.superuser_dsn(), "SELECT rolsuper FROM pg_roles WHERE rolname = current_user")

    assert is_super is True


async def test_nobody_enters_without_the_password() -> None:
    async with EmbeddedPostgres(durable=False) as postgres:
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(postgres.dsn("postgres"), password="guessed")


async def test_server_listens_on_loopback_tcp_alone() -> None:
    async with EmbeddedPostgres(durable=False) as postgres:
        listens = await ask(
            postgres.superuser_dsn(),
            "SELECT current_setting('listen_addresses') || '|' || current_setting('unix_socket_directories')",
        )

    assert listens == "127.0.0.1|"


async def test_ensured_database_is_ours_and_may_be_asked_for_again() -> None:
    async with EmbeddedPostgres(durable=False) as postgres:
        await postgres.ensure_database("a-warehouse")
        dsn = await postgres.ensure_database("a-warehouse")
        owner = await ask(dsn, "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()")

    assert owner == "tailrace"


async def test_text_sorts_as_people_sort_it_where_the_programs_can() -> None:
    async with EmbeddedPostgres(durable=False, icu_locale="und") as postgres:
        if not await ask(postgres.dsn("postgres"), "SELECT count(*) FROM pg_collation WHERE collprovider = 'i'"):
            pytest.skip("these programs were built without ICU")
        is_before = await ask(postgres.dsn("postgres"), "SELECT 'a'::text < 'B'::text")

    assert is_before is True


async def test_text_sorts_by_its_bytes_unless_asked_otherwise() -> None:
    async with EmbeddedPostgres(durable=False) as postgres:
        is_before = await ask(postgres.dsn("postgres"), "SELECT 'a'::text < 'B'::text")

    assert is_before is False


async def test_nothing_is_left_after_the_scope() -> None:
    async with EmbeddedPostgres(durable=False) as postgres:
        pid = postgres.pid
        directory = postgres.directory

    assert pid is not None
    assert not is_alive(pid)
    assert not directory.exists()


async def test_stopped_server_starts_again_at_the_same_address() -> None:
    async with EmbeddedPostgres(durable=False) as postgres:
        dsn = await postgres.ensure_database("ours")
        await run(dsn, "CREATE TABLE kept AS SELECT 7 AS n")

        await postgres.stop()
        await postgres.start()

        assert await ask(dsn, "SELECT n FROM kept") == 7


async def test_crash_breaks_connections_and_loses_no_committed_row() -> None:
    async with EmbeddedPostgres(durable=False) as postgres:
        dsn = await postgres.ensure_database("ours")
        connection = await asyncpg.connect(dsn)
        await connection.execute("CREATE TABLE kept AS SELECT 7 AS n")

        await postgres.crash()
        await postgres.start()

        assert await eventually(connection.is_closed)
        assert await ask(dsn, "SELECT n FROM kept") == 7


async def test_port_is_the_one_that_was_asked_for() -> None:
    port = free_port()

    async with EmbeddedPostgres(durable=False, port=port) as postgres:
        listens = await ask(postgres.dsn("postgres"), "SELECT inet_server_port()")

    assert listens == port


async def test_taken_port_is_told_with_the_words_of_the_server() -> None:
    port = free_port()

    with socket.create_server((LOOPBACK, port)), pytest.raises(Unavailable, match="Address already in use"):
        await EmbeddedPostgres(durable=False, port=port).__aenter__()


async def test_server_that_ends_by_itself_while_starting_is_told_at_once() -> None:
    async with EmbeddedPostgres(durable=False) as postgres:
        await postgres.stop()
        (postgres.directory / "cluster" / "PG_VERSION").write_text("9\n")

        with pytest.raises(Unavailable, match="incompatible"):
            await postgres.start()
