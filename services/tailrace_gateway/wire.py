"""How things look on the wire: envelopes, times."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

Item = dict[str, Any]


def seconds(moment: datetime | None) -> str | None:
    """The moment in UTC to the second, as the Planasonix contract writes it."""
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def milliseconds(moment: datetime | None) -> str | None:
    """The moment in UTC to the millisecond, as the RudderStack contract writes it."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def item(kind: str, item_id: str | None, attributes: Mapping[str, Any]) -> Item:
    """A thing in its envelope; some have no id."""
    named = {} if item_id is None else {"id": item_id}
    return {**named, "type": kind, "attributes": dict(attributes)}


def one(thing: Item) -> dict[str, Any]:
    """An answer that holds one thing."""
    return {"data": thing}


def page(things: Sequence[Item], *, limit: int, cursor: str | None) -> dict[str, Any]:
    """An answer that holds a page of things; `cursor` is null on the last one."""
    return {"data": list(things), "meta": {"page": {"limit": limit, "cursor": cursor}}}
