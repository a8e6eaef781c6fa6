"""What is deleted or sealed anew leaves nothing behind: every column of every table is looked through."""

import os

import pytest

from tailrace.core.ids import WorkspaceId
from tailrace.store.connections import ConnectionDraft, ConnectionKind, Connections
from tailrace.store.database import Database
from tailrace.store.dead_letter_upkeep import KEPT_DAYS, DeadLetterUpkeep
from tailrace.store.dead_letters import Resolution
from tailrace.store.key_rotation import KeyRotation
from tailrace.store.secrets import SecretBox
from tests.store.conftest import A_WORKSPACE, Stage
from tests.store.letters import BOX as FORMER
from tests.store.letters import Grave

_CANARY = "c4nary"
_NEW_KEY = os.urandom(32)
_TABLES = "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
_AGE = "UPDATE dead_letters SET resolved_at = resolved_at - make_interval(days => $1)"
# Events leave the outbox with their sending; the runs that they tell of stay.
_SENT = "DELETE FROM outbox"


async def _holding(database: Database, *traces: str) -> set[str]:
    """The tables in which one of the texts stands, or one of the hex strings of bytes."""
    names = [row["relname"] for row in await database.fetch(_TABLES)]
    dumps = {name: str(await database.fetchval(f"SELECT string_agg(t::text, '|') FROM {name} AS t")) for name in names}
    return {name for name, dump in dumps.items() if any(trace in dump for trace in traces)}


async def test_letter_that_is_forgotten_leaves_no_trace(stage: Stage, database: Database) -> None:
    grave = Grave(stage)
    [letter_id] = await grave.bury(_CANARY, payload=b'{"email": "c4nary"}')
    payload: str = await database.fetchval("SELECT encode(payload, 'hex') FROM dead_letters")
    async with database.transaction() as connection:
        await grave.letters.resolve(connection, A_WORKSPACE, [letter_id], Resolution("skipped", "ann"))
    await database.execute(_AGE, KEPT_DAYS + 1)
    await database.execute(_SENT)
    before = await _holding(database, _CANARY, payload, letter_id)

    await DeadLetterUpkeep(database).prune()

    assert "dead_letters" in before
    assert await _holding(database, _CANARY, payload, letter_id) == set()


@pytest.mark.parametrize("count", [1, 230])
async def test_rotation_leaves_nothing_that_the_former_key_opens(stage: Stage, database: Database, count: int) -> None:
    await Grave(stage).bury("k", payload=b'{"email": "c4nary"}')
    connections, draft = (
        Connections(database, FORMER),
        ConnectionDraft("w", {"password": "***"}, {"/password": _CANARY}),
    )
    for _ in range(count):
        await connections.create(WorkspaceId(A_WORKSPACE), ConnectionKind.SOURCE, "postgres", draft)
    former = f"\\x01{FORMER.sealing_id.hex()}"
    before = await _holding(database, former)

    await KeyRotation(database, SecretBox([_NEW_KEY, bytes(32)])).rotate()

    assert before == {"connections", "dead_letters"}
    assert await _holding(database, former, _CANARY) == set()
