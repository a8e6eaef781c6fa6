"""The operations on sources and destinations, which differ in little but their nouns."""

from dataclasses import dataclass

from pydantic import BaseModel

from tailrace.store.connections import ConnectionKind
from tailrace.store.tokens import Role
from tailrace_gateway import connections_api as api
from tailrace_gateway.answers import ConnectionTest, DeletedDestination, DeletedSource, Destination, Source
from tailrace_gateway.calls import Route
from tailrace_gateway.connections_api import (
    ConnectionsQuery,
    CreateDestination,
    CreateSource,
    UpdateDestination,
    UpdateSource,
)
from tailrace_gateway.envelopes import One, Page


@dataclass(frozen=True, slots=True)
class _Connections:
    """What the operations on sources and those on destinations differ in."""

    kind: ConnectionKind
    path: str
    create: type[CreateSource]
    update: type[UpdateSource]
    shown: type[BaseModel]
    listed: type[BaseModel]
    deleted: type[BaseModel]


_SOURCES = _Connections(
    ConnectionKind.SOURCE, "/api/sources", CreateSource, UpdateSource, One[Source], Page[Source], One[DeletedSource]
)
_DESTINATIONS = _Connections(
    ConnectionKind.DESTINATION,
    "/api/destinations",
    CreateDestination,
    UpdateDestination,
    One[Destination],
    Page[Destination],
    One[DeletedDestination],
)


def _looks(these: _Connections) -> tuple[Route, ...]:
    """What changes nothing."""
    kind, noun, one = these.kind, str(these.kind).capitalize(), f"{these.path}/{{connection_id}}"
    return (
        Route(
            "GET",
            these.path,
            Role.VIEWER,
            api.list_all(kind),
            f"List {kind}s",
            operation_id=f"list{noun}s",
            answer=these.listed,
            query=ConnectionsQuery,
            about=api.list_all.__doc__,
        ),
        Route(
            "GET",
            one,
            Role.VIEWER,
            api.get(kind),
            f"Get a {kind}",
            operation_id=f"get{noun}",
            answer=these.shown,
            about=api.get.__doc__,
            tells_tag=True,
        ),
        Route(
            "POST",
            one + "/test",
            Role.EDITOR,
            api.test(kind),
            f"Test a {kind}",
            operation_id=f"test{noun}",
            answer=One[ConnectionTest],
            is_body_optional=True,
            about=api.test.__doc__,
        ),
    )


def _changes(these: _Connections) -> tuple[Route, ...]:
    """What only admins may do."""
    kind, noun, one = these.kind, str(these.kind).capitalize(), f"{these.path}/{{connection_id}}"
    return (
        Route(
            "POST",
            these.path,
            Role.ADMIN,
            api.create(kind),
            f"Create a {kind}",
            operation_id=f"create{noun}",
            answer=these.shown,
            body=these.create,
            status=201,
            about=api.create.__doc__,
            tells_tag=True,
        ),
        Route(
            "PUT",
            one,
            Role.ADMIN,
            api.update(kind),
            f"Update a {kind}",
            operation_id=f"update{noun}",
            answer=these.shown,
            body=these.update,
            about=api.update.__doc__,
            tells_tag=True,
            heeds_tag=True,
        ),
        Route(
            "DELETE",
            one,
            Role.ADMIN,
            api.delete(kind),
            f"Delete a {kind}",
            operation_id=f"delete{noun}",
            answer=these.deleted,
            errors=(409,),
            about=api.delete.__doc__,
            heeds_tag=True,
        ),
    )


SOURCES = (*_looks(_SOURCES), *_changes(_SOURCES))
DESTINATIONS = (*_looks(_DESTINATIONS), *_changes(_DESTINATIONS))
