"""What some warehouses can do besides: keep what runs compare with in a table of their own."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol, runtime_checkable

from pydantic import BaseModel

from tailrace.core.snapshot_tables import SnapshotTable


@runtime_checkable
class KeepsSnapshots(Protocol):
    """A warehouse, the class itself, that has a table for each sync: see `tailrace.core.snapshot_tables`."""

    @classmethod
    def open_snapshot(cls, settings: BaseModel, sync_id: str) -> AbstractAsyncContextManager[SnapshotTable]:
        """The table of a sync for as long as the scope lasts; nothing is connected to before it is needed.

        :raises SourceInvalid: `SNAPSHOT_SCHEMA`: the settings name no place for it.
        """
        ...
