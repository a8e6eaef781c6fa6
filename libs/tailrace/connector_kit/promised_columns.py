"""What a warehouse has told of a query's columns, and whether a reading still finds them."""

from collections.abc import Sequence

from tailrace.connector_kit.warehouse import Reading
from tailrace.core.errors import SourceInvalid
from tailrace.core.rows import Column


class PromisedColumns:
    """The columns of each query as they were looked at last; a query that nobody looked at promises nothing."""

    def __init__(self) -> None:
        self._columns: dict[str, Sequence[Column]] = {}

    def promise(self, query: str, columns: Sequence[Column]) -> None:
        """From now on the query has to have these columns."""
        self._columns[query] = columns

    def check(self, reading: Reading, columns: Sequence[Column]) -> None:
        """Return if the columns are those that were promised, and those that the reading needs are among them.

        :raises SourceInvalid: `SCHEMA_CHANGED`, `KEY_COLUMN_MISSING`, `CURSOR_COLUMN_MISSING`.
        """
        if columns != self._columns.get(reading.query, columns):
            raise SourceInvalid("the columns of the query changed since they were looked at", code="SCHEMA_CHANGED")
        names = [column.name for column in columns]
        missing = [name for name in reading.key_columns if name not in names]
        if missing:
            raise SourceInvalid(
                f"the query has no column {', '.join(missing)} for the key; it has {', '.join(names)}",
                code="KEY_COLUMN_MISSING",
            )
        if reading.cursor is not None and reading.cursor.column not in names:
            raise SourceInvalid(
                f"the query has no column {reading.cursor.column} for the cursor; it has {', '.join(names)}",
                code="CURSOR_COLUMN_MISSING",
            )


def refuse_twins(names: Sequence[str]) -> None:
    """Return if each column has a name of its own.

    :raises SourceInvalid: `DUPLICATE_COLUMN`.
    """
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SourceInvalid(
            f"the query has several columns named {', '.join(twice)}: give each its own name with AS",
            code="DUPLICATE_COLUMN",
        )
