"""Every operation of the API, in one table: served, guarded and documented from here."""

from tailrace.store.connections import ConnectionKind
from tailrace.store.tokens import Role
from tailrace_gateway import (
    connections_api,
    connectors_api,
    planasonix_destinations,
    planasonix_dlq,
    planasonix_runs,
    planasonix_syncs,
    rudderstack,
)
from tailrace_gateway.calls import Route
from tailrace_gateway.connections_api import (
    ConnectionsQuery,
    CreateDestination,
    CreateSource,
    UpdateDestination,
    UpdateSource,
)
from tailrace_gateway.planasonix_destinations import DestinationsQuery, FieldsQuery, ObjectsQuery
from tailrace_gateway.planasonix_dlq import LettersQuery, ResolveLetters, StatsQuery
from tailrace_gateway.planasonix_runs import RunsQuery, StartRuns
from tailrace_gateway.planasonix_syncs import SyncsQuery, ToggleSync
from tailrace_gateway.rudderstack import StartSync
from tailrace_gateway.rudderstack import SyncsQuery as ConnectionSyncsQuery
from tailrace_gateway.sync_bodies import CreateSync, UpdateSync

_RETL = "/api/reverse-etl"
_SYNC = f"{_RETL}/syncs/{{sync_id}}"
_CONNECTION = "/retl-connections/{connection_id}"
_RUN = "/api/runs/{run_id}"
_V2 = ("/v2", "")

SYNCS = (
    Route("GET", f"{_RETL}/syncs", Role.VIEWER, planasonix_syncs.list_syncs, "List syncs", query=SyncsQuery),
    Route(
        "POST",
        f"{_RETL}/syncs",
        Role.EDITOR,
        planasonix_syncs.create_sync,
        "Create a sync",
        body=CreateSync,
        status=201,
    ),
    Route("GET", _SYNC, Role.VIEWER, planasonix_syncs.get_sync, "Get a sync"),
    Route("PUT", _SYNC, Role.EDITOR, planasonix_syncs.update_sync, "Update a sync", body=UpdateSync),
    Route("DELETE", _SYNC, Role.EDITOR, planasonix_syncs.delete_sync, "Delete a sync"),
    Route(
        "POST",
        f"{_RETL}/sync/toggle",
        Role.EDITOR,
        planasonix_syncs.toggle_sync,
        "Pause a sync or let it go on",
        body=ToggleSync,
    ),
)
RUNS = (
    Route(
        "POST",
        f"{_RETL}/sync/run",
        Role.EDITOR,
        planasonix_runs.start_runs,
        "Start runs",
        body=StartRuns,
    ),
    Route("GET", f"{_RETL}/runs", Role.VIEWER, planasonix_runs.list_runs, "List runs", query=RunsQuery),
    Route("GET", _RUN, Role.VIEWER, planasonix_runs.get_run, "Get a run with its books"),
    Route(
        "POST",
        f"{_RUN}/cancel",
        Role.EDITOR,
        planasonix_runs.cancel_run,
        "Ask a run to end",
        is_body_optional=True,
    ),
)
DESTINATIONS = (
    Route(
        "GET",
        f"{_RETL}/destinations",
        Role.VIEWER,
        planasonix_destinations.list_destinations,
        "List destinations",
        query=DestinationsQuery,
    ),
    Route(
        "GET",
        f"{_RETL}/objects",
        Role.VIEWER,
        planasonix_destinations.list_objects,
        "List the objects of a destination",
        query=ObjectsQuery,
    ),
    Route(
        "GET",
        f"{_RETL}/fields",
        Role.VIEWER,
        planasonix_destinations.list_fields,
        "List the fields of an object",
        query=FieldsQuery,
    ),
)
DEAD_LETTERS = (
    Route("GET", f"{_RETL}/dlq", Role.VIEWER, planasonix_dlq.list_letters, "List dead letters", query=LettersQuery),
    Route(
        "GET",
        f"{_RETL}/dlq/stats",
        Role.VIEWER,
        planasonix_dlq.letter_stats,
        "Count dead letters",
        query=StatsQuery,
    ),
    Route(
        "POST",
        f"{_RETL}/dlq/resolve",
        Role.EDITOR,
        planasonix_dlq.resolve_letters,
        "Resolve dead letters",
        body=ResolveLetters,
    ),
)
RUDDERSTACK = (
    Route(
        "POST",
        f"{_CONNECTION}/start",
        Role.EDITOR,
        rudderstack.start_sync,
        "Start a sync of a connection",
        body=StartSync,
        prefixes=_V2,
        is_body_optional=True,
    ),
    Route(
        "GET",
        f"{_CONNECTION}/syncs",
        Role.VIEWER,
        rudderstack.list_syncs,
        "List the syncs of a connection",
        query=ConnectionSyncsQuery,
        prefixes=_V2,
    ),
    Route(
        "GET",
        f"{_CONNECTION}/syncs/{{run_id}}",
        Role.VIEWER,
        rudderstack.get_sync,
        "Get a sync of a connection",
        prefixes=_V2,
    ),
    Route(
        "POST",
        f"{_CONNECTION}/stop",
        Role.EDITOR,
        rudderstack.stop_sync,
        "Stop the sync of a connection",
        status=204,
        prefixes=_V2,
        is_body_optional=True,
    ),
)
CONNECTORS = (Route("GET", "/api/connectors", Role.VIEWER, connectors_api.list_connectors, "List connectors"),)


def _connection_routes(
    kind: ConnectionKind, path: str, body: type[CreateSource], change: type[UpdateSource]
) -> tuple[Route, ...]:
    one = f"{path}/{{connection_id}}"
    api = connections_api
    return (
        Route("GET", path, Role.VIEWER, api.list_all(kind), f"List {kind}s", query=ConnectionsQuery),
        Route("POST", path, Role.ADMIN, api.create(kind), f"Create a {kind}", body=body, status=201),
        Route("GET", one, Role.VIEWER, api.get(kind), f"Get a {kind}"),
        Route("PUT", one, Role.ADMIN, api.update(kind), f"Update a {kind}", body=change),
        Route("DELETE", one, Role.ADMIN, api.delete(kind), f"Delete a {kind}"),
        Route("POST", f"{one}/test", Role.EDITOR, api.test(kind), f"Test a {kind}", is_body_optional=True),
    )


ROUTES: tuple[Route, ...] = (
    *SYNCS,
    *RUNS,
    *DESTINATIONS,
    *DEAD_LETTERS,
    *RUDDERSTACK,
    *CONNECTORS,
    *_connection_routes(ConnectionKind.SOURCE, "/api/sources", CreateSource, UpdateSource),
    *_connection_routes(ConnectionKind.DESTINATION, "/api/destinations", CreateDestination, UpdateDestination),
)
