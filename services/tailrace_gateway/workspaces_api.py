"""Management: workspaces. Each token sees its own; the platform's token makes and lists all."""

from typing import Literal, TypeAlias

from tailrace.core.errors import NotFound
from tailrace.core.ids import WorkspaceId
from tailrace.core.names import Name
from tailrace.store.audit import Deed
from tailrace.store.database import Connection
from tailrace.store.tokens import NewToken, Role
from tailrace.store.workspaces import Workspace
from tailrace_gateway.auth import PLATFORM
from tailrace_gateway.calls import Answer, AnyCall, Audience, Call, Change, Route
from tailrace_gateway.conditions import tag
from tailrace_gateway.envelopes import Item, One, Page, Seconds, Told
from tailrace_gateway.listings import paged
from tailrace_gateway.models import Body, NoBody, NoQuery
from tailrace_gateway.paging import PagedQuery
from tailrace_gateway.recording import in_transaction
from tailrace_gateway.repeats import once_by_key
from tailrace_gateway.wire import Item as Shown
from tailrace_gateway.wire import item, one, page, seconds

_PATH = "/api/workspaces"
_ONE = f"{_PATH}/{{workspace_id}}"
_FIRST = "first admin"


class NameWorkspace(Body):
    """A workspace's name for people."""

    name: Name


class WorkspaceAttributes(Told):
    """A workspace: everything belongs to one."""

    name: str
    created_at: Seconds
    updated_at: Seconds


class NewWorkspaceAttributes(WorkspaceAttributes):
    """A workspace that was made, with its first token, an admin's, which is shown this once."""

    token_id: str
    token: str


_Workspace: TypeAlias = Item[Literal["workspace"], WorkspaceAttributes]
_New: TypeAlias = Item[Literal["workspace"], NewWorkspaceAttributes]


async def create_workspace(call: Call[NameWorkspace, NoQuery]) -> Answer:
    """A new workspace and its first token. Needs the platform's token: the setting TAILRACE_PLATFORM_TOKEN.

    Without that setting, `tailrace workspace create` and `tailrace token create` do the same beside the API.
    """

    async def act(connection: Connection) -> Answer:
        stores = call.stores.within(connection)
        made = await stores.workspaces.create(call.body.name)
        token, text = await stores.tokens.create(NewToken(made.id, _FIRST, Role.ADMIN))
        deed = Deed(made.id, call.identity.name, call.address, call.action, made.id, None, {"name": made.name})
        await stores.audit.append(connection, deed)
        shown = _shown(made)
        shown["attributes"] |= {"token_id": token.id, "token": text}
        return Answer(one(shown), 201, tag(made.updated_at))

    return await once_by_key(call, act)


async def list_workspaces(call: Call[NoBody, PagedQuery]) -> Answer:
    """The caller's workspace; with the platform's token all of them, oldest first."""
    workspaces = call.stores.workspaces
    if call.identity.workspace_id != PLATFORM.workspace_id:
        mine = [await workspaces.get(call.identity.workspace_id)]
        return Answer(page([_shown(each) for each in mine], limit=call.query.limit, cursor=None))
    return Answer(
        await paged(call, "workspaces", workspaces.list, place=lambda each: (each.created_at, each.id), shown=_shown)
    )


async def get_workspace(call: Call[NoBody, NoQuery]) -> Answer:
    """The caller's workspace."""
    found = await call.stores.workspaces.get(_own(call))
    return Answer(one(_shown(found)), headers=tag(found.updated_at))


async def rename_workspace(call: Call[NameWorkspace, NoQuery]) -> Answer:
    """Give the caller's workspace another name."""
    workspace_id = _own(call)

    async def act(connection: Connection) -> Answer:
        workspaces = call.stores.within(connection).workspaces
        old = await workspaces.get(workspace_id)
        new = await workspaces.rename(workspace_id, call.body.name, only_if=call.only_if)
        change = Change(workspace_id, {"name": old.name}, {"name": new.name})
        return Answer(one(_shown(new)), headers=tag(new.updated_at), change=change)

    return await in_transaction(call, act)


WORKSPACES = (
    Route(
        "POST",
        _PATH,
        Role.ADMIN,
        create_workspace,
        "Create a workspace",
        operation_id="createWorkspace",
        answer=One[_New],
        body=NameWorkspace,
        status=201,
        audience=Audience.PLATFORM,
        tells_tag=True,
    ),
    Route(
        "GET",
        _PATH,
        Role.VIEWER,
        list_workspaces,
        "List workspaces",
        operation_id="listWorkspaces",
        answer=Page[_Workspace],
        query=PagedQuery,
        audience=Audience.BOTH,
    ),
    Route(
        "GET",
        _ONE,
        Role.VIEWER,
        get_workspace,
        "Get a workspace",
        operation_id="getWorkspace",
        answer=One[_Workspace],
        tells_tag=True,
    ),
    Route(
        "PUT",
        _ONE,
        Role.ADMIN,
        rename_workspace,
        "Rename a workspace",
        operation_id="renameWorkspace",
        answer=One[_Workspace],
        body=NameWorkspace,
        tells_tag=True,
        heeds_tag=True,
    ),
)


def _own(call: AnyCall) -> WorkspaceId:
    if call.path["workspace_id"] != call.identity.workspace_id:
        raise NotFound("no such workspace", code="WORKSPACE_NOT_FOUND")
    return call.identity.workspace_id


def _shown(workspace: Workspace) -> Shown:
    attributes = {
        "name": workspace.name,
        "created_at": seconds(workspace.created_at),
        "updated_at": seconds(workspace.updated_at),
    }
    return item("workspace", workspace.id, attributes)
