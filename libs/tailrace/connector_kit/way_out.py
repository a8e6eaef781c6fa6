"""How a warehouse that speaks HTTP gets out: by the client of its process, which keeps to what may be reached."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from tailrace.connector_kit.http import HttpClient

_client: ContextVar[HttpClient | None] = ContextVar("way_out", default=None)


@contextmanager
def going_out_by(http: HttpClient) -> Iterator[None]:
    """Let warehouses that are opened inside send their requests by this client."""
    outer = _client.set(http)
    try:
        yield
    finally:
        _client.reset(outer)


def way_out() -> HttpClient:
    """The client for the warehouse that is being opened.

    :raises RuntimeError: nobody gave one.
    """
    client = _client.get()
    if client is None:
        raise RuntimeError("a warehouse that speaks HTTP is opened inside of going_out_by")
    return client
