"""`tailrace keys` and `tailrace audit`: a rotation that is killed, a key that is wrong, a chain that was altered."""

import asyncio
import base64
import os
import signal

import pytest

from tailrace.core.ids import ConnectionId, WorkspaceId, new_connection_id
from tailrace.store.audit import Audit, Deed
from tailrace.store.audit_chain import FIRST_ACTION
from tailrace.store.connections import Connections
from tailrace.store.database import Database
from tailrace.store.secrets import SecretBox
from tailrace.store.workspaces import Workspaces
from tests.cli.commands import COMMAND, tailrace, without_ours
from tests.runtime.processes import SECRET_KEY, environment

CONNECTIONS = 5_000
KILLED_AT = (1, 700, 1_500, 3_000, 4_500)
A_NEW_KEY = base64.b64encode(os.urandom(32)).decode()
_ADD = """
INSERT INTO connections (id, workspace_id, kind, name, connector, settings, secrets)
VALUES ($1, $2, 'source', 'w', 'postgres', '{"password": "***"}', $3)
"""
_ANEW = "SELECT count(*) FROM connections WHERE substring(secrets FROM 2 FOR 4) = $1"


async def _fill(database: Database, workspace_id: WorkspaceId) -> list[ConnectionId]:
    box = SecretBox.from_setting(SECRET_KEY)
    ids = [new_connection_id() for _ in range(CONNECTIONS)]
    rows = [
        (each, workspace_id, box.seal(b'{"/password": "%d"}' % at, bound_to=f"{workspace_id}/{each}"))
        for at, each in enumerate(ids)
    ]
    async with database.connection() as connection:
        await connection.executemany(_ADD, rows, timeout=60)
    return ids


async def _rotate_until(database: Database, setting: dict[str, str], key_id: bytes, wanted: int) -> None:
    """Kill a rotation once so many connections are sealed anew, or it has ended by itself."""
    child = await asyncio.create_subprocess_exec(
        COMMAND, "keys", "rotate", env={**without_ours(), **setting}, stdout=asyncio.subprocess.DEVNULL
    )
    while await database.fetchval(_ANEW, key_id) < wanted and child.returncode is None:  # noqa: ASYNC110 - it polls SQL
        await asyncio.sleep(0.005)
    if child.returncode is None:
        child.send_signal(signal.SIGKILL)
    await child.wait()


@pytest.mark.timeout(180)
async def test_rotation_killed_at_five_points_loses_nothing(database_url: str) -> None:
    ring = environment(database_url, SECRET_KEY=f"{A_NEW_KEY},{SECRET_KEY}")
    both, new = SecretBox.from_setting(f"{A_NEW_KEY},{SECRET_KEY}"), SecretBox.from_setting(A_NEW_KEY)
    async with Database.open(database_url, application_name="test") as database:
        ids = await _fill(database, (await Workspaces(database).create("a")).id)

        for wanted in KILLED_AT:
            await _rotate_until(database, ring, new.sealing_id, wanted)
            for at in (0, CONNECTIONS // 2, CONNECTIONS - 1):
                assert (await Connections(database, both).open_settings(ids[at]))[1] == {"password": str(at)}
        ended = await tailrace("keys", "rotate", environment=ring)

        assert ended.code == 0, ended.stderr
        assert await database.fetchval(_ANEW, new.sealing_id) == CONNECTIONS
        sealed = await database.fetch("SELECT id, workspace_id, secrets FROM connections ORDER BY id")
        opened = {row["id"]: new.open(row["secrets"], bound_to=f"{row['workspace_id']}/{row['id']}") for row in sealed}
        assert opened == {each: b'{"/password": "%d"}' % at for at, each in enumerate(ids)}


async def test_service_with_the_wrong_key_does_not_start(database_url: str) -> None:
    async with Database.open(database_url, application_name="test") as database:
        workspace = await Workspaces(database).create("a")
        sealed = SecretBox.from_setting(A_NEW_KEY).seal(b"{}", bound_to="x")
        await database.execute(_ADD, "conn_a", workspace.id, sealed)

    ended = await tailrace("gateway", environment=environment(database_url, PORT="0", OPS_PORT="0"))

    assert ended.code == 2
    assert "TAILRACE_SECRET_KEY is not the key that the secrets in this database are sealed with" in ended.stderr


async def test_altered_record_is_told_by_its_number(database_url: str) -> None:
    set_up = environment(database_url)
    async with Database.open(database_url, application_name="test") as database:
        workspace = await Workspaces(database).create("a")
        audit = Audit(database, SecretBox.from_setting(SECRET_KEY))
        for name in "abc":
            async with database.transaction() as connection:
                await audit.append(connection, Deed(workspace.id, "token:t", "10.0.0.1", FIRST_ACTION, name))
        before = await tailrace("audit", "verify", environment=set_up)
        await database.execute("ALTER TABLE audit_records DISABLE TRIGGER audit_records_stay")
        await database.execute("DELETE FROM audit_records WHERE number = 2")

    after = await tailrace("audit", "verify", "--json", environment=set_up)

    assert (before.code, before.stdout) == (0, f"{workspace.id}  3 records  whole\n")
    assert after.code == 1
    assert after.json()["chains"] == [{"workspace_id": workspace.id, "records": 1, "fault": "record 2 is gone"}]
