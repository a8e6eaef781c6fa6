"""Credentials that change by use: a vendor that rotates refresh tokens gives a new one with each access token."""

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol


@dataclass(slots=True)
class Grant:
    """The refresh token that is good next, and the access token that came last; `until` in seconds since 1970."""

    refresh_token: str
    access_token: str = ""
    until: float = 0.0
    base_url: str = ""


class Keeper(Protocol):
    """Keeps the grant of one connection for all processes."""

    def alone(self) -> AbstractAsyncContextManager[Grant]:
        """The grant, with nobody else at it while the scope lasts; what is changed in it by then is kept.

        A process that dies inside may take a new refresh token with it.
        """
        ...


_keeper: ContextVar[Keeper | None] = ContextVar("keeper", default=None)


@contextmanager
def kept_by(keeper: Keeper) -> Iterator[None]:
    """Let destinations that are opened inside keep their grants there."""
    outer = _keeper.set(keeper)
    try:
        yield
    finally:
        _keeper.reset(outer)


def current_keeper() -> Keeper | None:
    """Who keeps the grants of the connection that is being opened; None where nobody does."""
    return _keeper.get()
