"""Management: the tokens of the caller's workspace."""

from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from tailrace.core.clock import SystemClock
from tailrace.core.ids import TokenId
from tailrace.core.names import Name
from tailrace.store.database import Connection
from tailrace.store.tokens import NewToken, Role, Token
from tailrace_gateway.calls import Answer, Call, Change, Route
from tailrace_gateway.envelopes import Item, Many, One, Seconds, Told
from tailrace_gateway.models import Body, Moment, NoBody, NoQuery
from tailrace_gateway.problems import Fault, Unprocessable
from tailrace_gateway.recording import in_transaction
from tailrace_gateway.repeats import once_in_store
from tailrace_gateway.stores import Stores
from tailrace_gateway.wire import Item as Shown
from tailrace_gateway.wire import item, one, seconds

_PATH = "/api/tokens"


class CreateToken(Body):
    """A new token of this workspace; without `expiresAt` it opens until it is revoked."""

    name: Name
    role: Role
    expires_at: Moment | None = None


class TokenAttributes(Told):
    """A token, without its text."""

    name: str
    role: Role
    created_at: Seconds
    expires_at: Seconds | None
    revoked_at: Seconds | None
    last_used_at: Annotated[Seconds | None, Field(description="To the minute.")]


class NewTokenAttributes(TokenAttributes):
    """A token that was made, with its text, which is shown this once."""

    token: str


class RevokedTokenAttributes(Told):
    """A token that opens nothing any more."""

    revoked: Literal[True]


_Token: TypeAlias = Item[Literal["token"], TokenAttributes]
_New: TypeAlias = Item[Literal["token"], NewTokenAttributes]
_Revoked: TypeAlias = Item[Literal["token"], RevokedTokenAttributes]


async def list_tokens(call: Call[NoBody, NoQuery]) -> Answer:
    """The workspace's tokens, oldest first, those that were revoked too."""
    found = await call.stores.tokens.list(call.identity.workspace_id)
    return Answer({"data": [_shown(token) for token in found]})


async def create_token(call: Call[CreateToken, NoQuery]) -> Answer:
    """A new token. Its text is in this answer, and in that to a repeat with the same Idempotency-Key."""
    body = call.body
    _require_future(body.expires_at)
    new = NewToken(call.identity.workspace_id, body.name, body.role, body.expires_at)

    async def act(stores: Stores) -> Answer:
        token, text = await stores.tokens.create(new)
        shown = _shown(token)
        change = Change(token.id, None, dict(shown["attributes"]))
        shown["attributes"] |= {"token": text}
        return Answer(one(shown), 201, change=change)

    return await once_in_store(call, act)


async def revoke_token(call: Call[NoBody, NoQuery]) -> Answer:
    """The token opens nothing from now on, also if it is the caller's own; revoking twice is harmless."""
    token_id = TokenId(call.path["token_id"])

    async def act(connection: Connection) -> Answer:
        is_new = await call.stores.within(connection).tokens.revoke(call.identity.workspace_id, token_id)
        change = Change(token_id, {"revoked": False}, {"revoked": True}) if is_new else None
        return Answer(one(item("token", token_id, {"revoked": True})), change=change)

    return await in_transaction(call, act)


TOKENS = (
    Route("GET", _PATH, Role.ADMIN, list_tokens, "List tokens", operation_id="listTokens", answer=Many[_Token]),
    Route(
        "POST",
        _PATH,
        Role.ADMIN,
        create_token,
        "Create a token",
        operation_id="createToken",
        answer=One[_New],
        body=CreateToken,
        status=201,
    ),
    Route(
        "DELETE",
        f"{_PATH}/{{token_id}}",
        Role.ADMIN,
        revoke_token,
        "Revoke a token",
        operation_id="revokeToken",
        answer=One[_Revoked],
    ),
)


def _require_future(moment: datetime | None) -> None:
    if moment is not None and moment <= SystemClock().now():
        raise Unprocessable([Fault("/expiresAt", "past", "must be a time to come")])


def _shown(token: Token) -> Shown:
    attributes = {
        "name": token.name,
        "role": token.role,
        "created_at": seconds(token.created_at),
        "expires_at": seconds(token.expires_at),
        "revoked_at": seconds(token.revoked_at),
        "last_used_at": seconds(token.last_used_at),
    }
    return item("token", token.id, attributes)
