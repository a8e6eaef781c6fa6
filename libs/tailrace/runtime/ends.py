"""Opens stored connections as what they are to a sync: the warehouse at one end, the destination at the other."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from tailrace.connector_kit import registry
from tailrace.connector_kit.destination import Destination
from tailrace.connector_kit.http import HttpClient
from tailrace.connector_kit.keeping import kept_by
from tailrace.connector_kit.warehouse import Warehouse
from tailrace.connector_kit.way_out import going_out_by
from tailrace.runtime.keepers import ConnectionKeeper
from tailrace.store.connections import Connections, StoredConnection


@asynccontextmanager
async def open_warehouse(
    stored: StoredConnection, connections: Connections, http: HttpClient
) -> AsyncIterator[Warehouse]:
    """The warehouse of a source for as long as the scope lasts.

    :raises Invalid, Unavailable: its settings do not work, or it does not answer.
    """
    _, raw = await connections.open_settings(stored.id)
    connector = registry.warehouse_type(stored.connector)
    settings = registry.validate_settings(connector.settings_type, raw)
    async with AsyncExitStack() as stack:
        # Only while it opens: what is set for a scope must not be left in another task.
        with going_out_by(http):
            warehouse = await stack.enter_async_context(connector.open(settings))
        yield warehouse


@asynccontextmanager
async def open_destination(
    stored: StoredConnection, connections: Connections, http: HttpClient
) -> AsyncIterator[Destination]:
    """The destination for as long as the scope lasts; what its vendor renews of its secrets is kept.

    :raises Invalid, Unavailable, InDoubt: its settings do not work, or it does not answer.
    """
    _, raw = await connections.open_settings(stored.id)
    connector = registry.destination_type(stored.connector)
    settings = registry.validate_settings(connector.settings_type, raw)
    async with AsyncExitStack() as stack:
        # Only while it opens: what is set for a scope must not be left in another task.
        with kept_by(ConnectionKeeper(connections, stored.id)):
            destination = await stack.enter_async_context(connector.open(settings, http))
        yield destination
