"""`tailrace workspace` and `tailrace token`: the first tenant and the first way in, made beside the API."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from tailrace.cli.deeds import a_deed, record
from tailrace.cli.work import AsJson, answer, do, open_store
from tailrace.core.faults import said
from tailrace.core.ids import WorkspaceId
from tailrace.core.names import Name
from tailrace.runtime.settings import Settings, StoreSettings
from tailrace.store.database import Within
from tailrace.store.tokens import NewToken, Role, Token, Tokens
from tailrace.store.workspaces import Workspace, Workspaces

_NAME: TypeAdapter[str] = TypeAdapter(Name)


def workspaces() -> typer.Typer:
    """The commands under `tailrace workspace`."""
    command = typer.Typer(help="Workspaces, the tenants of an installation.", no_args_is_help=True)
    command.command("create")(_create_workspace)
    command.command("list")(_list_workspaces)
    return command


def tokens() -> typer.Typer:
    """The commands under `tailrace token`."""
    command = typer.Typer(help="API tokens.", no_args_is_help=True)
    command.command("create")(_create_token)
    return command


def _fit(name: str) -> str:
    """The name as the API takes it too."""
    try:
        return _NAME.validate_python(name)
    except ValidationError as error:
        raise typer.BadParameter("; ".join(map(said, error.errors(include_input=False)))) from None


def _create_workspace(
    name: Annotated[str, typer.Argument(help="Its name for people.", callback=_fit)], *, as_json: AsJson = False
) -> None:
    """Make a workspace and print its id."""

    async def create(settings: Settings) -> Workspace:
        async with open_store(settings) as database:
            box = settings.secret_box()
            async with database.transaction() as connection:
                new = await Workspaces(Within(connection)).create(name)
                await record(connection, box, a_deed(new.id, "createWorkspace", new.id, after={"name": name}))
            return new

    made = do(Settings, create)
    answer(asdict(made), as_json=as_json, text=made.id)


def _list_workspaces(*, as_json: AsJson = False) -> None:
    """Print the workspaces, the oldest first."""

    async def found(settings: StoreSettings) -> Sequence[Workspace]:
        async with open_store(settings) as database:
            return await Workspaces(database).list()

    known = do(StoreSettings, found)
    lines = [f"{workspace.id}  {workspace.name}" for workspace in known]
    answer({"workspaces": [asdict(workspace) for workspace in known]}, as_json=as_json, text="\n".join(lines))


def _create_token(
    workspace: Annotated[str, typer.Option(help="Id of the workspace that it opens.")],
    *,
    name: Annotated[str, typer.Option(help="What it is for.")] = "made by the CLI",
    role: Annotated[Role, typer.Option(help="What it may do.")] = Role.ADMIN,
    days: Annotated[int, typer.Option(help="Days until it expires; 0 is never.", min=0, max=3650)] = 0,
    as_json: AsJson = False,
) -> None:
    """Make an API token and print it, this once."""
    expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
    new = NewToken(WorkspaceId(workspace), name, role, expires_at)

    async def create(settings: Settings) -> tuple[Token, str]:
        async with open_store(settings) as database:
            box = settings.secret_box()
            async with database.transaction() as connection:
                token, text = await Tokens(Within(connection), box).create(new)
                after = {"name": name, "role": role, "expires_at": expires_at}
                await record(connection, box, a_deed(new.workspace_id, "createToken", token.id, after=after))
            return token, text

    made, text = do(Settings, create)
    answer({**asdict(made), "token": text}, as_json=as_json, text=text)
