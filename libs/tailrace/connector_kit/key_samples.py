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
        """Keys that lie as about this part of the rows do, `MOST_KEYS` at most; none with a NULL.

        Drawn at random; or spread as the warehouse expects the rows to lie, so that there may be no row of a key.

        :raises SourceInvalid, SourceUnavailable: as `Warehouse.read`.
        """
        ...
