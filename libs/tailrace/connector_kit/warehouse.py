"""What a warehouse is to the engine."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import ClassVar, Self

from pydantic import BaseModel

from tailrace.core.rows import Block, Column, RowKey


@dataclass(frozen=True, slots=True)
class Reading:
    """What to read: a query, ordered by its key columns' text.

    `after` continues behind a key, `only` restricts to some keys; at most one of them is set.
    """

    query: str
    key_columns: tuple[str, ...]
    after: RowKey | None = None
    only: Sequence[RowKey] | None = None
    rows_per_block: int = 1000


class Warehouse(ABC):
    """A connection to a warehouse. The engine opens one per run and reads one stream at a time from it.

    Reads are read-only, of one consistent view, and end by the warehouse's own cancel when the scope is left.
    """

    name: ClassVar[str]
    """The connector's name in the API, such as `postgres`."""

    label: ClassVar[str]
    settings_type: ClassVar[type[BaseModel]]

    @classmethod
    @abstractmethod
    def open(cls, settings: BaseModel) -> AbstractAsyncContextManager[Self]:
        """The warehouse for as long as the scope lasts.

        :raises SourceUnavailable: it does not answer.
        :raises CredentialsRefused: it does not let us in.
        """

    @abstractmethod
    async def check(self) -> None:
        """Show that the settings work and that the role is not dangerous to read with.

        :raises SourceInvalid: with what to do about it.
        """

    @abstractmethod
    async def columns(self, query: str) -> Sequence[Column]:
        """The columns of a query, without running it.

        :raises SourceInvalid: `SOURCE_QUERY` for a query that the warehouse refuses (its own words in the message),
            `DUPLICATE_COLUMN` where two columns share a name.
        """

    @abstractmethod
    def read(self, reading: Reading) -> AbstractAsyncContextManager[AsyncIterator[Block]]:
        """Blocks of rows ordered by the text of the key, compared by code point (2 after 10, é after z), part by part.

        Rows with a NULL in the key come after all others, in an order that is the same at every read of the same rows.
        Rows with the same key are neighbours. `after` leaves out smaller and equal keys, but no row with a NULL key.

        :raises SourceInvalid: also in the middle of the stream, `SCHEMA_CHANGED` where the columns changed since.
        :raises SourceUnavailable: the connection was lost.
        """
