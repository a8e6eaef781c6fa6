"""What the handlers work with, made once for the process."""

from dataclasses import dataclass

from tailrace.connector_kit.http import HttpClient
from tailrace.core.ids import WorkspaceId
from tailrace.runtime.service import Chassis
from tailrace.store.audit import Audit
from tailrace.store.connections import Connections
from tailrace.store.database import Connection, Database, Within
from tailrace.store.dead_letters import DeadLetters
from tailrace.store.idempotency import Idempotency
from tailrace.store.isolation import OneWorkspace
from tailrace.store.limits import SharedLimits
from tailrace.store.models import Models
from tailrace.store.previews import Previews
from tailrace.store.replays import Replays
from tailrace.store.runs import Runs
from tailrace.store.secrets import SecretBox
from tailrace.store.snapshot_transfers import SnapshotTransfers
from tailrace.store.standings import Standings
from tailrace.store.sync_links import SyncLinks
from tailrace.store.sync_versions import SyncVersions
from tailrace.store.syncs import Syncs
from tailrace.store.timelines import Timelines
from tailrace.store.tokens import Tokens
from tailrace.store.workspaces import Workspaces
from tailrace_gateway.discovery import Discovery, Shared
from tailrace_gateway.paging import Cursors

STATEMENT_S = 5.0
"""Longest time of a statement that a request needs."""


@dataclass(frozen=True, slots=True)
class Stores:
    """A repository for each noun, and the ways to connectors and cursors.

    `speaks_plain_http` says whether destinations are reached without TLS, too.
    """

    box: SecretBox
    database: Database
    workspaces: Workspaces
    tokens: Tokens
    connections: Connections
    models: Models
    previews: Previews
    syncs: Syncs
    sync_links: SyncLinks
    runs: Runs
    dead_letters: DeadLetters
    replays: Replays
    timelines: Timelines
    standings: Standings
    snapshot_transfers: SnapshotTransfers
    sync_versions: SyncVersions
    limits: SharedLimits
    idempotency: Idempotency
    audit: Audit
    discovery: Discovery
    cursors: Cursors
    speaks_plain_http: bool

    def narrowed(self, workspace_id: WorkspaceId) -> "Stores":
        """The same stores, which see one workspace, and nothing of the others whatever they are asked."""
        database = OneWorkspace(self.database, workspace_id, statement_s=STATEMENT_S)
        discovery = self.discovery.over(Connections(database, self.box))
        return _stores(database, self.box, discovery, self.cursors, speaks_plain_http=self.speaks_plain_http)

    def within(self, connection: Connection) -> "Stores":
        """The same stores, whose every statement belongs to the caller's transaction."""
        inner = Within(connection)
        return _stores(inner, self.box, self.discovery, self.cursors, speaks_plain_http=self.speaks_plain_http)


def open_stores(chassis: Chassis, http: HttpClient) -> Stores:
    """The stores on the chassis' database."""
    database, box, clock = chassis.database, chassis.box, chassis.clock
    discovery = Discovery(Connections(database, box), http, Shared.fresh(clock))
    plain = chassis.settings.allow_private_destinations
    return _stores(database, box, discovery, Cursors(box, clock), speaks_plain_http=plain)


def _stores(
    database: Database, box: SecretBox, discovery: Discovery, cursors: Cursors, *, speaks_plain_http: bool
) -> Stores:
    runs = Runs(database)
    return Stores(
        box=box,
        database=database,
        workspaces=Workspaces(database),
        tokens=Tokens(database, box),
        connections=Connections(database, box),
        models=Models(database),
        previews=Previews(database, box),
        syncs=Syncs(database),
        sync_links=SyncLinks(database),
        runs=runs,
        dead_letters=DeadLetters(database, box),
        replays=Replays(runs),
        timelines=Timelines(database),
        standings=Standings(database),
        snapshot_transfers=SnapshotTransfers(database),
        sync_versions=SyncVersions(database),
        limits=SharedLimits(database),
        idempotency=Idempotency(database, box),
        audit=Audit(database, box),
        discovery=discovery,
        cursors=cursors,
        speaks_plain_http=speaks_plain_http,
    )
