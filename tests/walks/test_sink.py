"""The measure itself: a sink or a comparison that misses a fault would let every walk pass."""

from collections.abc import Sequence

import pytest
from aiohttp import ClientSession

from tests.walks.rows import NONE, Difference, Row, compare, rows_of
from tests.walks.sink import Sink

ONE, TWO, THREE = {"id": 1, "to": None}, {"id": 2, "to": "é"}, {"id": 3, "to": ""}
OTHER_TWO = {"id": 2, "to": "e"}


@pytest.mark.parametrize(
    ("arrived", "wrong"),
    [
        pytest.param([THREE, ONE, TWO], NONE, id="all in any order"),
        pytest.param([ONE, TWO], Difference(lost=1), id="one lost"),
        pytest.param([ONE, TWO, THREE, THREE], Difference(repeated=1), id="one twice"),
        pytest.param([ONE, TWO, THREE, {"id": 4}], Difference(invented=1), id="one from nowhere"),
        pytest.param([ONE, OTHER_TWO, THREE], Difference(lost=1, invented=1), id="one with another content"),
        pytest.param([], Difference(lost=3), id="none"),
    ],
)
def test_comparison_finds(arrived: Sequence[Row], wrong: Difference) -> None:
    assert compare(rows_of(arrived), rows_of([ONE, TWO, THREE])) == wrong


async def test_sink_writes_down_what_it_took_and_tells_what_it_refused(sink: Sink) -> None:
    sink.refuses = lambda row: row["id"] == 2
    batch = {"object": "flights", "operation": "upsert", "rows": [ONE, TWO, THREE]}

    async with (
        ClientSession() as session,
        session.post(sink.url, json=batch, headers={"Idempotency-Key": "k"}) as response,
    ):
        told = await response.json()

    assert [error["index"] for error in told["errors"]] == [1]
    assert compare(sink.rows(), rows_of([ONE, THREE])) == NONE
    assert sink.rows(since=sink.page).total() == 0
