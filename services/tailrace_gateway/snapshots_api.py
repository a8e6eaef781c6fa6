"""Management: how much is known of the rows that a sync delivered."""

from typing import Literal, TypeAlias

from tailrace.store.tokens import Role
from tailrace_gateway.calls import Answer, Call, Route
from tailrace_gateway.envelopes import Count, Item, One, Seconds, Told
from tailrace_gateway.models import NoBody, NoQuery
from tailrace_gateway.wire import item, one, seconds


class SnapshotAttributes(Told):
    """How many rows are known, and what that takes in the state store.

    `kept_by` is the source whose warehouse has a table of them, null where the state store has them; `delivered` and
    `leaving` are null in a warehouse, where they are counted by a query.
    `sync_version` is the version that ran last, or that it was imported for; null before either. `kept` is false where
    the next run forgets all of it, because the sync writes elsewhere or otherwise by now.
    """

    rows: Count
    delivered: Count | None
    leaving: Count | None
    size_bytes: Count
    kept_by: str | None
    sync_version: Count | None
    kept: bool
    imported_at: Seconds | None


_Snapshot: TypeAlias = Item[Literal["snapshot"], SnapshotAttributes]


async def get_snapshot(call: Call[NoBody, NoQuery]) -> Answer:
    """How much is known of the rows that the sync delivered: by that a run tells what changed.

    Each row is found by `findRow`. `tailrace snapshots` takes all of it out into a file, brings it in, or moves it into
    the warehouse and back.
    """
    sync = await call.sync()
    known = await call.stores.snapshot_transfers.known(sync)
    attributes = {
        "rows": known.entries,
        "delivered": known.delivered,
        "leaving": known.gone,
        "size_bytes": known.size_bytes,
        "kept_by": known.kept_by,
        "sync_version": known.version,
        "kept": known.is_of_use,
        "imported_at": seconds(known.imported_at),
    }
    return Answer(one(item("snapshot", sync.id, attributes)))


SNAPSHOTS = (
    Route(
        "GET",
        "/api/syncs/{sync_id}/snapshot",
        Role.VIEWER,
        get_snapshot,
        "Tell how much is known of a sync's rows",
        operation_id="getSnapshot",
        answer=One[_Snapshot],
    ),
)
