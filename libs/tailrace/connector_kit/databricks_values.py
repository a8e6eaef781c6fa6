"""Texts that Databricks gives as values of a row."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from tailrace.connector_kit.databricks_sql import Field
from tailrace.core.rows import ColumnKind


def _boolean(text: str) -> bool:
    return text == "true"


def _decimal(text: str) -> str:
    # Where ANSI mode is off, zeros come as 0E-10.
    return f"{Decimal(text):f}" if "E" in text else text


_READERS: Mapping[ColumnKind, Callable[[str], object]] = {
    ColumnKind.INTEGER: int,
    ColumnKind.FLOAT: float,
    ColumnKind.BOOLEAN: _boolean,
    ColumnKind.DECIMAL: _decimal,
}


def reader_of(fields: Sequence[Field]) -> Callable[[Sequence[str | None]], tuple[object, ...]]:
    """Gives the values of a row, and behind them the texts of its key as they came."""
    readers = [(at, _READERS[each.kind]) for at, each in enumerate(fields) if each.kind in _READERS]

    def read(texts: Sequence[str | None]) -> tuple[object, ...]:
        values: list[object] = list(texts)
        for at, reader in readers:
            text = texts[at]
            if text is not None:
                values[at] = reader(text)
        return tuple(values)

    return read
