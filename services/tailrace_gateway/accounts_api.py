"""RudderStack's contract: what its clients look up on the way, such as accounts, which are sources of ours."""

from typing import Annotated, Any

from pydantic import Field

from tailrace.store.connections import ConnectionKind, StoredConnection
from tailrace.store.tokens import Role
from tailrace_gateway.calls import Answer, Call, Route
from tailrace_gateway.envelopes import Told
from tailrace_gateway.models import NoBody, NoQuery, Query
from tailrace_gateway.run_answers import Milliseconds
from tailrace_gateway.wire import milliseconds

MOST = 10_000
"""So many accounts or destinations are listed; all stand on the first page."""

_V2_ALONE = ("/v2",)


class AccountDefinition(Told):
    """What an account is of."""

    name: str
    type: str
    category: str


class Account(Told):
    """An account: a source of ours, without its secrets."""

    id: str
    name: str
    workspace_id: Annotated[str, Field(alias="workspaceId")]
    definition: AccountDefinition
    options: dict[str, Any]
    created_at: Annotated[Milliseconds, Field(alias="createdAt")]
    updated_at: Annotated[Milliseconds, Field(alias="updatedAt")]


class WholePaging(Told):
    """How many there are; all of them stand on the page."""

    total: Annotated[int, Field(ge=0)]


class Accounts(Told):
    """The accounts of a workspace, oldest first."""

    data: list[Account]
    paging: WholePaging


class RudderDestination(Told):
    """A destination, without its secrets."""

    id: str
    name: str
    type: str
    enabled: bool
    config: dict[str, Any]
    workspace_id: Annotated[str, Field(alias="workspaceId")]
    created_at: Annotated[Milliseconds, Field(alias="createdAt")]
    updated_at: Annotated[Milliseconds, Field(alias="updatedAt")]


class RudderDestinationAnswer(Told):
    """One destination."""

    destination: RudderDestination


class RudderDestinations(Told):
    """The destinations of a workspace, oldest first."""

    destinations: list[RudderDestination]
    paging: WholePaging


class WorkspaceMembers(Told):
    """A workspace."""

    id: str
    name: str
    environment: str
    status: str
    region: str


class WorkspaceAnswer(Told):
    """The workspace of the token."""

    workspace: WorkspaceMembers


class AccountsQuery(Query):
    """Which accounts to list; none has an external id."""

    has_external_id: bool | None = None


async def list_accounts(call: Call[NoBody, AccountsQuery]) -> Answer:
    """The workspace's accounts, oldest first; made and changed as sources under /api/sources."""
    workspace_id = call.identity.workspace_id
    found = await call.stores.connections.list(workspace_id, ConnectionKind.SOURCE, limit=MOST)
    shown = [] if call.query.has_external_id else [_account(stored) for stored in found]
    return Answer({"data": shown, "paging": {"total": len(shown)}})


async def get_account(call: Call[NoBody, NoQuery]) -> Answer:
    """One account."""
    return Answer(_account(await call.connection(ConnectionKind.SOURCE, "account_id")))


async def list_destinations(call: Call[NoBody, NoQuery]) -> Answer:
    """The workspace's destinations, oldest first; made and changed under /api/destinations."""
    workspace_id = call.identity.workspace_id
    found = await call.stores.connections.list(workspace_id, ConnectionKind.DESTINATION, limit=MOST)
    return Answer({"destinations": [_destination(stored) for stored in found], "paging": {"total": len(found)}})


async def get_destination(call: Call[NoBody, NoQuery]) -> Answer:
    """One destination."""
    stored = await call.connection(ConnectionKind.DESTINATION, "destination_id")
    return Answer({"destination": _destination(stored)})


async def get_workspace(call: Call[NoBody, NoQuery]) -> Answer:
    """The workspace that the token belongs to."""
    found = await call.stores.workspaces.get(call.identity.workspace_id)
    members = {"id": found.id, "name": found.name, "environment": "production", "status": "active", "region": ""}
    return Answer({"workspace": members})


RETL_LOOKUPS = (
    Route(
        "GET",
        "/workspace",
        Role.VIEWER,
        get_workspace,
        "Get the workspace of the token",
        operation_id="getTokenWorkspace",
        answer=WorkspaceAnswer,
        prefixes=_V2_ALONE,
    ),
    Route(
        "GET",
        "/accounts",
        Role.VIEWER,
        list_accounts,
        "List accounts",
        operation_id="listAccounts",
        answer=Accounts,
        query=AccountsQuery,
        prefixes=_V2_ALONE,
    ),
    Route(
        "GET",
        "/accounts/{account_id}",
        Role.VIEWER,
        get_account,
        "Get an account",
        operation_id="getAccount",
        answer=Account,
        prefixes=_V2_ALONE,
    ),
    Route(
        "GET",
        "/destinations",
        Role.VIEWER,
        list_destinations,
        "List destinations as RudderStack shows them",
        operation_id="listRudderDestinations",
        answer=RudderDestinations,
        prefixes=_V2_ALONE,
    ),
    Route(
        "GET",
        "/destinations/{destination_id}",
        Role.VIEWER,
        get_destination,
        "Get a destination as RudderStack shows it",
        operation_id="getRudderDestination",
        answer=RudderDestinationAnswer,
        prefixes=_V2_ALONE,
    ),
)


def _account(stored: StoredConnection) -> dict[str, Any]:
    definition = {"name": stored.connector, "type": stored.connector, "category": "source"}
    return {**_members(stored), "definition": definition, "options": stored.settings}


def _destination(stored: StoredConnection) -> dict[str, Any]:
    return {**_members(stored), "type": stored.connector, "enabled": True, "config": stored.settings}


def _members(stored: StoredConnection) -> dict[str, Any]:
    return {
        "id": stored.id,
        "name": stored.name,
        "workspaceId": stored.workspace_id,
        "createdAt": milliseconds(stored.created_at),
        "updatedAt": milliseconds(stored.updated_at),
    }
