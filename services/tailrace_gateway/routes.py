"""Every operation of the API, in one table: served, guarded and documented from here."""

from tailrace.store.tokens import Role
from tailrace_gateway import (
    connectors_api,
    planasonix_destinations,
    planasonix_dlq,
    planasonix_runs,
    planasonix_syncs,
    rudderstack,
)
from tailrace_gateway.absent_products import ABSENT_PRODUCTS
from tailrace_gateway.answers import (
    Connector,
    DeadLetter,
    DeadLetterStats,
    DeletedSync,
    DestinationObject,
    MappingSuggestion,
    ObjectField,
    ResolvedLetters,
    ReverseEtlDestination,
    Sync,
    SyncBrief,
    ToggledSync,
)
from tailrace_gateway.audit_api import AUDIT
from tailrace_gateway.calls import Route, Section
from tailrace_gateway.connection_routes import DESTINATIONS, SOURCES
from tailrace_gateway.envelopes import Many, One, Page
from tailrace_gateway.job_routes import JOBS
from tailrace_gateway.new_fields_api import NEW_FIELDS
from tailrace_gateway.planasonix_destinations import (
    DestinationsQuery,
    FieldsQuery,
    ObjectsQuery,
    SuggestMappings,
)
from tailrace_gateway.planasonix_dlq import LettersQuery, ResolveLetters, StatsQuery
from tailrace_gateway.planasonix_runs import ConfirmDeletes, RunsQuery, StartRuns
from tailrace_gateway.planasonix_syncs import SyncsQuery, ToggleSync
from tailrace_gateway.retl_routes import RETL_CONNECTIONS, RETL_LOOKUPS, RETL_SOURCES
from tailrace_gateway.rows_api import ROWS
from tailrace_gateway.rudderstack import StartSync
from tailrace_gateway.rudderstack import SyncsQuery as ConnectionSyncsQuery
from tailrace_gateway.run_answers import (
    ConnectionSync,
    ConnectionSyncs,
    QueuedRun,
    QueuedRuns,
    Run,
    RunBrief,
    StartedSync,
)
from tailrace_gateway.snapshots_api import SNAPSHOTS
from tailrace_gateway.sync_bodies import CreateSync, UpdateSync
from tailrace_gateway.timeline_api import TIMELINES
from tailrace_gateway.tokens_api import TOKENS
from tailrace_gateway.trials_api import TRIALS
from tailrace_gateway.versions_api import VERSIONS
from tailrace_gateway.workspaces_api import WORKSPACES

_RETL = "/api/reverse-etl"
_SYNC = f"{_RETL}/syncs/{{sync_id}}"
_CONNECTION = "/retl-connections/{connection_id}"
_RUN = "/api/runs/{run_id}"
_V2 = ("/v2", "")

SYNCS = (
    Route(
        "GET",
        f"{_RETL}/syncs",
        Role.VIEWER,
        planasonix_syncs.list_syncs,
        "List syncs",
        operation_id="listSyncs",
        answer=Page[SyncBrief],
        query=SyncsQuery,
    ),
    Route(
        "POST",
        f"{_RETL}/syncs",
        Role.EDITOR,
        planasonix_syncs.create_sync,
        "Create a sync",
        operation_id="createSync",
        answer=One[Sync],
        body=CreateSync,
        status=201,
        tells_tag=True,
    ),
    Route(
        "GET",
        _SYNC,
        Role.VIEWER,
        planasonix_syncs.get_sync,
        "Get a sync",
        operation_id="getSync",
        answer=One[Sync],
        tells_tag=True,
    ),
    Route(
        "PUT",
        _SYNC,
        Role.EDITOR,
        planasonix_syncs.update_sync,
        "Update a sync",
        operation_id="updateSync",
        answer=One[Sync],
        body=UpdateSync,
        tells_tag=True,
        heeds_tag=True,
    ),
    Route(
        "DELETE",
        _SYNC,
        Role.EDITOR,
        planasonix_syncs.delete_sync,
        "Delete a sync",
        operation_id="deleteSync",
        answer=One[DeletedSync],
        heeds_tag=True,
    ),
    Route(
        "POST",
        f"{_RETL}/sync/toggle",
        Role.EDITOR,
        planasonix_syncs.toggle_sync,
        "Pause a sync or let it go on",
        operation_id="toggleSync",
        answer=One[ToggledSync],
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
        operation_id="startRuns",
        answer=QueuedRuns,
        body=StartRuns,
    ),
    Route(
        "GET",
        f"{_RETL}/runs",
        Role.VIEWER,
        planasonix_runs.list_runs,
        "List runs",
        operation_id="listRuns",
        answer=Page[RunBrief],
        query=RunsQuery,
    ),
    Route(
        "GET",
        _RUN,
        Role.VIEWER,
        planasonix_runs.get_run,
        "Get a run with its books",
        operation_id="getRun",
        answer=One[Run],
    ),
    Route(
        "POST",
        f"{_RUN}/cancel",
        Role.EDITOR,
        planasonix_runs.cancel_run,
        "Ask a run to end",
        operation_id="cancelRun",
        answer=One[Run],
        is_body_optional=True,
    ),
    Route(
        "POST",
        f"{_RUN}/confirm-deletes",
        Role.EDITOR,
        planasonix_runs.confirm,
        "Confirm the deletes that a run was kept from",
        operation_id="confirmDeletes",
        answer=One[QueuedRun],
        body=ConfirmDeletes,
    ),
)
DISCOVERY = (
    Route(
        "GET",
        f"{_RETL}/destinations",
        Role.VIEWER,
        planasonix_destinations.list_destinations,
        "List destinations",
        operation_id="listReverseEtlDestinations",
        answer=Many[ReverseEtlDestination],
        query=DestinationsQuery,
    ),
    Route(
        "GET",
        f"{_RETL}/objects",
        Role.VIEWER,
        planasonix_destinations.list_objects,
        "List the objects of a destination",
        operation_id="listDestinationObjects",
        answer=Many[DestinationObject],
        errors=(424,),
        query=ObjectsQuery,
    ),
    Route(
        "GET",
        f"{_RETL}/fields",
        Role.VIEWER,
        planasonix_destinations.list_fields,
        "List the fields of an object",
        operation_id="listObjectFields",
        answer=Many[ObjectField],
        errors=(424,),
        query=FieldsQuery,
    ),
    Route(
        "POST",
        f"{_RETL}/mapping-suggestions",
        Role.EDITOR,
        planasonix_destinations.suggest_mappings,
        "Suggest which columns become which fields",
        operation_id="suggestMappings",
        answer=Many[MappingSuggestion],
        errors=(424,),
        body=SuggestMappings,
    ),
)
DEAD_LETTERS = (
    Route(
        "GET",
        f"{_RETL}/dlq",
        Role.VIEWER,
        planasonix_dlq.list_letters,
        "List dead letters",
        operation_id="listDeadLetters",
        answer=Page[DeadLetter],
        query=LettersQuery,
    ),
    Route(
        "GET",
        f"{_RETL}/dlq/stats",
        Role.VIEWER,
        planasonix_dlq.letter_stats,
        "Count dead letters",
        operation_id="countDeadLetters",
        answer=One[DeadLetterStats],
        query=StatsQuery,
    ),
    Route(
        "POST",
        f"{_RETL}/dlq/resolve",
        Role.EDITOR,
        planasonix_dlq.resolve_letters,
        "Resolve dead letters",
        operation_id="resolveDeadLetters",
        answer=One[ResolvedLetters],
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
        operation_id="startConnectionSync",
        answer=StartedSync,
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
        operation_id="listConnectionSyncs",
        answer=ConnectionSyncs,
        query=ConnectionSyncsQuery,
        prefixes=_V2,
    ),
    Route(
        "GET",
        f"{_CONNECTION}/syncs/{{run_id}}",
        Role.VIEWER,
        rudderstack.get_sync,
        "Get a sync of a connection",
        operation_id="getConnectionSync",
        answer=ConnectionSync,
        prefixes=_V2,
    ),
    Route(
        "POST",
        f"{_CONNECTION}/stop",
        Role.EDITOR,
        rudderstack.stop_sync,
        "Stop the sync of a connection",
        operation_id="stopConnectionSync",
        answer=None,
        status=204,
        prefixes=_V2,
        is_body_optional=True,
    ),
)
CONNECTORS = (
    Route(
        "GET",
        "/api/connectors",
        Role.VIEWER,
        connectors_api.list_connectors,
        "List connectors",
        operation_id="listConnectors",
        answer=Many[Connector],
    ),
)


SECTIONS = (
    Section("Syncs", "Planasonix contract: what is sent, from where to where, and when.", SYNCS),
    Section("Runs", "Planasonix contract: runs, started and followed. Beside it: one run with its books.", RUNS),
    Section("Versions", "What a sync was before, going back to it, and pausing.", VERSIONS),
    Section("Trials", "What a run would do, and what the destination says of one row.", TRIALS),
    Section(
        "Histories",
        "What happened to a run and to a single row, and what is happening.",
        (*TIMELINES, *ROWS, *SNAPSHOTS),
    ),
    Section("Discovery", "Planasonix contract: what destinations take, asked from them live.", DISCOVERY),
    Section("Dead letters", "Planasonix contract: rows that were not taken, each with its reason.", DEAD_LETTERS),
    Section("Connections", "RudderStack contract: its connection is a sync, its sync a run.", RUDDERSTACK),
    Section(
        "Connections defined",
        "What RudderStack's command line and Terraform provider speak: a source is a query or a table under a name, a"
        " connection is a sync that reads it.",
        (*RETL_SOURCES, *RETL_CONNECTIONS, *RETL_LOOKUPS, *ABSENT_PRODUCTS),
    ),
    Section("Jobs", "What Planasonix' Airflow package speaks: its connection is a sync, its job a run.", JOBS),
    Section("Connectors", "What sources and destinations can be made of.", CONNECTORS),
    Section("Sources", "Warehouses that queries run in.", SOURCES),
    Section("Destinations", "What rows are written to.", (*DESTINATIONS, *NEW_FIELDS)),
    Section("Workspaces", "The tenants that everything belongs to.", WORKSPACES),
    Section("Tokens", "Who may call: the tokens of the caller's workspace.", TOKENS),
    Section("Audit", "Who changed what: a chain of records that shows when one is altered or gone.", AUDIT),
)
ROUTES: tuple[Route, ...] = tuple(route for section in SECTIONS for route in section.routes)
