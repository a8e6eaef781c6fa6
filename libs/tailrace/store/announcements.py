"""What an open transaction has announced in the outbox, to be told of once it has committed."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_announced: ContextVar[set[int] | None] = ContextVar("announced", default=None)


def announce(shards: Iterable[int]) -> None:
    """Note the shards of the outbox that the caller's transaction has written to; outside of one, nobody is told."""
    noted = _announced.get()
    if noted is not None:
        noted.update(shards)


@contextmanager
def announced() -> Iterator[Collection[int]]:
    """The shards that are noted in this scope."""
    noted: set[int] = set()
    token = _announced.set(noted)
    try:
        yield noted
    finally:
        _announced.reset(token)
