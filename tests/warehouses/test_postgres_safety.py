from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import urlsplit

import asyncpg
import pytest
import pytest_asyncio

from tailrace.core.errors import SourceInvalid, SourceUnavailable
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace.testing.eventually import eventually
from tailrace.testing.warehouse_contract import read, rows
from tailrace.warehouses.postgres import PostgresWarehouse
from tests.warehouses.postgres_rig import PostgresWarehouseRig, settings

WORLD = """
    CREATE TABLE users (id text, name text);
    INSERT INTO users VALUES ('a', 'Ada'), ('b', 'Bob');
    CREATE SEQUENCE counter;
    CREATE FUNCTION sneak() RETURNS text LANGUAGE sql SECURITY DEFINER AS
        $$ INSERT INTO users VALUES ('x', 'sneaked') RETURNING id $$;
    CREATE FUNCTION sneak_later() RETURNS text LANGUAGE plpgsql AS
        $$ BEGIN PERFORM set_config('transaction_read_only', 'off', false); RETURN sneak(); END $$;
    CREATE FUNCTION sneak_by_text(command text) RETURNS text LANGUAGE plpgsql AS
        $$ BEGIN EXECUTE command; RETURN 'done'; END $$;
    CREATE FUNCTION sneak_by_catching() RETURNS text LANGUAGE plpgsql AS
        $$ BEGIN BEGIN PERFORM sneak(); EXCEPTION WHEN OTHERS THEN NULL; END; RETURN 'done'; END $$
"""
STATE = """
    SELECT (SELECT string_agg(u::text, ';' ORDER BY u::text) FROM users u),
           (SELECT last_value::text || is_called FROM counter),
           (SELECT string_agg(relname, ';' ORDER BY relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace),
           (SELECT string_agg(proname, ';' ORDER BY proname) FROM pg_proc WHERE pronamespace = 'public'::regnamespace),
           (SELECT string_agg(rolname || rolsuper, ';' ORDER BY rolname) FROM pg_roles),
           (SELECT count(*) FROM pg_largeobject_metadata),
           (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'),
           (SELECT string_agg(c::text, ';' ORDER BY c::text) FROM pg_db_role_setting c)
"""
HOSTILE = [
    "INSERT INTO users VALUES ('x', 'y')",
    "INSERT INTO users VALUES ('x', 'y') RETURNING id",
    "UPDATE users SET name = 'x' RETURNING id",
    "DELETE FROM users RETURNING id",
    "TRUNCATE users",
    "MERGE INTO users u USING (SELECT 'a' AS id) s ON u.id = s.id WHEN MATCHED THEN DELETE",
    "WITH w AS (DELETE FROM users RETURNING id) SELECT id FROM w",
    "WITH w AS (INSERT INTO users VALUES ('x', 'y') RETURNING id) SELECT id FROM w",
    "SELECT id FROM users) AS t; DELETE FROM users; --",
    "SELECT id FROM users; DELETE FROM users",
    "SELECT id FROM users;; DROP TABLE users",
    "SELECT id FROM users\n) AS t; COMMIT; DELETE FROM users; SELECT * FROM (SELECT 1",
    "SELECT id FROM users /* ; */ ; /* */ DELETE FROM users",
    "SELECT id FROM users -- \r; DELETE FROM users",
    "SELECT 'a\\'; DELETE FROM users; --' AS id",
    "SELECT E'a\\'; DELETE FROM users; --' AS id",
    "SELECT $$a$$; DELETE FROM users; --$$ AS id",
    "SELECT id FROM users WHERE id = 'a' /* unclosed ; DELETE FROM users",
    'SELECT id AS "x"";DELETE FROM users;--" FROM users',
    "COMMIT",
    "COMMIT; DELETE FROM users",
    "ROLLBACK; BEGIN; DELETE FROM users; COMMIT",
    "END",
    "ABORT",
    "START TRANSACTION READ WRITE",
    "SET TRANSACTION READ WRITE",
    "SET default_transaction_read_only = off",
    "SET SESSION AUTHORIZATION postgres",
    "RESET ALL",
    "DISCARD ALL",
    "DO $$ BEGIN DELETE FROM users; END $$",
    "CALL sneak()",
    "PREPARE p AS DELETE FROM users",
    "EXECUTE p",
    "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
    "LOCK TABLE users",
    "COPY users TO '/tmp/never'",
    "COPY users FROM PROGRAM 'touch /tmp/never'",
    "COPY (SELECT 1) TO PROGRAM 'touch /tmp/never'",
    "CREATE TABLE bad AS SELECT 1 AS id",
    "CREATE TEMP TABLE bad AS SELECT 1 AS id",
    "SELECT 1 AS id INTO bad",
    "CREATE FUNCTION bad() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "DROP TABLE users",
    "ALTER TABLE users ADD extra int",
    "GRANT ALL ON users TO public",
    "CREATE ROLE bad SUPERUSER",
    "ALTER ROLE CURRENT_USER SET statement_timeout = 0",
    "NOTIFY bad",
    "LISTEN bad",
    "VACUUM users",
    "EXPLAIN ANALYZE DELETE FROM users",
    "SHOW ALL",
    "SELECT sneak() AS id",
    "SELECT sneak_later() AS id",
    "SELECT sneak_by_catching() AS id",
    "SELECT sneak_by_text('COMMIT') AS id",
    "SELECT sneak_by_text('SET TRANSACTION READ WRITE') AS id",
    "SELECT sneak_by_text('DELETE FROM users') AS id",
    "SELECT set_config('transaction_read_only', 'off', false) || sneak() AS id",
    "SELECT set_config('default_transaction_read_only', 'off', false) AS id",
    "SELECT nextval('counter')::text AS id",
    "SELECT setval('counter', 100)::text AS id",
    "SELECT lo_create(0)::text AS id",
    "SELECT lo_import('/etc/passwd')::text AS id",
    "SELECT lo_from_bytea(0, 'x')::text AS id",
    "SELECT pg_read_file('/etc/passwd') AS id",
    "SELECT pg_ls_dir('/')::text AS id",
    "SELECT pg_notify('bad', 'x')::text AS id",
    "SELECT pg_advisory_xact_lock(1)::text AS id",
    "SELECT pg_try_advisory_lock(2)::text AS id",
    "SELECT pg_sleep(60)::text AS id",
    "SELECT set_config('statement_timeout', '0', true) AS id, pg_sleep(60)::text AS s",
    "SELECT query_to_xml('DELETE FROM users', true, true, '')::text AS id",
    "SELECT id FROM users FOR UPDATE",
]


@pytest.mark.parametrize("query", HOSTILE)
async def test_hostile_query_changes_nothing(rig: PostgresWarehouseRig, query: str) -> None:
    await rig.admin.execute(WORLD)
    before = await rig.admin.fetchrow(STATE)

    async with PostgresWarehouse.open(settings(rig.url, statement_timeout_s=0.5)) as warehouse:
        hostile = PostgresWarehouseRig(warehouse, rig.admin, rig.url)
        with suppress(SourceInvalid, SourceUnavailable):
            await warehouse.columns(query)
        with suppress(SourceInvalid, SourceUnavailable):
            await read(hostile, query, "id")

    await eventually(lambda: rig.admin.fetchrow(STATE), before)


@pytest.mark.parametrize(
    "setting", ["TimeZone', 'Asia/Tokyo", "DateStyle', 'German", "search_path', 'nowhere", "statement_timeout', '1"]
)
async def test_query_cannot_change_the_session_for_the_next_one(rig: PostgresWarehouseRig, setting: str) -> None:
    await read(rig, f"SELECT set_config('{setting}', false) AS id", "id")

    after = await read(rig, "SELECT timestamptz '2026-03-01 12:00+00' AS id", "id")

    assert rows(after) == [("2026-03-01T12:00:00Z",)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def superuser_url() -> AsyncIterator[str]:
    async with EmbeddedPostgres(durable=False) as postgres:
        yield postgres.superuser_dsn()


@pytest.mark.asyncio(loop_scope="module")
async def test_superuser_is_refused(superuser_url: str) -> None:
    async with PostgresWarehouse.open(settings(superuser_url, allow_superuser=False)) as warehouse:
        with pytest.raises(SourceInvalid, match=r"superuser.*postgres.*allow_superuser"):
            await warehouse.check()


@pytest.mark.asyncio(loop_scope="module")
async def test_superuser_is_let_in_where_the_settings_say_so(superuser_url: str) -> None:
    async with PostgresWarehouse.open(settings(superuser_url, allow_superuser=True)) as warehouse:
        await warehouse.check()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("role", ["pg_execute_server_program", "pg_read_server_files", "pg_write_server_files"])
async def test_role_that_could_become_a_dangerous_one_is_refused(superuser_url: str, role: str) -> None:
    admin = await asyncpg.connect(superuser_url, timeout=10, command_timeout=10)
    await admin.execute(f"CREATE ROLE middle_{role}; GRANT {role} TO middle_{role}")
    await admin.execute(f"CREATE ROLE as_{role} LOGIN NOINHERIT PASSWORD 'x'; GRANT middle_{role} TO as_{role}")
    await admin.close(timeout=10)
    place = urlsplit(superuser_url).netloc.rpartition("@")[2]
    url = urlsplit(superuser_url)._replace(netloc=f"as_{role}:x@{place}").geturl()

    async with PostgresWarehouse.open(settings(url, allow_superuser=False)) as warehouse:
        with pytest.raises(SourceInvalid, match=role):
            await warehouse.check()


async def test_role_that_may_only_read_passes(rig: PostgresWarehouseRig) -> None:
    async with PostgresWarehouse.open(settings(rig.url, allow_superuser=False)) as warehouse:
        await warehouse.check()
