"""What a handler is given and what it gives back: no HTTP beyond a status and a few headers."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeAlias, TypeVar

from pydantic import BaseModel
from yarl import URL

from tailrace.core.ids import RunId
from tailrace.store.connections import ConnectionKind, StoredConnection
from tailrace.store.revisions import OnlyIf
from tailrace.store.runs import Run
from tailrace.store.syncs import Sync
from tailrace.store.tokens import Identity, Role
from tailrace_gateway.models import Body, NoBody, NoQuery, Query
from tailrace_gateway.stores import Stores
from tailrace_gateway.streams import Stream

BodyT = TypeVar("BodyT", bound=Body)
QueryT = TypeVar("QueryT", bound=Query)


@dataclass(frozen=True, slots=True)
class Call(Generic[BodyT, QueryT]):
    """A request that was let in and read.

    `sha256` tells it from other requests of the same caller: it covers method, path and body. `action` is the id of
    the operation, `address` where the request came from.
    """

    stores: Stores
    identity: Identity
    path: Mapping[str, str]
    query: QueryT
    body: BodyT
    url: URL
    sha256: bytes
    idempotency_key: str | None
    action: str
    address: str
    only_if: OnlyIf = None
    last_event_id: str | None = None

    async def sync(self, named: str = "sync_id") -> Sync:
        """The sync that the path names.

        :raises NotFound: the workspace has none of that id.
        """
        return await self.stores.syncs.get(self.identity.workspace_id, self.path[named])

    async def run(self, named: str = "run_id") -> Run:
        """The run that the path names, like the sync."""
        return await self.stores.runs.get(self.identity.workspace_id, RunId(self.path[named]))

    async def connection(self, kind: ConnectionKind, named: str = "connection_id") -> StoredConnection:
        """The source or destination that the path names, like the sync."""
        return await self.stores.connections.get(self.identity.workspace_id, self.path[named], kind=kind)


@dataclass(frozen=True, slots=True)
class Change:
    """What a call did to which thing, for the audit chain. `before` and `after` are as the API shows them."""

    object_id: str
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and a JSON document; no document, no body. `change` is None where nothing was changed."""

    payload: Mapping[str, Any] | None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    change: Change | None = None


AnyCall: TypeAlias = Call[Any, Any]
Handler: TypeAlias = Callable[[AnyCall], Awaitable[Answer | Stream]]


class Audience(StrEnum):
    """Whom an operation is for."""

    WORKSPACE = "workspace"
    PLATFORM = "platform"
    BOTH = "both"


V2 = ("/v2", "")
"""The prefixes of RudderStack's contract, which is served without its version too."""


@dataclass(frozen=True, slots=True)
class Route:
    """An operation of the API: all that is needed to serve and to describe it.

    `path` is served under each of `prefixes`. `is_body_optional` lets an empty body stand for `{}`. `errors` are the
    statuses beyond those that any operation may answer; `answer` is None where there is no body. The description is
    `about` or what the handler says of itself. `tells_tag`: the answer has an ETag; `heeds_tag`: If-Match is heeded.
    `is_stream`: the answer is server-sent events.
    """

    method: str
    path: str
    role: Role
    handler: Handler
    summary: str
    operation_id: str = field(kw_only=True)
    answer: type[BaseModel] | None = field(kw_only=True)
    body: type[Body] = NoBody
    query: type[Query] = NoQuery
    status: int = 200
    prefixes: tuple[str, ...] = ("", "/v1")
    is_body_optional: bool = False
    errors: tuple[int, ...] = ()
    about: str | None = None
    tells_tag: bool = False
    heeds_tag: bool = False
    is_stream: bool = False
    audience: Audience = Audience.WORKSPACE


@dataclass(frozen=True, slots=True)
class Section:
    """Operations that are described together."""

    name: str
    about: str
    routes: tuple[Route, ...]
