import base64
import socket
from pathlib import Path

import asyncpg
import pytest

from tailrace.core.ids import WorkspaceId
from tailrace.store.audit import Audit
from tailrace.store.database import Database
from tailrace.store.secrets import SecretBox
from tailrace.store.tokens import Role, Tokens
from tests.cli.commands import tailrace
from tests.runtime.processes import SECRET_KEY, environment

ANOTHER_KEY = base64.b64encode(bytes(32)).decode()


async def test_upgrade_brings_an_empty_database_to_head(empty_database_url: str) -> None:
    set_up = {"TAILRACE_DATABASE_URL": empty_database_url}
    before = await tailrace("db", "status", "--json", environment=set_up)

    upgraded = await tailrace("db", "upgrade", "--json", environment=set_up)

    after = await tailrace("db", "status", "--json", environment=set_up)
    assert (before.code, upgraded.code, after.code) == (1, 0, 0)
    assert before.json()["missing"] == upgraded.json()["applied"] != []
    assert after.json() == {"missing": []}


async def test_upgrade_of_an_upgraded_database_changes_nothing(database_url: str) -> None:
    again = await tailrace("db", "upgrade", environment={"TAILRACE_DATABASE_URL": database_url})

    assert (again.code, again.stdout) == (0, "at head already\n")


async def test_store_that_does_not_answer_is_a_failure_in_a_sentence() -> None:
    away = {"TAILRACE_DATABASE_URL": "postgresql://u:hunter2@127.0.0.1:1/x"}

    ended = await tailrace("db", "status", environment=away)

    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr.startswith("tailrace: the state store does not answer")
    assert len(ended.stderr.splitlines()) == 1


async def test_missing_setting_is_a_misuse() -> None:
    ended = await tailrace("db", "status")

    assert (ended.code, ended.stdout) == (2, "")
    assert "TAILRACE_DATABASE_URL: Field required" in ended.stderr


async def test_unknown_setting_is_a_misuse(database_url: str) -> None:
    ended = await tailrace("workspace", "list", environment=environment(database_url, DATABSE_POOL_SIZE="5"))

    assert ended.code == 2
    assert "TAILRACE_DATABSE_POOL_SIZE" in ended.stderr


async def test_unknown_command_is_a_misuse() -> None:
    assert (await tailrace("upgrade")).code == 2


async def test_token_made_on_the_command_line_opens_its_workspace(database_url: str) -> None:
    set_up = environment(database_url)
    workspace = (await tailrace("workspace", "create", "Acme", environment=set_up)).stdout.strip()

    made = await tailrace(
        "token", "create", "--workspace", workspace, "--role", "editor", "--days", "7", "--json", environment=set_up
    )

    assert made.code == 0
    async with Database.open(database_url, application_name="test") as database:
        identity = await Tokens(database, SecretBox.from_setting(SECRET_KEY)).verify(made.json()["token"])
    assert identity is not None
    assert (identity.workspace_id, identity.role) == (workspace, Role.EDITOR)
    assert made.json()["expires_at"] is not None


async def test_token_is_all_that_is_printed_without_json(database_url: str) -> None:
    set_up = environment(database_url)
    workspace = (await tailrace("workspace", "create", "Acme", "--json", environment=set_up)).json()["id"]

    made = await tailrace("token", "create", "--workspace", workspace, environment=set_up)

    assert made.stdout.startswith("trc_")
    assert len(made.stdout.split()) == 1


async def test_token_for_an_unknown_workspace_is_refused(database_url: str) -> None:
    made = await tailrace("token", "create", "--workspace", "ws_unknown", environment=environment(database_url))

    assert (made.code, made.stdout) == (1, "")
    assert "no such workspace" in made.stderr


async def test_workspace_shows_in_the_list(database_url: str) -> None:
    set_up = environment(database_url)
    made = (await tailrace("workspace", "create", "Acme", "--json", environment=set_up)).json()

    listed = await tailrace("workspace", "list", "--json", environment=set_up)

    assert listed.json() == {"workspaces": [made]}


async def test_command_on_an_old_schema_says_what_to_run(empty_database_url: str) -> None:
    ended = await tailrace("workspace", "create", "Acme", environment=environment(empty_database_url))

    assert ended.code == 1
    assert "tailrace db upgrade" in ended.stderr


async def test_altered_migration_is_refused(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("UPDATE schema_migrations SET sha256 = 'other'")
    await connection.close()

    ended = await tailrace("db", "upgrade", environment={"TAILRACE_DATABASE_URL": database_url})

    assert ended.code == 2
    assert "was changed after it had been applied" in ended.stderr


async def test_fresh_key_is_one_that_services_take() -> None:
    ended = await tailrace("keys", "new")

    assert len(base64.b64decode(ended.stdout)) == 32
    SecretBox.from_setting(ended.stdout)


async def test_two_fresh_keys_differ() -> None:
    assert (await tailrace("keys", "new")).stdout != (await tailrace("keys", "new")).stdout


async def test_topics_can_be_listed_without_a_broker() -> None:
    ended = await tailrace("kafka", "topics", "list", "--json", environment={"TAILRACE_TOPIC_PREFIX": "acme.tailrace"})

    assert ended.code == 0
    assert ended.json()["topics"]["acme.tailrace.run.requested.v1"] == 12


async def test_topics_cannot_be_made_without_a_broker() -> None:
    ended = await tailrace("kafka", "topics", "apply")

    assert ended.code == 2
    assert "TAILRACE_KAFKA_BOOTSTRAP" in ended.stderr


async def test_missing_topics_are_made_once(kafka_bootstrap: str, topic_prefix: str) -> None:
    set_up = {"TAILRACE_KAFKA_BOOTSTRAP": kafka_bootstrap, "TAILRACE_TOPIC_PREFIX": topic_prefix}
    apply = ("kafka", "topics", "apply", "--replication-factor", "1", "--json")
    wanted = (await tailrace("kafka", "topics", "list", "--json", environment=set_up)).json()["topics"]

    first = await tailrace(*apply, environment=set_up)
    second = await tailrace(*apply, environment=set_up)

    assert (first.code, second.code) == (0, 0)
    assert sorted(first.json()["made"]) == sorted(wanted)
    assert second.json() == {"made": []}


@pytest.mark.parametrize("name", ["gateway", "scheduler", "executor", "dlq"])
async def test_every_service_is_a_command(name: str) -> None:
    ended = await tailrace(name, "--help")

    assert ended.code == 0
    assert f"Run the service {name}" in ended.stdout


async def test_documents_are_written_where_they_differ(tmp_path: Path) -> None:
    first = await tailrace("docs", "generate", folder=tmp_path)
    stale = tmp_path / "deploy" / "docs" / "settings.md"
    stale.write_text("old")

    checked = await tailrace("docs", "generate", "--check", folder=tmp_path)
    second = await tailrace("docs", "generate", folder=tmp_path)

    assert (first.code, checked.code, second.code) == (0, 1, 0)
    assert checked.stdout == "out of date: deploy/docs/settings.md\n"
    assert second.stdout == "written: deploy/docs/settings.md\n"
    assert "TAILRACE_DATABASE_URL" in stale.read_text()


async def test_documents_in_the_repository_are_fresh() -> None:
    ended = await tailrace("docs", "generate", "--check", folder=Path(__file__).parents[2])

    assert (ended.code, ended.stdout) == (0, "")


async def test_commands_are_recorded_as_who_ran_them(database_url: str) -> None:
    set_up = environment(database_url) | {"LOGNAME": "alice"}
    workspace = (await tailrace("workspace", "create", "Acme", environment=set_up)).stdout.strip()
    token = (await tailrace("token", "create", "--workspace", workspace, environment=set_up)).stdout.strip()
    await tailrace("keys", "rotate", environment=set_up)

    async with Database.open(database_url, application_name="test") as database:
        box = SecretBox.from_setting(SECRET_KEY)
        recorded = await Audit(database, box).list(WorkspaceId(workspace))

    deeds = [record.deed for record in reversed(recorded)]
    assert [deed.action for deed in deeds] == ["createWorkspace", "createToken", "rotateKeys"]
    assert [deed.object_id for deed in deeds] == [workspace, token[4:12], box.sealing_id.hex()]
    assert {(deed.actor, deed.address) for deed in deeds} == {("cli:alice", socket.gethostname())}
    assert token not in repr(deeds)


async def test_command_with_another_key_than_the_services_is_refused(database_url: str) -> None:
    right, wrong = environment(database_url), environment(database_url) | {"TAILRACE_SECRET_KEY": ANOTHER_KEY}
    workspace = (await tailrace("workspace", "create", "Acme", environment=right)).stdout.strip()

    refused = await tailrace("token", "create", "--workspace", workspace, environment=wrong)

    assert (refused.code, refused.stdout) == (2, "")
    assert "TAILRACE_SECRET_KEY is not the key of the services" in refused.stderr
