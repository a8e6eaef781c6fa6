"""Who calls, and whether they may."""

from aiohttp import hdrs, web

from tailrace.core.errors import TailraceError
from tailrace.store.tokens import Identity, Role, Tokens
from tailrace_gateway.problems import Forbidden, Unauthenticated

_HOW = "send the header 'Authorization: Bearer <token>' with a token of this workspace"


async def authenticate(request: web.Request, tokens: Tokens) -> Identity:
    """Who the request's token stands for.

    :raises Unauthenticated: there is no token, or it opens nothing.
    """
    scheme, _, text = _header(request).partition(" ")
    identity = await tokens.verify(text.strip()) if scheme.lower() == "bearer" else None
    if identity is None:
        raise Unauthenticated(f"this token is unknown, expired or revoked; {_HOW}")
    return identity


def authorize(identity: Identity, needed: Role) -> None:
    """Let the caller pass if its role covers what the route needs.

    :raises Forbidden: it does not.
    """
    if not identity.role.covers(needed):
        raise Forbidden(f"this needs a token with the role {needed}; yours is {identity.role}")


def _header(request: web.Request) -> str:
    values = request.headers.getall(hdrs.AUTHORIZATION, [])
    if len(values) != 1:
        raise _missing(values)
    return values[0]


def _missing(values: list[str]) -> TailraceError:
    return Unauthenticated(f"more than one Authorization header; {_HOW}" if values else f"no token; {_HOW}")
