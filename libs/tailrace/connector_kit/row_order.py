"""The order in which warehouses give rows, and how to go on in it, in the SQL that their dialects share."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

from tailrace.connector_kit.warehouse import Reading
from tailrace.core.rows import RowKey

Compare: TypeAlias = Callable[[Sequence[str], Sequence[str], Sequence[str], str], tuple[str, Sequence[str]]]
"""From what a row has, places for values, the values and a sign to a condition and its arguments."""


@dataclass(frozen=True, slots=True)
class RowOrder:
    """By what rows are ordered: the texts of their key, before them the value of a cursor; and which have no place."""

    keys: Sequence[str]
    key_has_null: str
    cursor: str | None
    since: str

    @classmethod
    def of(
        cls,
        reading: Reading,
        *,
        text: Callable[[str], str],
        quoted: Callable[[str], str],
        digest: Callable[[], str],
        cursor: Callable[[str], tuple[str, str]],
    ) -> Self:
        """The order of a reading: by the `text` of its key columns, or without them by the `digest` of all of a row.

        `cursor` gives of a column by what rows are ordered, and the place for a value of it.
        """
        keys = list(map(text, reading.key_columns)) or [digest()]
        has_null = " OR ".join(f"{quoted(name)} IS NULL" for name in reading.key_columns) or "FALSE"
        here, since = (None, "") if reading.cursor is None else cursor(reading.cursor.column)
        return cls(keys, has_null, here, since)

    @property
    def has_null(self) -> str:
        """Which rows have no place."""
        return self.key_has_null if self.cursor is None else f"{self.key_has_null} OR {self.cursor} IS NULL"

    def by(self, keys: Iterable[str]) -> list[str]:
        """To order by; the keys as they compare. Rows without a place come last, undecided among themselves."""
        by = [_last(self.has_null), *keys]
        if self.cursor is not None:
            # Rows whose key has a NULL come last of those that have no place.
            by[1:1] = [f"(CASE WHEN {self.has_null} THEN NULL ELSE {self.cursor} END)", _last(self.key_has_null)]
        return by


def as_rows(here: Sequence[str], given: Sequence[str], values: Sequence[str], sign: str) -> tuple[str, Sequence[str]]:
    """Compared as rows of values."""
    return f"({', '.join(here)}) {sign} ({', '.join(given)})", values


def by_prefixes(
    here: Sequence[str], given: Sequence[str], values: Sequence[str], last_sign: str
) -> tuple[str, Sequence[str]]:
    """What `(here) > (given)` says, with any sign, of each prefix in turn: not all servers know it of rows."""
    signs = [last_sign[0]] * (len(here) - 1) + [last_sign]
    equal = [f"{one} = {other}" for one, other in zip(here, given, strict=True)]
    prefixes = (" AND ".join([*equal[:at], f"{here[at]} {sign} {given[at]}"]) for at, sign in enumerate(signs))
    arguments = [value for at in range(len(values)) for value in values[: at + 1]]
    return "(" + " OR ".join(f"({prefix})" for prefix in prefixes) + ")", arguments


def within_bounds(
    reading: Reading, order: RowOrder, here: Sequence[str], given: Sequence[str], compare: Compare = as_rows
) -> tuple[str, Sequence[str]]:
    """The condition, if any, for the rows of a reading, and its arguments.

    Rows without a place stay, wherever it starts, unless it ends at a key.
    `here` are the keys as they compare, `given` the places for their values.
    """
    if reading.only is not None:
        return _among(reading.only, here, given)
    since = None if reading.cursor is None else reading.cursor.since
    bounds: list[str] = []
    arguments: list[str] = []
    if reading.until is not None:
        condition, compared = compare(here, given, reading.until, "<=")
        bounds += [condition, f"NOT ({order.has_null})"]
        arguments += compared
    if since is not None:
        arguments.append(since)
        bounds.append(f"{order.cursor} >= {order.since}")
    if reading.after is not None:
        values: Sequence[str] = reading.after
        if since is not None:
            here, given, values = [str(order.cursor), *here], [order.since, *given], [since, *values]
        condition, compared = compare(here, given, values, ">" if reading.key_columns else ">=")
        bounds.append(condition)
        arguments += compared
    if not bounds or reading.until is not None:
        return (f"WHERE {' AND '.join(bounds)}" if bounds else ""), arguments
    return f"WHERE ({' AND '.join(bounds)}) OR {order.has_null}", arguments


def _among(keys: Sequence[RowKey], here: Sequence[str], given: Sequence[str]) -> tuple[str, Sequence[str]]:
    wanted = ", ".join(f"({', '.join(given)})" for _ in keys)
    condition = f"WHERE ({', '.join(here)}) IN ({wanted})" if wanted else "WHERE FALSE"
    return condition, [part for key in keys for part in key]


def _last(condition: str) -> str:
    """What meets the condition comes last. A bare condition that is constant would be no order to some servers."""
    return f"(CASE WHEN {condition} THEN 1 ELSE 0 END)"
