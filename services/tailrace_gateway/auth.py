"""Who calls, and whether they may."""

import hmac
from dataclasses import dataclass

from aiohttp import hdrs, web
from pydantic import SecretStr

from tailrace.core.errors import TailraceError
from tailrace.core.ids import TokenId, WorkspaceId
from tailrace.store.database import ALL_WORKSPACES
from tailrace.store.tokens import Identity, Role, Tokens
from tailrace_gateway.calls import Audience, Route
from tailrace_gateway.problems import Forbidden, Unauthenticated

_HOW = "send the header 'Authorization: Bearer <token>' with a token of this workspace"


PLATFORM = Identity(TokenId("*platform*"), WorkspaceId(ALL_WORKSPACES["app.workspace_id"]), Role.ADMIN)
"""Whoever runs the platform: makes and lists workspaces, and does nothing within them."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Knows who calls. Without a platform token nobody is the platform."""

    tokens: Tokens
    platform_token: SecretStr | None = None

    async def authenticate(self, request: web.Request) -> Identity:
        """Who the request's token stands for.

        :raises Unauthenticated: there is no token, or it opens nothing.
        """
        scheme, _, text = _header(request).partition(" ")
        identity = await self._identity(text.strip()) if scheme.lower() == "bearer" else None
        if identity is None:
            raise Unauthenticated(f"this token is unknown, expired or revoked; {_HOW}")
        return identity

    async def _identity(self, text: str) -> Identity | None:
        known = self.platform_token
        if known is not None and hmac.compare_digest(text.encode(), known.get_secret_value().encode()):
            return PLATFORM
        return await self.tokens.verify(text)


def authorize(identity: Identity, route: Route) -> None:
    """Let the caller pass if the route is for it, and its role covers what the route needs.

    :raises Unauthenticated: it is of a workspace, and the caller is the platform.
    :raises Forbidden: it is not for the caller, or needs another role.
    """
    if identity == PLATFORM and route.audience is Audience.WORKSPACE:
        raise Unauthenticated("the platform's token opens no workspace: use a token of the workspace")
    if identity != PLATFORM and route.audience is Audience.PLATFORM:
        raise Forbidden("this needs the platform's token, which is the setting TAILRACE_PLATFORM_TOKEN")
    require_role(identity, route.role)


def require_role(identity: Identity, needed: Role, *, for_what: str = "this") -> None:
    """Return if the caller's role covers the one that is needed.

    :raises Forbidden: it does not.
    """
    if not identity.role.covers(needed):
        raise Forbidden(f"{for_what} needs a token with the role {needed}; yours is {identity.role}")


def _header(request: web.Request) -> str:
    values = request.headers.getall(hdrs.AUTHORIZATION, [])
    if len(values) != 1:
        raise _missing(values)
    return values[0]


def _missing(values: list[str]) -> TailraceError:
    return Unauthenticated(f"more than one Authorization header; {_HOW}" if values else f"no token; {_HOW}")
