"""Which state of a thing a caller has seen, so that nobody overwrites what he has not."""

from collections.abc import Collection
from datetime import datetime
from typing import TypeAlias

from tailrace.core.errors import Stale

OnlyIf: TypeAlias = Collection[str] | None
"""The revisions that a change may replace; None is any."""


def revision(updated_at: datetime) -> str:
    """The name of the state that a thing has had since that moment."""
    return f"{round(updated_at.timestamp() * 1_000_000):x}"


def require_revision(updated_at: datetime, only_if: OnlyIf) -> None:
    """Return if the thing, locked by the caller, is in a state that may be replaced.

    :raises Stale: it is in another one.
    """
    if only_if is not None and revision(updated_at) not in only_if:
        raise Stale("it has changed since you read it: get it again, and repeat the change on what it is now")
