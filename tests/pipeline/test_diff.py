"""Telling what happened to a row."""

from collections.abc import AsyncIterator
from typing import TypeVar

from hypothesis import given
from hypothesis import strategies as st

from tailrace.core.rows import Change, Row, RowHash, RowKey, rejected
from tailrace.core.settlements import dedupe_key
from tailrace.core.snapshots import Entry
from tailrace.pipeline.diff import diff
from tailrace.pipeline.plain import MappedRow, RowChange

Item = TypeVar("Item")
BAD = rejected("NOT_REPRESENTABLE", "not a number")

contents = st.dictionaries(st.sampled_from("abcdefghijkl"), st.integers(0, 3))


def content_hash(content: int) -> RowHash:
    return RowHash(content.to_bytes(8))


def mapped(key: str, content: int, *, is_bad: bool = False) -> MappedRow:
    row = Row(RowKey((key,)), b"{}", content_hash(content))
    return MappedRow(row, row.key, dedupe_key(row.key), BAD) if is_bad else MappedRow(row, row.key)


async def in_lists(items: list[Item], size: int) -> AsyncIterator[list[Item]]:
    for at in range(0, len(items), size):
        yield items[at : at + size]


async def changes_between(entries: list[Entry], rows: list[MappedRow], size: int = 3) -> list[RowChange]:
    return [change async for some in diff(in_lists(rows, size), in_lists(entries, size)) for change in some]


@given(contents, contents, st.integers(1, 5))
async def test_changes_are_what_two_dicts_differ_in(before: dict[str, int], after: dict[str, int], size: int) -> None:
    entries = [Entry(RowKey((key,)), content_hash(before[key])) for key in sorted(before)]

    found = await changes_between(entries, [mapped(key, after[key]) for key in sorted(after)], size)

    told = {key_of(change): change.change for change in found}
    assert list(told) == sorted(before | after)
    assert told == {key: expected(before.get(key), after.get(key)) for key in before | after}


async def test_row_with_a_problem_is_not_taken_for_gone() -> None:
    entries = [Entry(RowKey((key,)), content_hash(1)) for key in "abc"]

    found = await changes_between(entries, [mapped("a", 1), mapped("b", 2, is_bad=True), mapped("c", 1)])

    assert [change.change for change in found] == [Change.UNCHANGED, None, Change.UNCHANGED]
    assert found[1].known == entries[1]


async def test_key_that_was_never_delivered_is_added_again() -> None:
    entries = [Entry(RowKey(("a",)), dead=content_hash(1))]

    found = await changes_between(entries, [mapped("a", 2)])

    assert [change.change for change in found] == [Change.ADDED]


def key_of(change: RowChange) -> str:
    if change.mapped is not None:
        return change.mapped.row.key[0]
    return change.known.key[0] if change.known else ""


def expected(before: int | None, after: int | None) -> Change:
    if before is None:
        return Change.ADDED
    if after is None:
        return Change.REMOVED
    return Change.UNCHANGED if before == after else Change.CHANGED
