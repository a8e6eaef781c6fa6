"""Answers that say less than whether each row was delivered, and those that say what cannot be."""

import pytest

from tailrace.connector_kit.manifest.attribution import NOT_VERIFIED, AllOrNothing
from tailrace.core.errors import InDoubt
from tailrace.core.rows import DELIVERED, Operation, RowOutcome
from tailrace.testing.fake_http import FakeHttp, answer
from tests.connector_kit.manifest.rig import opened, put
from tests.connector_kit.manifest.vendors import NINE, vendor, write


async def test_row_that_is_only_accepted_says_so() -> None:
    accepts = write(AllOrNothing(is_final=False))

    result = await put(opened(vendor(accepts), FakeHttp(answer(202))), Operation.UPSERT, b'{"id":"1"}')

    assert result.outcomes == [NOT_VERIFIED]


async def test_list_in_place_of_an_object_is_in_doubt() -> None:
    http = FakeHttp(answer(200, []))

    with pytest.raises(InDoubt):
        await put(opened(vendor(write(NINE["indexed"])), http), Operation.UPSERT, b'{"id":"1"}')


@pytest.mark.parametrize("place", [True, "0", 2, -1])
@pytest.mark.parametrize("way", ["indexed, and nothing taken", "field indexes"])
async def test_position_that_no_row_has_is_in_doubt(way: str, place: object) -> None:
    http = FakeHttp(answer(200, {"errors": [{"index": place}], "invalid": {"name": [place]}}))

    with pytest.raises(InDoubt, match="names no row"):
        await put(opened(vendor(write(NINE[way])), http), Operation.UPSERT, b'{"id":"1"}', b'{"id":"2"}')


@pytest.mark.parametrize("told", [{"taken": 1}, {"taken": 2, "errors": [{"index": 0}]}, {"taken": 3}])
async def test_count_of_rows_that_were_taken_must_come_out(told: dict[str, object]) -> None:
    destination = opened(vendor(write(NINE["indexed, and counted"])), FakeHttp(answer(200, told)))

    with pytest.raises(InDoubt, match="rows that were taken"):
        await put(destination, Operation.UPSERT, b'{"id":"1"}', b'{"id":"2"}')


@pytest.mark.parametrize(
    ("told", "outcome"), [({"taken": 1}, DELIVERED), ({}, NOT_VERIFIED), ({"taken": None}, NOT_VERIFIED)]
)
async def test_row_that_no_error_names_is_delivered_if_it_is_counted(
    told: dict[str, object], outcome: RowOutcome
) -> None:
    destination = opened(vendor(write(NINE["indexed, and counted"])), FakeHttp(answer(200, told)))

    result = await put(destination, Operation.UPSERT, b'{"id":"1"}')

    assert result.outcomes == [outcome]


@pytest.mark.parametrize("told", [{"invalid": 0, "got": 0}, {"invalid": 0}, {"invalid": 0, "got": "none"}])
async def test_count_of_no_failures_and_of_no_rows_is_in_doubt(told: dict[str, object]) -> None:
    destination = opened(vendor(write(NINE["counted, both ways"])), FakeHttp(answer(200, told)))

    with pytest.raises(InDoubt, match="no row that arrived"):
        await put(destination, Operation.UPSERT, b'{"id":"1"}', b'{"id":"2"}')


async def test_batch_that_is_accepted_is_not_verified() -> None:
    http = FakeHttp(answer(200, {"request": {"id": "r1"}}))

    result = await put(opened(vendor(write(NINE["accepted"])), http), Operation.UPSERT, b'{"id":"1"}')

    assert result.outcomes == [NOT_VERIFIED]


@pytest.mark.parametrize("told", [{}, {"request": {"id": None}}, {"request": {"id": ""}}, [], "r1"])
async def test_batch_without_a_receipt_is_in_doubt(told: object) -> None:
    with pytest.raises(InDoubt, match=r"nothing at 'request\.id'"):
        await put(opened(vendor(write(NINE["accepted"])), FakeHttp(answer(200, told))), Operation.UPSERT, b'{"id":"1"}')
