"""The audit chain: what is recorded stays, and what was altered behind our back is found."""

import asyncio

import asyncpg
import pytest
import pytest_asyncio

from tailrace.core.ids import WorkspaceId
from tailrace.store.audit import Audit, Deed, Verdict
from tailrace.store.database import Database
from tailrace.store.secrets import SecretBox
from tailrace.store.workspaces import Workspaces

KEY, FORMER = bytes(32), bytes([1] * 32)
_UNGUARDED = "ALTER TABLE audit_records DISABLE TRIGGER audit_records_stay"


@pytest.fixture
def audit(database: Database) -> Audit:
    return Audit(database, SecretBox([KEY]))


@pytest_asyncio.fixture
async def workspace_id(database: Database) -> WorkspaceId:
    return (await Workspaces(database).create("a")).id


async def record(database: Database, audit: Audit, workspace_id: WorkspaceId, *names: str) -> None:
    for name in names:
        deed = Deed(workspace_id, "token:t", "10.0.0.1", "updateSync", name, {"n": 1.0, "é": 1e300}, {"n": "\u2028"})
        async with database.transaction() as connection:
            await audit.append(connection, deed)


async def verdicts(audit: Audit) -> list[Verdict]:
    return [verdict async for verdict in audit.verify()]


async def test_records_are_listed_newest_first(database: Database, audit: Audit, workspace_id: WorkspaceId) -> None:
    await record(database, audit, workspace_id, "a", "b", "c")

    listed = await audit.list(workspace_id, limit=2)
    rest = await audit.list(workspace_id, before=listed[-1].number)

    assert [(each.number, each.deed.object_id) for each in [*listed, *rest]] == [(3, "c"), (2, "b"), (1, "a")]
    assert listed[0].deed == Deed(
        workspace_id, "token:t", "10.0.0.1", "updateSync", "c", {"n": 1.0, "é": 1e300}, {"n": "\u2028"}
    )


async def test_whole_chains_are_found_whole(database: Database, audit: Audit, workspace_id: WorkspaceId) -> None:
    other = (await Workspaces(database).create("b")).id
    await record(database, audit, workspace_id, *map(str, range(7)))
    await record(database, audit, other, "x")

    assert {each.workspace_id: (each.records, each.fault) for each in await verdicts(audit)} == {
        workspace_id: (7, None),
        other: (1, None),
    }


async def test_records_made_at_once_stand_in_one_chain(
    database: Database, audit: Audit, workspace_id: WorkspaceId
) -> None:
    async with asyncio.TaskGroup() as tasks:
        for at in range(20):
            tasks.create_task(record(database, audit, workspace_id, str(at)))

    assert await verdicts(audit) == [Verdict(workspace_id, 20, None)]


async def test_nothing_is_recorded_of_what_was_rolled_back(
    database: Database, audit: Audit, workspace_id: WorkspaceId
) -> None:
    async with database.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await audit.append(connection, Deed(workspace_id, "a", "b", "c", "d"))
        await transaction.rollback()

    assert await audit.list(workspace_id) == []


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit_records SET actor = 'x'", "DELETE FROM audit_records", "TRUNCATE audit_records"],
)
async def test_records_cannot_be_changed(
    database: Database, audit: Audit, workspace_id: WorkspaceId, statement: str
) -> None:
    await record(database, audit, workspace_id, "a")

    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="never changed"):
        await database.execute(statement)


@pytest.mark.parametrize(
    ("forgery", "fault"),
    [
        ("UPDATE audit_records SET actor = 'token:x' WHERE number = 2", "record 2 was changed"),
        ("UPDATE audit_records SET after = '{}' WHERE number = 3", "record 3 was changed"),
        ("UPDATE audit_records SET at = at + interval '1 us' WHERE number = 1", "record 1 was changed"),
        ("DELETE FROM audit_records WHERE number = 2", "record 2 is gone"),
        ("DELETE FROM audit_records WHERE number = 3", "record 3 is gone"),
        ("DELETE FROM audit_records", "record 1 is gone"),
        ("DELETE FROM audit_heads", "the seal of the chain is gone"),
        (
            """
            WITH cut AS (DELETE FROM audit_records WHERE number = 3)
            UPDATE audit_heads SET number = 2, digest = (SELECT digest FROM audit_records WHERE number = 2)
            """,
            "the chain does not end where it was sealed",
        ),
        (
            """
            INSERT INTO audit_records
            SELECT workspace_id, 4, at, actor, address, action, object_id, before, after, digest
            FROM audit_records WHERE number = 3
            """,
            "record 4 was changed",
        ),
    ],
)
async def test_forgery_is_found(
    database: Database, audit: Audit, workspace_id: WorkspaceId, forgery: str, fault: str
) -> None:
    await record(database, audit, workspace_id, "a", "b", "c")
    await database.execute(_UNGUARDED)

    await database.execute(forgery)

    assert [verdict.fault for verdict in await verdicts(audit)] == [fault]


async def test_chain_of_a_former_key_is_sealed_anew(
    database: Database, audit: Audit, workspace_id: WorkspaceId
) -> None:
    await record(database, Audit(database, SecretBox([FORMER])), workspace_id, "a")
    both = Audit(database, SecretBox([KEY, FORMER]))

    before = await verdicts(both)
    resealed = await both.reseal()

    assert (before[0].fault, resealed) == (None, 1)
    assert (await verdicts(audit))[0].fault is None


async def test_forged_seal_is_not_made_good(database: Database, audit: Audit, workspace_id: WorkspaceId) -> None:
    await record(database, Audit(database, SecretBox([FORMER])), workspace_id, "a")

    resealed = await audit.reseal()

    assert resealed == 0
    assert (await verdicts(audit))[0].fault == "the chain does not end where it was sealed"
