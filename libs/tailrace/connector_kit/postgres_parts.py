"""Parts of a large query whose key begins with a whole number, each small enough to be sorted in memory.

Rows come in the order of their keys' texts, which an index of numbers does not have: the server would sort the whole
query before it gives the first row. But the index finds the numbers of a part. Where such a number is the whole key,
the server sorts nothing: a part is given as it lies, and sorted here.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, Protocol, Self, TypeAlias

import orjson

from tailrace.connector_kit.compiled import LINE_ORDER, LineOrder
from tailrace.connector_kit.copy_stream import Sink
from tailrace.connector_kit.number_ranges import Numbers, Range, first_text, last_text
from tailrace.connector_kit.postgres_reading import SCALARS, ReadColumn, copied_statement, wrapped
from tailrace.connector_kit.sql import quote_name
from tailrace.connector_kit.warehouse import Reading
from tailrace.core.errors import SourceInvalid, SourceUnavailable

ROWS_PER_PART = 20_000
"""About so many are sorted within the 4 MB that a server gives to a sort by default, and held here meanwhile."""

PART_BYTES = 16 << 20
"""The most text of a part that is sorted here: it may have more rows, or larger ones, than the server expects."""

_AHEAD_BYTES = 4 << 20

WHOLE_NUMBERS = frozenset(f'"pg_catalog"."{name}"' for name in ("int2", "int4", "int8"))

_WORTH_ROWS = 50_000
_ROOM = 4
"""How many times as much text a part may be as the server expects of its values."""

_MOST = 2
"""How many times as much a row of a part may cost as one of all rows: an index is not as slow as servers expect."""

_LOOK = 0.01
"""What it may cost to find the least and the greatest number, as a part of reading all rows: an index knows them."""


class Planned(NamedTuple):
    """What a server expects of a statement: its rows, what they cost, and the bytes of one."""

    rows: int
    cost: float
    width: int

    @classmethod
    def of(cls, plan: str) -> Self:
        """By its plan as JSON.

        :raises SourceInvalid: that is told in another way.
        """
        try:
            top: dict[str, Any] = orjson.loads(plan)[0]["Plan"]
            return cls(int(top["Plan Rows"]), float(top["Total Cost"]), int(top["Plan Width"]))
        except (LookupError, TypeError, ValueError) as error:
            raise SourceInvalid("the server does not tell of plans as PostgreSQL does") from error


class Part(NamedTuple):
    """A part of a reading: the text of a number needs no more than its bytes to be compared, which can be done here."""

    reading: Reading
    may_be_sorted_here: bool


class Statement(Protocol):
    """What makes a reading a statement."""

    def __call__(self, reading: Reading, *, is_ordered: bool = True) -> str:
        """The SQL of it, for a COPY."""
        ...


CopyTo: TypeAlias = Callable[[Sink, str], Awaitable[None]]
"""Has all data of a COPY given to a sink."""


class Session(Protocol):
    """A connection in a transaction."""

    async def plan(self, sql: str, arguments: Sequence[object]) -> str:
        """What the server would do for a statement, as JSON."""
        ...

    async def ends(self, sql: str) -> tuple[int | None, int | None]:
        """The two numbers that a statement gives, asked for a few seconds at most."""
        ...

    async def copy_to(self, sink: Sink, sql: str) -> None:
        """Have all data of a COPY given to a sink."""
        ...

    @property
    def has_savepoints(self) -> bool:
        """Whether there are attempts."""
        ...

    def attempt(self) -> AbstractAsyncContextManager[object]:
        """A scope that may fail; it leaves the transaction as it was."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """A reading, all of it at once where no `numbers` are known."""

    reading: Reading
    numbers: Numbers | None
    statement_of: Statement

    @property
    def ahead_bytes(self) -> int:
        """How much text may wait for its reader: about a part, while the server is at the next."""
        return 0 if self.numbers is None else _AHEAD_BYTES

    async def give(self, sink: Sink, session: Session) -> None:
        """Have part after part copied, and give it in order: sorted here, or by the server if it is too large."""
        fit = True
        for part in parts(self.reading, self.numbers):
            # To read each of them twice would cost more than a sort.
            if part.may_be_sorted_here and fit:
                fit = await self._gave_sorted(part.reading, sink, session)
                if fit:
                    continue
            await session.copy_to(sink, self.statement_of(part.reading))

    async def texts(self, copy_to: CopyTo) -> AsyncIterator[bytes]:
        """What each part gives, as one text in order, copied when it is asked for.

        Before a part that is too large to be held an empty one comes, and nothing behind it.
        """
        for part in parts(self.reading, self.numbers):
            held = _Held()
            await copy_to(held.take, self.statement_of(part.reading, is_ordered=not part.may_be_sorted_here))
            if held.is_too_large:
                yield b""
                return
            text = b"".join(held.pieces)
            if part.may_be_sorted_here:
                text = b"".join(piece for piece, _ in sorted_lines(text, len(text) + 1))
            if text:
                yield text

    async def _gave_sorted(self, reading: Reading, sink: Sink, session: Session) -> bool:
        """Whether it fitted; nothing of it was given otherwise."""
        held = _Held()
        await session.copy_to(held.take, self.statement_of(reading, is_ordered=False))
        if held.is_too_large:
            return False
        for piece, rows in sorted_lines(b"".join(held.pieces), self.reading.rows_per_block):
            await sink(piece, rows)
        return True


async def parts_for(session: Session, reading: Reading, columns: Sequence[ReadColumn], encoding: str) -> Parts:
    """The parts of a reading whose rows are to come as a COPY writes them.

    :raises SourceUnavailable: the connection was lost.
    """
    statement_of = partial(copied_statement, columns=columns, encoding=encoding)
    return Parts(reading, await numbers_of(session, reading, columns, statement_of), statement_of)


async def numbers_of(
    session: Session, reading: Reading, columns: Sequence[ReadColumn], statement_of: Statement
) -> Numbers | None:
    """What the first column of a key holds; None where it holds no whole numbers, or parts are no gain.

    They are one where there are many rows, and an index that finds those of a part: without one, to find the least
    number costs about as much as to read all rows. A server that only resembles PostgreSQL may not tell.

    :raises SourceUnavailable: the connection was lost.
    """
    types = {column.name: column.type_name for column in columns}
    first, *others = [types[name] for name in reading.key_columns]
    # A composite value that holds a NULL neither IS NULL nor IS NOT NULL: its row would be in no part.
    if first not in WHOLE_NUMBERS or not SCALARS.issuperset(others) or not session.has_savepoints:
        return None
    try:
        async with session.attempt():
            return await _numbers(session, reading, statement_of)
    except (SourceInvalid, SourceUnavailable) as error:
        if error.code == SourceUnavailable.code:
            raise
        return None


async def rows_planned(session: Session, query: str) -> int:
    """How many rows the server expects of a query.

    :raises SourceInvalid, SourceUnavailable: as `Session.plan`; or it does not tell.
    """
    return (await _planned(session, wrapped("1", query))).rows


def parts(reading: Reading, numbers: Numbers | None) -> Iterator[Part]:
    """A reading in parts, one after another; the last are the rows without a place."""
    if numbers is None:
        yield Part(reading, may_be_sorted_here=False)
        return
    for some in numbers.parts():
        if reading.until is not None and first_text(some) > reading.until[0]:
            return
        if reading.after is None or last_text(some) >= reading.after[0]:
            is_whole_key = len(reading.key_columns) == 1
            yield Part(part_of(reading, some), may_be_sorted_here=is_whole_key)
    if reading.until is None:
        yield Part(_restricted(reading, [_has_null(reading)]), may_be_sorted_here=False)


def part_of(reading: Reading, some: Sequence[Range]) -> Reading:
    """The rows of some numbers."""
    return _restricted(reading, _among(reading, some))


def sorted_lines(
    text: bytes, lines_per_piece: int, line_order: LineOrder | None = LINE_ORDER
) -> Iterable[tuple[bytes, int]]:
    """Lines in the order of their last cells, so many at a time, and how many. Without `line_order`, in Python."""
    if line_order is not None:
        return line_order.sort_lines(text, lines_per_piece)
    lines = sorted(text.splitlines(keepends=True), key=_last_cell)
    pieces = (lines[at : at + lines_per_piece] for at in range(0, len(lines), lines_per_piece))
    return ((b"".join(piece), len(piece)) for piece in pieces)


class _Held:
    """The text of a part until it is whole; of one that is too large, nothing."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.is_too_large = False
        self._size_bytes = 0

    async def take(self, data: bytes, rows: int | None = None) -> None:
        """Hold more of it, however many rows that are."""
        self._size_bytes += len(data)
        if self._size_bytes > PART_BYTES:
            self.is_too_large = True
            self.pieces.clear()
        else:
            self.pieces.append(bytes(data))


def _last_cell(line: bytes) -> bytes:
    return line[line.rfind(b"\t") + 1 : -1]


def _ends(reading: Reading) -> str:
    key = quote_name(reading.key_columns[0])
    return wrapped(f"min({key}), max({key})", reading.query)


def _restricted(reading: Reading, conditions: Iterable[str]) -> Reading:
    """Each condition by itself: of several in one the server thinks that their rows lie far apart."""
    some = wrapped("*", reading.query)
    return replace(reading, query="\nUNION ALL ".join(f"{some} WHERE {condition}" for condition in conditions))


def _among(reading: Reading, part: Sequence[Range]) -> Iterator[str]:
    key, *others = [quote_name(name) for name in reading.key_columns]
    placed = "".join(f" AND {name} IS NOT NULL" for name in others)
    return (f"{key} BETWEEN {first} AND {last}{placed}" for first, last in part)


def _has_null(reading: Reading) -> str:
    return " OR ".join(f"{quote_name(name)} IS NULL" for name in reading.key_columns)


async def _numbers(session: Session, reading: Reading, statement_of: Statement) -> Numbers | None:
    # Of a sort that several processes share, the server tells the rows of some of them.
    rows = await rows_planned(session, reading.query)
    if rows < _WORTH_ROWS:
        return None
    # What is behind a text, the server cannot guess.
    whole = replace(reading, after=None, until=None)
    all_rows, ends = await _planned(session, statement_of(whole)), _ends(reading)
    if (await _planned(session, ends)).cost > _LOOK * all_rows.cost:
        return None
    first, last = await session.ends(ends)
    if first is None or last is None:
        return None
    rows_per_part = min(ROWS_PER_PART, PART_BYTES // _ROOM // max(1, all_rows.width))
    numbers = Numbers(first, last, max(1, (last - first + 1) * rows_per_part // rows), rows_per_part)
    first_part = next(parts(whole, numbers))
    is_ordered = not first_part.may_be_sorted_here
    part = await _planned(session, statement_of(first_part.reading, is_ordered=is_ordered))
    return numbers if part.cost / max(1, part.rows) <= _MOST * all_rows.cost / rows else None


async def _planned(session: Session, sql: str) -> Planned:
    return Planned.of(await session.plan(sql, ()))
