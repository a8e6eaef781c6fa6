"""Texts that Databricks gives as values of a row."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from tailrace.connector_kit.databricks_sql import Field
from tailrace.core.errors import SourceInvalid
from tailrace.core.rows import ColumnKind

_BOOLEANS = {"true": True, "false": False}


def _decimal(text: str) -> str:
    # Where ANSI mode is off, zeros come as 0E-10.
    return f"{Decimal(text):f}" if "E" in text else text


_READERS: Mapping[ColumnKind, Callable[[str], object]] = {
    ColumnKind.INTEGER: int,
    ColumnKind.FLOAT: float,
    ColumnKind.BOOLEAN: _BOOLEANS.__getitem__,
    ColumnKind.DECIMAL: _decimal,
}


def reader_of(fields: Sequence[Field]) -> Callable[[Sequence[str | None]], tuple[object, ...]]:
    """Gives the values of a row, and behind them the texts of its key as they came.

    What it gives raises SourceInvalid, `SCHEMA_CHANGED`, where a text is of none of these fields; it tells no value.
    """
    readers = [(at, _READERS[each.kind]) for at, each in enumerate(fields) if each.kind in _READERS]

    def read(texts: Sequence[str | None]) -> tuple[object, ...]:
        values: list[object] = list(texts)
        try:
            for at, reader in readers:
                text = texts[at]
                if text is not None:
                    values[at] = reader(text)
        except (LookupError, TypeError, ValueError, ArithmeticError):
            # Between the look at a query and its statement a column may become one of another type.
            told = "the columns of the query changed since they were looked at"
            raise SourceInvalid(told, code="SCHEMA_CHANGED") from None
        return tuple(values)

    return read
