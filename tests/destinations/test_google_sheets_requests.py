"""Requests to Google Sheets are those that Google describes, and the spreadsheet on loopback answers as described."""

import jsonschema
import pytest

from tailrace.connector_kit.destination import Target
from tailrace.connector_kit.google_accounts import TOKENS
from tailrace.connector_kit.http import HttpClient, HttpRequest, HttpResponse
from tailrace.core.rows import Operation
from tailrace.destinations.google_sheets import API, GoogleSheetsDestination
from tailrace.runtime.http import AiohttpClient
from tailrace.testing.destination_contract import batch_of
from tests.destinations.google_discovery import Description
from tests.destinations.google_sheets_service import SpreadsheetService
from tests.destinations.loopback_service import Rerouted
from tests.destinations.test_google_sheets_destination import ORIGINS, settings

SHEETS = Description("sheets.v4", "Request", "ExtendedValue")
SCOPE = "https://www.googleapis.com/auth/spreadsheets"
FIELDS = ("id", "name", "score", "notes")
CHANGED = b'{"id":"1","name":null,"score":1.5,"notes":true}'
ADDED = b'{"id":2,"name":"=1+1","score":12345678901234567890,"notes":null}'
APART = b'{"id":"1","name":"Ada","notes":"x"}'


class Judged(HttpClient):
    """Lets nothing through that Google does not describe, but for tokens."""

    def __init__(self, http: HttpClient) -> None:
        self._http = http
        self.asked: list[str] = []

    async def send(self, request: HttpRequest) -> HttpResponse:
        response = await self._http.send(request)
        if request.url != TOKENS:
            SHEETS.refuse_what_is_not(request, response, SCOPE)
            self.asked.append(request.method)
        return response


@pytest.mark.parametrize(
    ("operation", "bodies"),
    [(Operation.UPSERT, (CHANGED, ADDED)), (Operation.UPDATE, (APART,)), (Operation.DELETE, (CHANGED,))],
)
async def test_every_call_is_one_that_google_describes(operation: Operation, bodies: tuple[bytes, ...]) -> None:
    service = SpreadsheetService()
    service.grid += [["1", "Ada", 1, "mine"]]

    async with service.served(), AiohttpClient.open(allow_private=True) as http:
        judged = Judged(Rerouted(http, service.url, *ORIGINS))
        async with GoogleSheetsDestination.open(settings(), judged) as destination:
            await destination.fields("people")
            plan = await destination.plan(Target("people", operation, ("id",), FIELDS))
            await destination.write(plan, batch_of(operation, *bodies))

    assert (judged.asked.count("GET"), judged.asked.count("POST")) == (6, 1)


def test_mask_of_what_is_written_names_a_part_of_a_cell() -> None:
    assert "userEnteredValue" in SHEETS.document["schemas"]["CellData"]["properties"]
    assert SHEETS.document["rootUrl"] + "v4/spreadsheets" == API


@pytest.mark.parametrize(
    "wrong",
    [
        {"updateCells": {"cells": []}},
        {"appendCells": {"sheetId": "7"}},
        {"appendCells": {"rows": [{"values": [{"userEnteredValue": {}}]}]}},
        {"appendCells": {"rows": [{"values": [{"userEnteredValue": {"boolValue": True, "stringValue": "x"}}]}]}},
        {"deleteDimension": {"range": {"dimension": "LINES"}}},
        {"appendCells": {}, "updateCells": {}},
        {},
    ],
)
def test_description_refuses_what_google_would(wrong: object) -> None:
    with pytest.raises(jsonschema.ValidationError):
        SHEETS.validate({"requests": [wrong]}, "BatchUpdateSpreadsheetRequest")
