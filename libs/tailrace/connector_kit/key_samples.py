"""What some warehouses can do besides: tell, without giving all of a query, where its keys lie."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from tailrace.connector_kit.warehouse import Reading
from tailrace.core.rows import RowKey

MOST_KEYS = 100_000
"""So many keys a sample may have, however far the number of rows was off."""


@runtime_checkable
class SamplesKeys(Protocol):
    """Tells where to cut a query into parts of about as many rows."""

    async def rows_about(self, query: str) -> int:
        """How many rows a query has, as the warehouse expects it; counted where it expects nothing.

        :raises SourceInvalid, SourceUnavailable: as `Warehouse.columns`.
        """
        ...

    async def key_sample(self, reading: Reading, *, part: float) -> Sequence[RowKey]:
        """The keys of about this part of the rows, drawn at random, `MOST_KEYS` at most; none with a NULL.

        :raises SourceInvalid, SourceUnavailable: as `Warehouse.read`.
        """
        ...
