"""The commands that the documents run in a gateway: they exist, and the role of the gateway is enough for them."""

import base64
import os
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tailrace.core.ids import WorkspaceId, new_connection_id
from tailrace.store.connections import Connections
from tailrace.store.database import Database
from tailrace.store.secrets import SecretBox
from tailrace.store.tokens import Role, Tokens
from tests.cli.commands import Ended, tailrace
from tests.deploy.manifests import ROOT
from tests.deploy.roles import RolesDatabase, a_database_with_roles
from tests.runtime.processes import SECRET_KEY

PAGES = ("deploy/docs/kubernetes.md", "deploy/compose.yaml")
A_NEW_KEY = base64.b64encode(os.urandom(32)).decode()
_ADD = """
INSERT INTO connections (id, workspace_id, kind, name, connector, settings, secrets)
VALUES ($1, $2, 'source', 'w', 'postgres', '{"password": "***"}', $3)
"""

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("roles"), pytest.mark.timeout(150)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ours() -> AsyncIterator[RolesDatabase]:
    async with a_database_with_roles() as made:
        yield made


def told_commands() -> list[tuple[str, ...]]:
    """The words of each command that a document has somebody run in a container."""
    # The namespace is called tailrace too.
    texts = [
        (ROOT / page).read_text().replace("-n tailrace ", "").replace("-- tailrace ", "tailrace ") for page in PAGES
    ]
    lines = [line.partition(" tailrace ")[2] for text in texts for line in text.splitlines() if " exec " in line]
    return sorted({tuple(re.split(r" [<>|#] |  ", line)[0].split()) for line in lines})


async def in_the_gateway(ours: RolesDatabase, *words: str, key: str = SECRET_KEY) -> Ended:
    """What the command does with the settings of a gateway's container."""
    environment = {"TAILRACE_DATABASE_URL": ours.url("gateway"), "TAILRACE_SECRET_KEY": key}
    return await tailrace(*words, environment=environment)


@pytest.mark.parametrize("words", told_commands(), ids=lambda words: " ".join(words[:2]))
async def test_command_of_a_document_is_one_that_there_is(words: tuple[str, ...]) -> None:
    helped = await tailrace(*words[:2], "--help")

    assert helped.code == 0
    assert [word for word in words if word.startswith("--") and word not in helped.stdout] == []


async def test_documents_have_commands_run_in_containers() -> None:
    assert {" ".join(words[:2]) for words in told_commands()} == {
        "workspace create",
        "token create",
        "snapshots export",
        "snapshots import",
    }


async def test_first_workspace_and_token_are_made_in_the_gateway(ours: RolesDatabase) -> None:
    made = await in_the_gateway(ours, "workspace", "create", "Acme")
    workspace = made.stdout.strip()
    token = await in_the_gateway(ours, "token", "create", "--workspace", workspace, "--role", "admin")

    async with Database.open(ours.url("gateway"), application_name="test") as database:
        identity = await Tokens(database, SecretBox.from_setting(SECRET_KEY)).verify(token.stdout.strip())

    assert (made.code, token.code) == (0, 0), made.stderr + token.stderr
    assert identity is not None
    assert (identity.workspace_id, identity.role) == (workspace, Role.ADMIN)


async def test_key_is_rotated_in_the_gateway(ours: RolesDatabase) -> None:
    workspace = WorkspaceId((await in_the_gateway(ours, "workspace", "create", "Bolt")).stdout.strip())
    source, both = new_connection_id(), f"{A_NEW_KEY},{SECRET_KEY}"
    sealed = SecretBox.from_setting(SECRET_KEY).seal(b'{"/password": "hunter2"}', bound_to=f"{workspace}/{source}")
    async with Database.open(ours.url("gateway"), application_name="test") as database:
        await database.execute(_ADD, source, workspace, sealed)

        rotated = await in_the_gateway(ours, "keys", "rotate", key=both)
        verified = await in_the_gateway(ours, "audit", "verify", key=both)
        _, opened = await Connections(database, SecretBox.from_setting(A_NEW_KEY)).open_settings(source)

    assert rotated.stdout.startswith("sealed anew: 1 connections"), rotated.stderr
    assert (verified.code, verified.stdout.count("whole")) == (0, verified.stdout.count("\n")), verified.stderr
    assert opened == {"password": "hunter2"}


async def test_commands_of_the_owner_are_not_for_the_gateway(ours: RolesDatabase) -> None:
    asked = await in_the_gateway(ours, "db", "upgrade")

    assert asked.code == 2
    assert "owns the tables" in asked.stderr
