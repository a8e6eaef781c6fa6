"""How many rows a warehouse reads at once: few where they are large, so that a block stays within bounds."""

from collections.abc import Iterable, Sequence

FIRST_ROWS = 20
"""Rows of the first block of a read, of which nothing is known yet."""

BLOCK_CHARACTERS = 16 << 20
"""What the texts of a block may come to, roughly."""


def rows_that_fit(read: Sequence[Iterable[object]], *, at_most: int) -> int:
    """Rows of the next block, if they are like the largest of a few rows of the one before."""
    largest = max(_characters(row) for row in (read[0], read[len(read) // 2], read[-1]))
    return max(1, min(at_most, BLOCK_CHARACTERS // (largest + 1)))


def _characters(row: Iterable[object]) -> int:
    return sum(len(value) for value in row if isinstance(value, str))
