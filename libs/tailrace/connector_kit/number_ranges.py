"""Whole numbers in the order of their texts, a part at a time: 1, 10, 100, 11, 2.

All that begin with the same digits follow one another: 12, 120 to 129, 1200 to 1299, up to the largest there is.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple


class Range(NamedTuple):
    """Whole numbers, both ends included, all with as many digits and of one sign."""

    first: int
    last: int

    @property
    def width(self) -> int:
        """How many they are."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers that keys begin with lie between `first` and `last`; a part is to span about so many of them.

    That is expected to be `rows_per_part`.
    """

    first: int
    last: int
    per_part: int
    rows_per_part: int = 1

    def with_rows(self, rows_per_part: int) -> "Numbers":
        """The same in parts of so many rows."""
        per_part = max(1, self.per_part * rows_per_part // self.rows_per_part)
        return Numbers(self.first, self.last, per_part, rows_per_part)

    def parts(self) -> Iterator[Sequence[Range]]:
        """All of them, part after part in the order of their texts."""
        part: list[Range] = []
        for some in self._in_order():
            part += some
            if sum(each.width for each in part) * 2 > self.per_part:
                yield _joined(part)
                part = []
        if part:
            yield _joined(part)

    def _in_order(self) -> Iterator[Sequence[Range]]:
        if self.first < 0:
            below = Range(max(1, -self.last), -self.first)
            for some in _beginning_with_any(below, self.per_part):
                yield [Range(-last, -first) for first, last in some]
        if self.first <= 0 <= self.last:
            yield [Range(0, 0)]
        if self.last > 0:
            yield from _beginning_with_any(Range(max(1, self.first), self.last), self.per_part)


def first_text(part: Sequence[Range]) -> str:
    """The text that comes first of all numbers in a part."""
    return min(str(number) for each in part for number in each)


def last_text(part: Sequence[Range]) -> str:
    """The text that comes last of all numbers in a part."""
    return max(str(number) for each in part for number in each)


def _beginning_with_any(within: Range, most: int) -> Iterator[Sequence[Range]]:
    return chain.from_iterable(_beginning_with(digits, within, most) for digits in range(1, 10))


def _beginning_with(digits: int, within: Range, most: int) -> Iterator[Sequence[Range]]:
    """Positive numbers that begin with these digits, at most so many at a time, in the order of their texts."""
    found = list(_lengths(digits, within))
    if sum(each.width for each in found) <= most or found == [Range(digits, digits)]:
        yield found
        return
    if within.first <= digits <= within.last:
        yield [Range(digits, digits)]
    for digit in range(10):
        yield from _beginning_with(digits * 10 + digit, within, most)


def _lengths(digits: int, within: Range) -> Iterator[Range]:
    first, last = digits, digits
    while first <= within.last:
        if last >= within.first:
            yield Range(max(first, within.first), min(last, within.last))
        first, last = first * 10, last * 10 + 9


def _joined(part: Iterable[Range]) -> Sequence[Range]:
    """Ranges that adjoin and have as many digits as one."""
    joined: list[Range] = []
    for each in sorted(part):
        before = joined[-1] if joined else None
        if before and before.last + 1 == each.first and len(str(before.last)) == len(str(each.first)):
            joined[-1] = Range(before.first, each.last)
        else:
            joined.append(each)
    return joined
