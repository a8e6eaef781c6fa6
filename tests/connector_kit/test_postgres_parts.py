"""Numbers in the order of their texts, part by part, and how a part is given."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.connector_kit.compiled import LINE_ORDER, LineOrder
from tailrace.connector_kit.copy_stream import Sink
from tailrace.connector_kit.number_ranges import Numbers, Range
from tailrace.connector_kit.postgres_parts import PART_BYTES, Parts, parts, parts_for, sorted_lines
from tailrace.connector_kit.postgres_reading import ReadColumn
from tailrace.connector_kit.warehouse import Reading
from tailrace.core.rows import RowKey

BIGGEST = 2**63 - 1

spans = st.tuples(st.integers(-2000, 2000), st.integers(0, 3000)).map(lambda at: (at[0], at[0] + at[1]))


def texts(part: tuple[Range, ...]) -> list[str]:
    return sorted(str(number) for first, last in part for number in range(first, last + 1))


@given(spans, st.integers(1, 4000))
def test_every_number_has_its_place_in_one_part_in_the_order_of_texts(span: tuple[int, int], per_part: int) -> None:
    first, last = span

    found = [texts(tuple(part)) for part in Numbers(first, last, per_part).parts()]

    assert [text for part in found for text in part] == sorted(map(str, range(first, last + 1)))
    assert all(len(part) <= per_part * 3 / 2 + 1 for part in found)


@pytest.mark.parametrize(("first", "last"), [(1, BIGGEST), (-BIGGEST - 1, BIGGEST), (10**18, 10**18 + 10**6)])
def test_parts_are_as_many_as_they_should_be_however_far_numbers_reach(first: int, last: int) -> None:
    per_part = (last - first + 1) // 100

    found = list(Numbers(first, last, per_part).parts())

    assert sum(each.width for part in found for each in part) == last - first + 1
    assert 60 < len(found) < 250


@given(spans, st.integers(1, 500), st.integers(-2500, 2500), st.integers(-2500, 2500))
def test_parts_hold_all_between_the_ends_of_a_reading(
    span: tuple[int, int], per_part: int, one: int, other: int
) -> None:
    after, until = sorted((str(one), str(other)))
    reading = Reading("TABLE t", ("id",), after=RowKey((after,)), until=RowKey((until,)))
    wanted = {str(number) for number in range(span[0], span[1] + 1) if after < str(number) <= until}

    asked = " ".join(part.reading.query for part in parts(reading, Numbers(*span, per_part)))
    pieces = asked.replace(" UNION ALL", "").split("BETWEEN ")[1:]
    held = {
        str(number)
        for first, _, last in (piece.split()[:3] for piece in pieces)
        for number in range(int(first), int(last) + 1)
    }

    assert wanted <= held


def test_rows_without_a_place_are_a_part_of_their_own_and_the_last() -> None:
    reading = Reading("TABLE t", ("id", "name"))

    *some, last = parts(reading, Numbers(1, 30, 10))

    assert all('"name" IS NOT NULL' in part.reading.query for part in some)
    assert last.reading.query.endswith('WHERE "id" IS NULL OR "name" IS NULL')
    assert not any(part.may_be_sorted_here for part in (*some, last))


numbers = st.integers(-(10**19), 10**19)
some_numbers = st.lists(numbers) | st.lists(st.lists(numbers).map(sorted)).map(lambda runs: list(chain(*runs)))


@given(some_numbers, st.integers(1, 7))
def test_lines_are_sorted_alike_with_compiled_code_and_without(numbers: list[int], per_piece: int) -> None:
    lines = [f"a\\tb{number}\t{number}\n".encode() for number in numbers]

    in_order: list[bytes] = sorted(lines, key=key_of)
    ways: list[LineOrder | None] = [None, *([LINE_ORDER] if LINE_ORDER else [])]
    for way in ways:
        pieces = list(sorted_lines(b"".join(lines), per_piece, way))

        assert b"".join(piece for piece, _ in pieces) == b"".join(in_order)
        assert all(piece.count(b"\n") == count == per_piece for piece, count in pieces[:-1])
        assert all(piece.count(b"\n") == count for piece, count in pieces)


def key_of(line: bytes) -> bytes:
    return line.rstrip(b"\n").split(b"\t")[1]


class Server:
    """Gives lines of so many bytes as they lie, or in order, and says what it was asked for."""

    has_savepoints = True

    def __init__(self, line_bytes: int) -> None:
        self.lines = [f"{'x' * line_bytes}\t{number}\n".encode() for number in (2, 10, 1)]
        self.asked: list[str] = []

    async def plan(self, sql: str, arguments: object) -> str:
        return '[{"Plan": {"Plan Rows": 200000}}]'

    async def ends(self, sql: str) -> tuple[int | None, int | None]:
        return 1, 9

    async def copy_to(self, sink: Sink, sql: str) -> None:
        self.asked.append(sql)
        for line in [self.lines[at] for at in (2, 1, 0)] if sql == "ordered" else self.lines:
            await sink(line)

    @asynccontextmanager
    async def attempt(self) -> AsyncIterator[None]:
        yield


@pytest.mark.parametrize(
    ("line_bytes", "asked"),
    [(10, ["as it lies"] * 2), (PART_BYTES // 2, ["as it lies", "ordered", "ordered"])],
)
async def test_part_that_is_too_large_to_be_held_is_sorted_by_the_server_and_so_are_those_behind_it(
    line_bytes: int, asked: list[str]
) -> None:
    server, taken = Server(line_bytes), list[bytes]()
    reading = Reading("TABLE t", ("id",), until=RowKey(("9",)))

    async def take(data: bytes, rows: int | None = None) -> None:
        taken.append(data)

    whole = Parts(reading, Numbers(1, 9, 8), lambda _, is_ordered=True: "ordered" if is_ordered else "as it lies")
    await whole.give(take, server)

    assert b"".join(taken) == b"".join(server.lines[at] for at in (2, 1, 0)) * 2
    assert server.asked == asked


async def test_part_is_one_text_in_order_and_one_that_is_too_large_ends_them() -> None:
    reading = Reading("TABLE t", ("id",), until=RowKey(("9",)))
    whole = Parts(reading, Numbers(1, 9, 8), lambda _, is_ordered=True: "ordered" if is_ordered else "as it lies")

    server = Server(10)
    given = [text async for text in whole.texts(server.copy_to)]
    too_large = [text async for text in whole.texts(Server(PART_BYTES // 2).copy_to)]

    assert given == [b"".join(server.lines[at] for at in (2, 1, 0))] * 2
    assert server.asked == ["as it lies"] * 2
    assert too_large == [b""]


async def test_server_that_tells_of_plans_in_another_way_is_read_as_a_whole() -> None:
    column = ReadColumn("id", '"tailrace_rows"."id"', '"pg_catalog"."int4"')

    found = await parts_for(Server(1), Reading("TABLE t", ("id",)), [column], "UTF8")

    assert found.numbers is None
