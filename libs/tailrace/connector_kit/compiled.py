"""What is compiled where a C compiler was found at installation; where none was, Python does the same, slower."""

from collections.abc import Callable, Sequence
from enum import IntEnum
from importlib import import_module
from typing import NamedTuple, Protocol, cast

from tailrace.core.rows import RowKey


class How(IntEnum):
    """How a cell is written as JSON."""

    BARE = 0
    DIGITS = 1
    TEXT = 2
    TIME = 3
    JSON = 4
    GIVEN = 5
    TRUTH = 6


class CellField(NamedTuple):
    """A field of an object: what stands before its value, the cell that it takes, and how that is written.

    `given` are the values that are not in the lines, one for each of them.
    """

    piece: bytes
    cell: int
    how: How
    given: list[bytes] | None = None


class Known(NamedTuple):
    """What is known of objects, in the order of their keys: an array of these in JSON, none with an escape, and hashes.

    It is looked at from a place on, that of the key that begins at `start` in the array.
    """

    array: bytes
    hashes: bytes
    start: int
    place: int


class Found(NamedTuple):
    """A line that is new, or not as it is known, by its number and where it begins; or what was to come before it.

    `place` is that of its key among those that are known, or -1. With a `key`, that one is known and has no line.
    """

    row: int
    start: int
    place: int
    key: str | None


class Sifted(NamedTuple):
    """How many lines were compared, where the next begins, where the next known key does, the place of that.

    `found` is all that is not as it is known.
    """

    rows: int
    start: int
    known_start: int
    place: int
    found: list[Found]


class CopyCells(Protocol):
    """The functions of `copy_cells.pyx`."""

    def cut_keys(self, text: bytes, width: int, most_bytes: int) -> list[RowKey] | None:
        """The cells of each line behind the first `width`.

        None where one of them is NULL or has an escape, where a key is too long or that of the line before.
        """
        ...

    def write_keys(self, text: bytes, width: int, most_bytes: int) -> tuple[bytes, bytes] | None:
        """The cell of each line behind the first `width` as an array in JSON, and where in it each begins: 4 bytes.

        None where there is another cell behind it, or it would be escaped, and where `cut_keys` gives None.
        """
        ...

    def cut_column(self, text: bytes, column: int) -> list[bytes]:
        """The cells of a column, as they stand."""
        ...

    def write_objects(self, text: bytes, width: int, fields: Sequence[CellField], last: bytes) -> list[bytes] | None:
        """A JSON object for each line; None where one of them needs a closer look."""
        ...

    def sift(  # noqa: PLR0913, PLR0917 - lines, how they are written, and what is known of them
        self,
        text: bytes,
        start: int,
        width: int,
        fields: Sequence[CellField],
        last: bytes,
        known: Known,
        hashed: Callable[[bytes], bytes],
    ) -> Sifted:
        """Compare lines from a place in the text on with what is known, until one ends or needs a closer look.

        Lines have one cell behind the first `width`, their key; `hashed` makes the hash of an object.
        """
        ...

    def sift_hashes(self, text: bytes, start: int, known: Known) -> Sifted:
        """The same where the first cell of a line is the hash, a whole number, and the last one the key.

        Hashes are known as signed numbers of 8 bytes, in the order of bytes that the machine has. One that is 0, and
        a line without a hash, is not as it is known.
        """
        ...


class LineOrder(Protocol):
    """The function of `line_order.pyx`."""

    def sort_lines(self, text: bytes, lines_per_piece: int) -> list[tuple[bytes, int]]:
        """All lines in the order of their last cells' bytes, so many at a time, and how many."""
        ...


def _loaded(name: str) -> object:
    try:
        return import_module(f"tailrace.connector_kit.{name}")
    except ImportError:
        return None


COPY_CELLS = cast("CopyCells | None", _loaded("copy_cells"))
LINE_ORDER = cast("LineOrder | None", _loaded("line_order"))
