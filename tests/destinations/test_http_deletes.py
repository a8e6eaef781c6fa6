"""A row that is to be deleted and is not there is deleted; an address that is not there is a mistake."""

import pytest

from tailrace.connector_kit.destination import Target
from tailrace.connector_kit.http import HttpResponse
from tailrace.connector_kit.registry import validate_settings
from tailrace.core.batches import BatchResult
from tailrace.core.errors import DestinationInvalid
from tailrace.core.rows import DELIVERED, Operation, rejected
from tailrace.destinations.http import HttpDestination, HttpSettings
from tailrace.testing.destination_contract import batch_of
from tailrace.testing.fake_http import FakeHttp, answer


async def sent(response: HttpResponse, operation: Operation, rows: int, rows_per_batch: int) -> BatchResult:
    settings = validate_settings(HttpSettings, {"url": "https://api.example.com/", "rows_per_batch": rows_per_batch})
    async with HttpDestination.open(settings, FakeHttp(response)) as destination:
        plan = await destination.plan(Target("people", operation, ("id",), ("id",)))
        return await destination.write(plan, batch_of(operation, *(b'{"id":%d}' % n for n in range(rows))))


@pytest.mark.parametrize("code", ["NOT_FOUND", "gone", 404, "410"])
async def test_row_that_is_not_there_is_deleted(code: str | int) -> None:
    results = [{"status": "rejected", "code": code}, {"status": "ok"}, {"status": "rejected", "code": "LOCKED"}]

    result = await sent(answer(200, {"results": results}), Operation.DELETE, 3, 500)

    assert result.outcomes == [DELIVERED, DELIVERED, rejected("LOCKED", "")]


async def test_row_that_is_not_there_cannot_be_updated() -> None:
    results = [{"status": "rejected", "code": "NOT_FOUND"}]

    result = await sent(answer(200, {"results": results}), Operation.UPDATE, 1, 500)

    assert result.outcomes == [rejected("NOT_FOUND", "")]


@pytest.mark.parametrize("status", [404, 410])
async def test_status_of_a_request_for_one_row_speaks_of_the_row(status: int) -> None:
    result = await sent(answer(status), Operation.DELETE, 1, 1)

    assert result.outcomes == [DELIVERED]


@pytest.mark.parametrize(
    ("operation", "rows_per_batch"),
    [(Operation.DELETE, 500), (Operation.UPSERT, 1)],
    ids=["part of a batch", "no delete"],
)
async def test_address_that_is_not_there_is_no_deleted_row(operation: Operation, rows_per_batch: int) -> None:
    with pytest.raises(DestinationInvalid):
        await sent(answer(404), operation, 1, rows_per_batch)
