"""What the handlers work with, made once for the process."""

from dataclasses import dataclass

from tailrace.connector_kit.http import HttpClient
from tailrace.runtime.service import Chassis
from tailrace.store.connections import Connections
from tailrace.store.database import Database
from tailrace.store.dead_letters import DeadLetters
from tailrace.store.idempotency import Idempotency
from tailrace.store.replays import Replays
from tailrace.store.runs import Runs
from tailrace.store.syncs import Syncs
from tailrace.store.tokens import Tokens
from tailrace_gateway.discovery import Discovery
from tailrace_gateway.paging import Cursors


@dataclass(frozen=True, slots=True)
class Stores:
    """A repository for each noun, and the ways to connectors and cursors."""

    database: Database
    tokens: Tokens
    connections: Connections
    syncs: Syncs
    runs: Runs
    dead_letters: DeadLetters
    replays: Replays
    idempotency: Idempotency
    discovery: Discovery
    cursors: Cursors


def open_stores(chassis: Chassis, http: HttpClient) -> Stores:
    """The stores on the chassis' database."""
    database = chassis.database
    connections, syncs, runs = Connections(database, chassis.box), Syncs(database), Runs(database)
    return Stores(
        database=database,
        tokens=Tokens(database, chassis.box),
        connections=connections,
        syncs=syncs,
        runs=runs,
        dead_letters=DeadLetters(database, chassis.box),
        replays=Replays(runs, syncs),
        idempotency=Idempotency(database),
        discovery=Discovery(connections, http),
        cursors=Cursors(chassis.box, chassis.clock),
    )
