"""What a warehouse is to the engine."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import ClassVar, Self

from pydantic import BaseModel

from tailrace.connector_kit.destination import Level
from tailrace.core.rows import Block, Column, RowKey


@dataclass(frozen=True, slots=True)
class Cursor:
    """A column of numbers or times by whose value rows are ordered, before their key.

    `since` leaves out rows with a lower value. Where the reading continues behind a key, it is the value beside that
    key. It is written as the warehouse writes such a value in text.
    """

    column: str
    since: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What to read: a query, ordered by its key columns' text, or by a cursor and then by that.

    `after` continues behind a key, `only` restricts to some keys; at most one of them is set. Without key columns, a
    digest of all of a row is its key; rows that are alike share one, and `after` does not leave them out. `until` ends
    with a key, before all rows with a NULL in theirs; it is for readings with key columns and without a cursor.
    """

    query: str
    key_columns: tuple[str, ...]
    after: RowKey | None = None
    until: RowKey | None = None
    only: Sequence[RowKey] | None = None
    rows_per_block: int = 1000
    cursor: Cursor | None = None

    def __post_init__(self) -> None:
        if self.until is not None and (self.cursor is not None or not self.key_columns):
            raise ValueError("a reading ends with a key only where it is by key")

    @property
    def is_plain(self) -> bool:
        """Whether all rows are read in the order of their keys, so that they may come as text."""
        return bool(self.key_columns) and self.cursor is None and self.only is None


TOO_SLOW = "the query took longer than statement_timeout_s: make it faster or raise the limit"


class Warehouse(ABC):
    """A connection to a warehouse. The engine opens one per run and reads one stream at a time from it.

    Reads are read-only, of one consistent view, and end by the warehouse's own cancel when the scope is left.
    """

    name: ClassVar[str]
    """The connector's name in the API, such as `postgres`."""

    label: ClassVar[str]
    level: ClassVar[Level] = Level.BRONZE
    verified_against: ClassVar[str] = "nothing but its own tests"
    settings_type: ClassVar[type[BaseModel]]

    has_cursors: ClassVar[bool] = False
    """Whether it knows readings with a cursor, and readings without key columns."""

    reads_up_to_a_key: ClassVar[bool] = False
    """Whether it heeds `Reading.until`: without, no run of its is shared by executors."""

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
        Rows with the same key are neighbours. `after` leaves out smaller and equal keys, but no row with a NULL key;
        `until` leaves out greater keys, and those rows too.
        With a cursor, a NULL in its column is as one in the key, and such rows are never left out.

        :raises SourceInvalid: also in the middle of the stream, `SCHEMA_CHANGED` where the columns changed since,
            `KEY_COLUMN_MISSING`, `CURSOR_COLUMN_MISSING`.
        :raises SourceUnavailable: the connection was lost.
        """
