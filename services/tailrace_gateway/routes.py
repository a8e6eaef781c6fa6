"""Every operation of the API, in one table: served, guarded and documented from here."""

from tailrace_gateway.absent_products import ABSENT_PRODUCTS
from tailrace_gateway.accounts_api import RETL_LOOKUPS
from tailrace_gateway.audit_api import AUDIT
from tailrace_gateway.calls import Route, Section
from tailrace_gateway.connection_routes import DESTINATIONS, SOURCES
from tailrace_gateway.connectors_api import CONNECTORS
from tailrace_gateway.jobs_api import JOBS
from tailrace_gateway.new_fields_api import NEW_FIELDS
from tailrace_gateway.planasonix_destinations import DISCOVERY
from tailrace_gateway.planasonix_dlq import DEAD_LETTERS
from tailrace_gateway.planasonix_runs import RUNS
from tailrace_gateway.planasonix_syncs import SYNCS
from tailrace_gateway.previews_api import PREVIEWS
from tailrace_gateway.retl_connections_api import RETL_CONNECTIONS
from tailrace_gateway.retl_sources_api import RETL_SOURCES
from tailrace_gateway.rows_api import ROWS
from tailrace_gateway.rudderstack import RUDDERSTACK
from tailrace_gateway.snapshots_api import SNAPSHOTS
from tailrace_gateway.timeline_api import TIMELINES
from tailrace_gateway.tokens_api import TOKENS
from tailrace_gateway.trials_api import TRIALS
from tailrace_gateway.versions_api import VERSIONS
from tailrace_gateway.workspaces_api import WORKSPACES

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
        (*RETL_SOURCES, *PREVIEWS, *RETL_CONNECTIONS, *RETL_LOOKUPS, *ABSENT_PRODUCTS),
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
