"""The audit chain: what is recorded stays, and what was altered behind our back is found."""

import asyncio

import asyncpg
import pytest
import pytest_asyncio

from tailrace.core.ids import WorkspaceId
from tailrace.store.audit import Audit, Deed
from tailrace.store.audit_chain import FIRST_ACTION, AuditChain, Verdict
from tailrace.store.database import Database, Within
from tailrace.store.secrets import SecretBox
from tailrace.store.workspaces import Workspaces

KEY, FORMER = bytes(32), bytes([1] * 32)
_GONE_THROUGH = "SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'audit_records'"
_UNGUARDED = "ALTER TABLE audit_records DISABLE TRIGGER audit_records_stay"


@pytest.fixture
def audit(database: Database) -> Audit:
    return Audit(database, SecretBox([KEY]))


@pytest.fixture
def chain(database: Database) -> AuditChain:
    return AuditChain(database, SecretBox([KEY]))


@pytest_asyncio.fixture
async def workspace_id(database: Database) -> WorkspaceId:
    return (await Workspaces(database).create("a")).id


async def record(database: Database, audit: Audit, workspace_id: WorkspaceId, *names: str) -> None:
    for name in names:
        deed = Deed(workspace_id, "token:t", "10.0.0.1", FIRST_ACTION, name, {"n": 1.0, "é": 1e300}, {"n": "\u2028"})
        async with database.transaction() as connection:
            await audit.append(connection, deed)


async def verdicts(chain: AuditChain) -> list[Verdict]:
    return [verdict async for verdict in chain.verify()]


async def test_records_are_listed_newest_first(database: Database, audit: Audit, workspace_id: WorkspaceId) -> None:
    await record(database, audit, workspace_id, "a", "b", "c")

    listed = await audit.list(workspace_id, limit=2)
    rest = await audit.list(workspace_id, before=listed[-1].number)

    assert [(each.number, each.deed.object_id) for each in [*listed, *rest]] == [(3, "c"), (2, "b"), (1, "a")]
    assert listed[0].deed == Deed(
        workspace_id, "token:t", "10.0.0.1", FIRST_ACTION, "c", {"n": 1.0, "é": 1e300}, {"n": "\u2028"}
    )


async def test_chain_is_not_gone_through_when_a_record_joins_it(
    database: Database, audit: Audit, chain: AuditChain, workspace_id: WorkspaceId
) -> None:
    await record(database, audit, workspace_id, "a", "b")
    await chain.extend(workspace_id)
    await database.execute("VACUUM ANALYZE audit_records")
    await record(database, audit, workspace_id, "c")

    async with database.transaction() as connection:
        count = await AuditChain(Within(connection), SecretBox([KEY])).extend(workspace_id)
        gone_through = await connection.fetchval(_GONE_THROUGH)

    assert (count, gone_through) == (1, 0)


async def test_whole_chains_are_found_whole(
    database: Database, audit: Audit, chain: AuditChain, workspace_id: WorkspaceId
) -> None:
    other = (await Workspaces(database).create("b")).id
    await record(database, audit, workspace_id, *map(str, range(7)))
    await record(database, audit, other, "x")

    assert {each.workspace_id: (each.records, each.fault) for each in await verdicts(chain)} == {
        workspace_id: (7, None),
        other: (1, None),
    }


async def test_records_made_at_once_stand_in_one_chain(
    database: Database, audit: Audit, chain: AuditChain, workspace_id: WorkspaceId
) -> None:
    async with asyncio.TaskGroup() as tasks:
        for at in range(20):
            tasks.create_task(record(database, audit, workspace_id, str(at)))
            tasks.create_task(chain.extend_all())

    assert await verdicts(chain) == [Verdict(workspace_id, 20, None)]


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
    database: Database, audit: Audit, chain: AuditChain, workspace_id: WorkspaceId, statement: str
) -> None:
    await record(database, audit, workspace_id, "a")
    await chain.extend(workspace_id)

    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="never changed"):
        await database.execute(statement)


async def test_records_are_chained_in_the_order_of_the_changes(
    database: Database, audit: Audit, chain: AuditChain, workspace_id: WorkspaceId
) -> None:
    names = [str(at) for at in range(1203)]
    async with database.transaction() as connection:
        for name in names:
            await audit.append(connection, Deed(workspace_id, "a", "b", "c", name))

    chained = [await chain.extend_all(), await chain.extend_all()]

    listed = await audit.list(workspace_id, limit=2000)
    assert chained == [1203, 0]
    assert [each.deed.object_id for each in reversed(listed)] == names


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit_waiting SET actor = 'x'", "DELETE FROM audit_waiting", "TRUNCATE audit_waiting"],
)
async def test_waiting_records_cannot_be_changed(
    database: Database, audit: Audit, workspace_id: WorkspaceId, statement: str
) -> None:
    await record(database, audit, workspace_id, "a")

    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="never"):
        await database.execute(statement)


async def test_record_that_was_altered_while_it_waited_is_found(
    database: Database, audit: Audit, chain: AuditChain, workspace_id: WorkspaceId
) -> None:
    await record(database, audit, workspace_id, "a", "b", "c")
    await database.execute("ALTER TABLE audit_waiting DISABLE TRIGGER audit_waiting_stays")
    await database.execute("UPDATE audit_waiting SET actor = 'token:x' WHERE object_id = 'b'")

    found = await verdicts(chain)

    assert found == [Verdict(workspace_id, 2, "a record was changed before it was in the chain")]
    assert [each.deed.object_id for each in await audit.list(workspace_id)] == ["c", "a"]


async def test_chain_that_was_cut_off_is_not_sealed_by_going_on(
    database: Database, audit: Audit, chain: AuditChain, workspace_id: WorkspaceId
) -> None:
    await record(database, audit, workspace_id, "a", "b")
    await chain.extend(workspace_id)
    await database.execute(_UNGUARDED)
    await database.execute("DELETE FROM audit_records WHERE number = 2")
    await database.execute("UPDATE audit_heads SET number = 1, digest = (SELECT digest FROM audit_records)")
    await record(database, audit, workspace_id, "c")

    chained = await chain.extend(workspace_id)

    assert chained == 0
    assert (await verdicts(chain))[0].fault == "the chain does not end where it was sealed"


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
    database: Database, chain: AuditChain, workspace_id: WorkspaceId, forgery: str, fault: str
) -> None:
    await record(database, Audit(database, SecretBox([KEY])), workspace_id, "a", "b", "c")
    await chain.extend(workspace_id)
    await database.execute(_UNGUARDED)

    await database.execute(forgery)

    assert [verdict.fault for verdict in await verdicts(chain)] == [fault]


@pytest.mark.parametrize("goes_on", [False, True], ids=["as it was left", "gone on with"])
async def test_chain_that_was_taken_away_as_a_whole_is_missed(
    database: Database, audit: Audit, chain: AuditChain, workspace_id: WorkspaceId, *, goes_on: bool
) -> None:
    await record(database, audit, workspace_id, "a", "b")
    await chain.extend(workspace_id)
    await database.execute(_UNGUARDED)
    await database.execute("DELETE FROM audit_records")
    await database.execute("DELETE FROM audit_heads")
    if goes_on:
        async with database.transaction() as connection:
            await audit.append(connection, Deed(workspace_id, "token:t", "10.0.0.1", "createToken", "t"))

    [found] = await verdicts(chain)

    lost, begun_anew = "the seal of the chain is gone", "the chain does not begin with the making of its workspace"
    assert (found.records, found.fault) == (0, begun_anew if goes_on else lost)


async def test_only_record_that_was_altered_while_it_waited_is_found(
    database: Database, audit: Audit, chain: AuditChain, workspace_id: WorkspaceId
) -> None:
    await record(database, audit, workspace_id, "a")
    await database.execute("ALTER TABLE audit_waiting DISABLE TRIGGER audit_waiting_stays")
    await database.execute("UPDATE audit_waiting SET actor = 'token:x'")

    assert await verdicts(chain) == [Verdict(workspace_id, 0, "a record was changed before it was in the chain")]


async def test_chain_of_a_former_key_is_sealed_anew(
    database: Database, chain: AuditChain, workspace_id: WorkspaceId
) -> None:
    await record(database, Audit(database, SecretBox([FORMER])), workspace_id, "a")
    await AuditChain(database, SecretBox([FORMER])).extend(workspace_id)
    both = AuditChain(database, SecretBox([KEY, FORMER]))

    before = await verdicts(both)
    resealed = await both.reseal()

    assert (before[0].fault, resealed) == (None, 1)
    assert (await verdicts(chain))[0].fault is None


@pytest.mark.parametrize("is_chained", [True, False], ids=["chained", "waiting"])
async def test_another_key_than_that_of_the_chains_is_known(
    database: Database, audit: Audit, chain: AuditChain, workspace_id: WorkspaceId, *, is_chained: bool
) -> None:
    other, both = AuditChain(database, SecretBox([FORMER])), AuditChain(database, SecretBox([FORMER, KEY]))
    at_first = await other.takes_records()
    await record(database, audit, workspace_id, "a")
    await (chain if is_chained else other).extend(workspace_id)

    taken = [await each.takes_records() for each in (chain, both, other)]

    assert (at_first, taken) == (True, [True, True, False])
    assert await verdicts(chain) == [Verdict(workspace_id, 1, None)]


async def test_forged_seal_is_not_made_good(
    database: Database, audit: Audit, chain: AuditChain, workspace_id: WorkspaceId
) -> None:
    await record(database, Audit(database, SecretBox([FORMER])), workspace_id, "a")
    await AuditChain(database, SecretBox([FORMER])).extend(workspace_id)
    await record(database, audit, workspace_id, "b")

    resealed = await chain.reseal()

    assert resealed == 0
    assert (await verdicts(chain))[0].fault == "the chain does not end where it was sealed"
