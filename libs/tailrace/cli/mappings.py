"""`tailrace mapping`: which columns are meant for which fields, and a field that is not there yet."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from tailrace.cli.deeds import a_deed, record
from tailrace.cli.work import AsJson, answer, do, open_store
from tailrace.connector_kit.capabilities import MakesFields, NewField
from tailrace.connector_kit.destination import Destination, Field
from tailrace.connector_kit.field_kinds import FieldKind
from tailrace.core.errors import Invalid, Unavailable
from tailrace.core.ids import WorkspaceId
from tailrace.core.rows import Column
from tailrace.mapping.suggestions import Suggestion, suggest
from tailrace.runtime.ends import open_destination, open_warehouse
from tailrace.runtime.http import AiohttpClient
from tailrace.runtime.settings import Settings
from tailrace.store.connections import ConnectionKind, Connections
from tailrace.store.database import Database
from tailrace.store.secrets import SecretBox

_ASK_S = 30.0

_Workspace = Annotated[str, typer.Option(help="Id of the workspace that both belong to.")]
_Destination = Annotated[str, typer.Option(help="Id of the destination.")]
_Object = Annotated[str, typer.Option("--object", help="Name of the object there.")]


def mappings() -> typer.Typer:
    """The commands under `tailrace mapping`."""
    command = typer.Typer(help="Which columns become which fields.", no_args_is_help=True)
    command.command("suggest")(_suggest)
    command.command("ensure-field")(_ensure_field)
    return command


def _suggest(  # noqa: PLR0913 - an option each
    workspace: _Workspace,
    source: Annotated[str, typer.Option(help="Id of the source.")],
    query: Annotated[str, typer.Option(help="The query, of which only the columns are asked for.")],
    destination: _Destination,
    object_name: _Object,
    *,
    as_json: AsJson = False,
) -> None:
    """Print which columns of a query are likely meant for which fields, the likeliest first."""

    async def find(settings: Settings) -> Sequence[Suggestion]:
        async with _opened(settings, WorkspaceId(workspace)) as desk:
            async with asyncio.timeout(_ASK_S):
                fields = await desk.fields(destination, object_name)
            async with asyncio.timeout(_ASK_S):
                return suggest(await desk.columns(source, query), fields)

    found = do(Settings, find)
    lines = [
        f"{each.source} -> {each.destination}  {each.score:.2f}{'  converted' if each.is_converted else ''}"
        for each in found
    ]
    answer({"suggestions": [asdict(each) for each in found]}, as_json=as_json, text="\n".join(lines))


def _ensure_field(  # noqa: PLR0913 - an option each
    workspace: _Workspace,
    destination: _Destination,
    object_name: _Object,
    name: Annotated[str, typer.Option(help="The field's name.")],
    kind: Annotated[FieldKind, typer.Option(help="What it holds.")],
    *,
    label: Annotated[str, typer.Option(help="Its name for people, if it is another.")] = "",
    as_json: AsJson = False,
) -> None:
    """Have a field at a destination: made if it was not there, else left as it is."""

    async def ensure(settings: Settings) -> Field:
        async with _opened(settings, WorkspaceId(workspace)) as desk, asyncio.timeout(_ASK_S):
            return await desk.ensure_field(destination, object_name, NewField(name, label, kind))

    made = do(Settings, ensure)
    answer(asdict(made), as_json=as_json, text=f"{made.name}: {made.data_type}")


@dataclass(frozen=True, slots=True)
class _Desk:
    """Asks the sources and destinations of a workspace."""

    workspace_id: WorkspaceId
    database: Database
    box: SecretBox
    connections: Connections
    http: AiohttpClient

    async def fields(self, destination_id: str, object_name: str) -> Sequence[Field]:
        async with self._destination(destination_id) as destination:
            return await destination.fields(object_name)

    async def columns(self, source_id: str, query: str) -> Sequence[Column]:
        stored = await self.connections.get(self.workspace_id, source_id, kind=ConnectionKind.SOURCE)
        async with open_warehouse(stored, self.connections, self.http) as warehouse:
            return await warehouse.columns(query)

    async def ensure_field(self, destination_id: str, object_name: str, field: NewField) -> Field:
        async with self._destination(destination_id) as destination:
            if not isinstance(destination, MakesFields):
                raise Invalid(f"{destination.label} makes no fields: make it there")
            made = await destination.ensure_field(object_name, field)
        after = {"objectName": object_name, "field": made.name, "kind": field.kind}
        async with self.database.transaction() as connection:
            await record(connection, self.box, a_deed(self.workspace_id, "ensureField", destination_id, after=after))
        return made

    @asynccontextmanager
    async def _destination(self, destination_id: str) -> AsyncIterator[Destination]:
        stored = await self.connections.get(self.workspace_id, destination_id, kind=ConnectionKind.DESTINATION)
        async with open_destination(stored, self.connections, self.http) as destination:
            yield destination


@asynccontextmanager
async def _opened(settings: Settings, workspace_id: WorkspaceId) -> AsyncIterator[_Desk]:
    async with (
        open_store(settings) as database,
        AiohttpClient.open(allow_private=settings.allow_private_destinations) as http,
    ):
        box = settings.secret_box()
        try:
            yield _Desk(workspace_id, database, box, Connections(database, box), http)
        except TimeoutError as error:
            raise Unavailable(f"no answer within {_ASK_S:g} s") from error
