"""API tokens: shown once, checked by digest."""

import os
import re
import zlib
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from tailrace.core.errors import NotFound
from tailrace.core.ids import TokenId, WorkspaceId
from tailrace.store.database import Database, Waits
from tailrace.store.secrets import SecretBox
from tailrace.store.tokens import Identity, NewToken, Role, Tokens, _checksum
from tailrace.store.workspaces import Workspaces

_KEY = os.urandom(32)
_FORM = re.compile(r"trc_[0-9A-Za-z]{8}_[0-9A-Za-z]{43}[0-9A-Za-z]{6}")


@pytest.fixture
def tokens(database: Database) -> Tokens:
    return Tokens(database, SecretBox([_KEY]))


@pytest_asyncio.fixture
async def workspace_id(database: Database) -> WorkspaceId:
    return (await Workspaces(database).create("w")).id


async def test_fresh_token_stands_for_its_workspace_and_role(tokens: Tokens, workspace_id: WorkspaceId) -> None:
    token, text = await tokens.create(NewToken(workspace_id, "ci", Role.EDITOR))

    assert _FORM.fullmatch(text)
    assert await tokens.verify(text) == Identity(token.id, workspace_id, Role.EDITOR)


async def test_database_holds_no_token(database: Database, tokens: Tokens, workspace_id: WorkspaceId) -> None:
    _, text = await tokens.create(NewToken(workspace_id, "ci", Role.ADMIN))

    dump = await database.fetchval("SELECT string_agg(tokens::text, '') FROM tokens")

    assert text[13:56] not in dump
    assert text[13:56].encode().hex() not in dump


async def test_dump_alone_checks_no_token(database: Database, tokens: Tokens, workspace_id: WorkspaceId) -> None:
    _, text = await tokens.create(NewToken(workspace_id, "ci", Role.ADMIN))

    elsewhere = Tokens(database, SecretBox([os.urandom(32)]))

    assert await elsewhere.verify(text) is None


async def test_token_outlives_the_rotation_of_the_key(
    database: Database, tokens: Tokens, workspace_id: WorkspaceId
) -> None:
    _, text = await tokens.create(NewToken(workspace_id, "ci", Role.ADMIN))

    rotated = Tokens(database, SecretBox([os.urandom(32), _KEY]))

    assert await rotated.verify(text) is not None


async def test_malformed_token_costs_no_look_up(workspace_id: WorkspaceId, tokens: Tokens) -> None:
    _, text = await tokens.create(NewToken(workspace_id, "ci", Role.ADMIN))
    malformed = [
        "",
        "trc_",
        text[:-1],
        text + "0",
        text[:-1] + "é",
        text.upper(),
        _altered(text, 20),
        _altered(text, 5),
    ]

    async with Database.open("postgresql://u@127.0.0.1:1/d", application_name="test", waits=Waits(1, 1)) as away:
        found = [await Tokens(away, SecretBox([_KEY])).verify(each) for each in malformed]

    assert found == [None] * len(malformed)


async def test_token_of_another_installation_is_unknown(tokens: Tokens, workspace_id: WorkspaceId) -> None:
    token, text = await tokens.create(NewToken(workspace_id, "ci", Role.ADMIN))
    _, other = await tokens.create(NewToken(workspace_id, "ci", Role.ADMIN))
    forged = _with_checksum(f"trc_{token.id}_{other[13:56]}")

    assert await tokens.verify(forged) is None
    assert await tokens.verify(_with_checksum(text[:-6])) is not None


async def test_revoked_token_opens_nothing(tokens: Tokens, workspace_id: WorkspaceId) -> None:
    token, text = await tokens.create(NewToken(workspace_id, "ci", Role.ADMIN))

    await tokens.revoke(workspace_id, token.id)
    await tokens.revoke(workspace_id, token.id)

    assert await tokens.verify(text) is None
    [listed] = await tokens.list(workspace_id)
    assert listed.revoked_at is not None


@pytest.mark.parametrize(("lasts_s", "opens"), [(-1, False), (3600, True)], ids=["over", "not yet"])
async def test_token_opens_until_it_expires(
    tokens: Tokens, workspace_id: WorkspaceId, lasts_s: int, *, opens: bool
) -> None:
    expires_at = datetime.now(UTC) + timedelta(seconds=lasts_s)

    _, text = await tokens.create(NewToken(workspace_id, "ci", Role.ADMIN, expires_at))

    assert (await tokens.verify(text) is not None) is opens


async def test_token_of_another_workspace_cannot_be_revoked(
    database: Database, tokens: Tokens, workspace_id: WorkspaceId
) -> None:
    other = await Workspaces(database).create("other")
    token, text = await tokens.create(NewToken(workspace_id, "ci", Role.ADMIN))

    with pytest.raises(NotFound):
        await tokens.revoke(other.id, token.id)

    assert await tokens.verify(text) is not None
    assert await tokens.list(other.id) == []


async def test_unknown_workspace_gets_no_token(tokens: Tokens) -> None:
    with pytest.raises(NotFound):
        await tokens.create(NewToken(WorkspaceId("ws_none"), "ci", Role.ADMIN))


async def test_unknown_token_cannot_be_revoked(tokens: Tokens, workspace_id: WorkspaceId) -> None:
    with pytest.raises(NotFound):
        await tokens.revoke(workspace_id, TokenId("00000000"))


@pytest.mark.parametrize(
    ("role", "covered"),
    [
        (Role.VIEWER, {Role.VIEWER}),
        (Role.EDITOR, {Role.VIEWER, Role.EDITOR}),
        (Role.ADMIN, {Role.VIEWER, Role.EDITOR, Role.ADMIN}),
    ],
)
def test_role_covers_those_below_it(role: Role, covered: set[Role]) -> None:
    assert {needed for needed in Role if role.covers(needed)} == covered


def _altered(text: str, at: int) -> str:
    return text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1 :]


def _with_checksum(unchecked: str) -> str:
    """Written anew from the published form: base62 of the CRC-32, six digits."""
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    crc = zlib.crc32(unchecked.encode())
    return unchecked + "".join(digits[crc // 62**place % 62] for place in (5, 4, 3, 2, 1, 0))


async def test_random_tokens_open_nothing(tokens: Tokens, workspace_id: WorkspaceId) -> None:
    _, text = await tokens.create(NewToken(workspace_id, "ci", Role.VIEWER))
    guesses = [f"{text[:13]}{os.urandom(50).hex()[:43]}" for _ in range(200)]
    well_formed = [guess + _checksum(guess) for guess in guesses]
    mistyped = [guess + "000000" for guess in guesses] + [os.urandom(31).hex() for _ in range(100_000)]

    opened = [guess for guess in (*well_formed, *mistyped) if await tokens.verify(guess) is not None]

    assert opened == []


async def test_use_is_noted_once_a_minute(database: Database, tokens: Tokens, workspace_id: WorkspaceId) -> None:
    made, text = await tokens.create(NewToken(workspace_id, "ci", Role.VIEWER))
    await tokens.verify(text)
    [first] = await tokens.list(workspace_id)
    await tokens.verify(text)
    [second] = await tokens.list(workspace_id)
    await database.execute("UPDATE tokens SET last_used_at = last_used_at - interval '2 minutes'")
    await tokens.verify(text)
    [third] = await tokens.list(workspace_id)

    assert made.last_used_at is None
    assert first.last_used_at is not None
    assert first.last_used_at == second.last_used_at
    assert third.last_used_at is not None
    assert third.last_used_at > first.last_used_at
