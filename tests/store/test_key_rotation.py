"""Rotation of the secret key: nothing is lost on the way, wherever it is killed, and the former key can go."""

import os
from collections.abc import Sequence

import pytest
import pytest_asyncio

from tailrace.core.errors import Invalid
from tailrace.core.ids import DeadLetterId, WorkspaceId
from tailrace.store.connections import ConnectionDraft, ConnectionKind, Connections
from tailrace.store.database import Database
from tailrace.store.dead_letters import DeadLetters
from tailrace.store.key_rotation import KeyRotation, Rotated, check_keys, check_keys_of_tokens
from tailrace.store.secrets import SecretBox
from tailrace.store.tokens import NewToken, Role, Tokens
from tailrace.store.workspaces import Workspaces
from tests.store.conftest import A_WORKSPACE, Stage
from tests.store.letters import BOX as FORMER
from tests.store.letters import Grave

_NEW_KEY = os.urandom(32)
NEW = SecretBox([_NEW_KEY])
BOTH = SecretBox([_NEW_KEY, bytes(32)])
A_DRAFT = ConnectionDraft("w", {"password": "***"}, {"/password": "s3cret"})


@pytest_asyncio.fixture
async def workspace_id(database: Database) -> WorkspaceId:
    return (await Workspaces(database).create("a")).id


async def _connect(database: Database, workspace_id: WorkspaceId, count: int) -> Sequence[str]:
    connections = Connections(database, FORMER)
    made = [await connections.create(workspace_id, ConnectionKind.SOURCE, "postgres", A_DRAFT) for _ in range(count)]
    return [each.id for each in made]


async def test_everything_opens_with_the_new_key_alone(database: Database, stage: Stage) -> None:
    [letter_id] = await Grave(stage).bury("k", payload=b'{"email": "x"}')
    [connection_id] = await _connect(database, A_WORKSPACE, 1)

    done = await KeyRotation(database, BOTH).rotate()

    _, settings = await Connections(database, NEW).open_settings(connection_id)
    payload = await DeadLetters(database, NEW).payload(A_WORKSPACE, DeadLetterId(letter_id))
    assert done == Rotated(connections=1, dead_letters=1, audit_chains=0, unreadable=(), tokens_left=0)
    assert (settings, payload) == ({"password": "s3cret"}, b'{"email": "x"}')


async def test_second_rotation_finds_nothing_to_do(database: Database, workspace_id: WorkspaceId) -> None:
    await _connect(database, workspace_id, 3)
    rotation = KeyRotation(database, BOTH)
    await rotation.rotate()

    assert (await rotation.rotate()).connections == 0


async def test_many_are_sealed_in_several_transactions(database: Database, workspace_id: WorkspaceId) -> None:
    await _connect(database, workspace_id, 450)

    assert (await KeyRotation(database, BOTH).rotate()).connections == 450


async def test_what_no_key_opens_is_named_and_stays(database: Database, workspace_id: WorkspaceId) -> None:
    first, second, third = await _connect(database, workspace_id, 3)
    await database.execute(
        "UPDATE connections SET secrets = (SELECT secrets FROM connections WHERE id = $1) WHERE id = $2", first, second
    )

    done = await KeyRotation(database, BOTH).rotate()

    assert (done.connections, done.unreadable) == (2, (second,))
    assert (await Connections(database, NEW).open_settings(third))[1] == {"password": "s3cret"}


async def test_secrets_swapped_between_connections_do_not_open(database: Database, workspace_id: WorkspaceId) -> None:
    first, _ = await _connect(database, workspace_id, 2)
    await database.execute(
        "UPDATE connections AS one SET secrets = other.secrets FROM connections AS other WHERE one.id <> other.id"
    )
    connections = Connections(database, FORMER)

    with pytest.raises(Invalid, match="altered") as refused:
        await connections.open_settings(first)

    assert refused.value.code == "SECRET_ALTERED"


async def test_token_moves_to_the_new_key_when_it_is_used(database: Database, workspace_id: WorkspaceId) -> None:
    _, text = await Tokens(database, FORMER).create(NewToken(workspace_id, "ci", Role.VIEWER))
    before = await KeyRotation(database, BOTH).rotate()

    await Tokens(database, BOTH).verify(text)

    after = await KeyRotation(database, BOTH).rotate()
    assert (before.tokens_left, after.tokens_left) == (1, 0)
    assert await Tokens(database, NEW).verify(text) is not None


async def test_revoked_token_is_not_waited_for(database: Database, workspace_id: WorkspaceId) -> None:
    token, _ = await Tokens(database, FORMER).create(NewToken(workspace_id, "ci", Role.VIEWER))
    await Tokens(database, FORMER).revoke(workspace_id, token.id)

    assert (await KeyRotation(database, BOTH).rotate()).tokens_left == 0


async def test_wrong_ring_is_refused(database: Database, workspace_id: WorkspaceId) -> None:
    await _connect(database, workspace_id, 1)

    with pytest.raises(Invalid, match="TAILRACE_SECRET_KEY is not the key"):
        await check_keys(database, NEW)


@pytest.mark.parametrize("box", [FORMER, BOTH], ids=["the key", "the key among others"])
async def test_ring_is_let_through_that_tokens_are_good_with(
    database: Database, workspace_id: WorkspaceId, box: SecretBox
) -> None:
    await check_keys_of_tokens(database, NEW)
    await Tokens(database, FORMER).create(NewToken(workspace_id, "ci", Role.VIEWER))

    await check_keys_of_tokens(database, box)

    with pytest.raises(Invalid, match="that the tokens in this database"):
        await check_keys_of_tokens(database, NEW)


@pytest.mark.parametrize("box", [FORMER, BOTH], ids=["the key", "the key among others"])
async def test_right_ring_is_let_through(database: Database, workspace_id: WorkspaceId, box: SecretBox) -> None:
    await _connect(database, workspace_id, 1)

    await check_keys(database, box)
