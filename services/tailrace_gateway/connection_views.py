"""Sources and destinations as the management API shows them: never a secret."""

from typing import Any

from tailrace.store.connections import ConnectionKind, StoredConnection
from tailrace_gateway.wire import Item, item, seconds

UNTESTED = "untested"
CONNECTED = "connected"
FAILING = "failing"


def status_of(stored: StoredConnection) -> str:
    """How the last test went; `untested` where there was none since the settings changed."""
    if stored.checked_at is None:
        return UNTESTED
    return CONNECTED if stored.check_code is None else FAILING


def connection_item(stored: StoredConnection) -> Item:
    """A source or destination; destinations also have limits."""
    attributes: dict[str, Any] = {
        "name": stored.name,
        "connector": stored.connector,
        "settings": stored.settings,
        "status": status_of(stored),
        "checked_at": seconds(stored.checked_at),
        "check_code": stored.check_code,
        "created_at": seconds(stored.created_at),
        "updated_at": seconds(stored.updated_at),
    }
    if stored.kind is ConnectionKind.DESTINATION:
        attributes |= {
            "requests_per_second": stored.requests_per_s,
            "max_in_flight": stored.max_in_flight,
        }
    return item(stored.kind, stored.id, attributes)
