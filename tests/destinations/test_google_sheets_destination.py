"""A spreadsheet that behaves as Google describes it: https://developers.google.com/workspace/sheets/api/reference/rest."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache

import orjson
import pytest
import pytest_asyncio
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tailrace.connector_kit.destination import Destination, Target
from tailrace.connector_kit.registry import validate_settings
from tailrace.core.errors import (
    BatchRefused,
    DestinationInvalid,
    DestinationUnavailable,
    InDoubt,
    Invalid,
    TailraceError,
    Throttled,
)
from tailrace.core.rows import DELIVERED, Operation, Verdict
from tailrace.destinations.google_sheets import ROWS_PER_READ, GoogleSheetsDestination, GoogleSheetsSettings
from tailrace.runtime.http import AiohttpClient
from tailrace.testing.destination_contract import (
    FIELDS,
    DestinationContract,
    Person,
    batch_of,
    failure_of,
    person,
    verdicts,
    write,
)
from tests.destinations.google_sheets_service import SpreadsheetService
from tests.destinations.loopback_rig import LoopbackRig
from tests.destinations.loopback_service import Rerouted

ORIGINS = ("https://sheets.googleapis.com", "https://oauth2.googleapis.com")


class SheetsRig(LoopbackRig):
    object_name = "people"
    secret = "PRIVATE KEY"

    def __init__(self, destination: Destination, service: SpreadsheetService) -> None:
        self.destination = destination
        self.service: SpreadsheetService = service

    async def people(self) -> Mapping[str, Person]:
        rows = [[*row, "", ""][:3] for row in self.service.grid[1:]]
        return {str(row[0]): dict(zip(FIELDS, map(text, row), strict=True)) for row in rows}

    async def refuse(self, name: str) -> None:
        self.service.refused_names.add(name)

    @asynccontextmanager
    async def opened(self, url: str, *, knows_us: bool = True) -> AsyncIterator[Destination]:
        self.service.knows_us = knows_us
        async with opened(url) as destination:
            yield destination


@pytest_asyncio.fixture
async def rig() -> AsyncIterator[SheetsRig]:
    service = SpreadsheetService()
    async with service.served(), opened(service.url) as destination:
        yield SheetsRig(destination, service)


class TestGoogleSheets(DestinationContract):
    # There are no inserts, and a cell knows no difference between nothing and an empty text.
    test_insert_of_a_key_that_exists_is_rejected_and_the_others_go = None  # type: ignore[assignment]  # left out
    test_null_and_empty_text_stay_apart = None  # type: ignore[assignment]  # left out
    # A cell holds 50,000 characters, a batch more.
    test_largest_row_that_the_plan_allows_is_taken = None  # type: ignore[assignment]  # left out

    async def test_only_mapped_columns_are_touched(self, rig: SheetsRig) -> None:
        rig.service.grid += [["1", "Ada", 1, "mine"]]
        target = Target("people", Operation.UPSERT, ("id",), ("id", "score"))
        plan = await rig.destination.plan(target)

        await rig.destination.write(plan, batch_of(Operation.UPSERT, b'{"id":"1","score":2}', b'{"id":"2","score":3}'))

        assert rig.service.grid[1:] == [["1", "Ada", 2, "mine"], ["2", "", 3]]

    async def test_key_that_stands_twice_is_rejected_and_the_others_go(self, rig: SheetsRig) -> None:
        rig.service.grid += [["1", "a"], ["1", "b"], ["2", "c"]]

        outcomes = await write(rig, Operation.UPSERT, person("1", "x"), person("2", "y"))

        assert [(each.verdict, each.code) for each in outcomes] == [
            (Verdict.REJECTED, "AMBIGUOUS_KEY"),
            (Verdict.DELIVERED, ""),
        ]
        assert [row[1] for row in rig.service.grid[1:]] == ["a", "b", "y"]

    async def test_text_that_looks_like_a_formula_stays_text(self, rig: SheetsRig) -> None:
        await write(rig, Operation.UPSERT, person("1", '=IMPORTXML("https://x","//a")'))

        [asked] = rig.service.asked
        [row] = asked["requests"][0]["appendCells"]["rows"]
        assert row["values"][1] == {"userEnteredValue": {"stringValue": '=IMPORTXML("https://x","//a")'}}

    @pytest.mark.parametrize("key", ["7", "1.50", "0.1", "-3", "12345678901234567890", "1e3"])
    async def test_key_that_is_a_number_is_found_again(self, rig: SheetsRig, key: str) -> None:
        body = f'{{"id":{key},"name":"Ada"}}'.encode()

        await write(rig, Operation.UPSERT, body)
        again = await write(rig, Operation.UPSERT, body)

        assert again == [DELIVERED]
        assert len(rig.service.grid) == 2

    @pytest.mark.parametrize(
        ("rows", "length"),
        [pytest.param(ROWS_PER_READ + 5, 1, id="many"), pytest.param(400, 50_000, id="long: 20 MB")],
    )
    async def test_row_is_found_in_a_column_that_no_answer_holds(self, rig: SheetsRig, rows: int, length: int) -> None:
        rig.service.grid += [[f"{n:0>{length}}", "old"] for n in range(rows)]

        await write(rig, Operation.UPSERT, person(f"{rows - 1:0>{length}}", "new"))

        assert len(rig.service.grid) == rows + 1
        assert [row[1] for row in rig.service.grid[-2:]] == ["old", "new"]

    async def test_row_below_empty_ones_is_found(self, rig: SheetsRig) -> None:
        rig.service.grid += [*[[]] * ROWS_PER_READ, ["1", "old"]]

        await write(rig, Operation.UPSERT, person("1", "new"))

        assert rig.service.grid[ROWS_PER_READ + 1 :] == [["1", "new", ""]]

    async def test_longer_sheet_is_written_to_at_a_lower_pace(self, rig: SheetsRig) -> None:
        short = await rig.plan(Operation.UPSERT)
        rig.service.grid += [[]] * 2 * ROWS_PER_READ

        assert (short.requests_per_s, (await rig.plan(Operation.UPSERT)).requests_per_s) == (0.4, 0.2)

    async def test_many_rows_are_taken_away_without_hitting_others(self, rig: SheetsRig) -> None:
        rig.service.grid += [[str(n), f"name {n}"] for n in range(30)]

        await write(rig, Operation.DELETE, *(person(str(n), None) for n in range(0, 30, 2)))

        assert [row[0] for row in rig.service.grid[1:]] == [str(n) for n in range(1, 30, 2)]

    async def test_cell_that_is_too_long_is_rejected_and_the_others_go(self, rig: SheetsRig) -> None:
        outcomes = await write(rig, Operation.UPSERT, person("1", "x" * 50_001), person("2", "y"))

        assert verdicts(outcomes) == [Verdict.REJECTED, Verdict.DELIVERED]
        assert (outcomes[0].code, outcomes[0].field) == ("CELL_TOO_LONG", "name")

    @pytest.mark.parametrize(
        ("status", "body", "error"),
        [(429, b"{}", Throttled), (500, b"{}", TailraceError), (404, b"{}", DestinationInvalid)],
    )
    async def test_answer_for_the_whole_batch_is_an_error(
        self, rig: SheetsRig, status: int, body: bytes, error: type[Exception]
    ) -> None:
        plan = await rig.plan(Operation.UPSERT)
        rig.service.next_answer = web.Response(status=status, body=body)

        with pytest.raises(error) as failed:
            await rig.destination.write(plan, batch_of(Operation.UPSERT, person("1", "private-name")))

        assert not isinstance(failed.value, InDoubt)
        assert "private-name" not in str(failed.value)
        assert getattr(failed.value, "retry_after_s", 60) == 60

    @pytest.mark.parametrize("operation", [Operation.UPSERT, Operation.DELETE])
    async def test_keys_that_a_sheet_takes_for_one_are_sent_apart(self, rig: SheetsRig, operation: Operation) -> None:
        rig.service.grid += [["1", "a"], ["2", "b"]]
        plan = await rig.plan(operation)

        refusal = await failure_of(rig.destination.write(plan, batch_of(operation, b'{"id":"1"}', b'{"id":1}')))

        assert isinstance(refusal, BatchRefused)
        assert rig.service.asked == []

    @pytest.mark.parametrize(
        ("status", "body", "error", "told"),
        [
            (400, b"{}", DestinationInvalid, "does not take the question"),
            (200, b"<html>", DestinationUnavailable, "is no JSON object"),
        ],
    )
    async def test_keys_that_google_does_not_tell_stop_the_batch(
        self, rig: SheetsRig, status: int, body: bytes, error: type[Exception], told: str
    ) -> None:
        plan = await rig.plan(Operation.UPSERT)
        rig.service.column_answer = web.Response(status=status, body=body)

        with pytest.raises(error, match=told):
            await rig.destination.write(plan, batch_of(Operation.UPSERT, person("1", "Ada")))

        assert rig.service.asked == []

    async def test_rows_that_google_does_not_count_stop_the_batch(self, rig: SheetsRig) -> None:
        plan = await rig.plan(Operation.UPSERT)
        rig.service.counts_rows = False

        with pytest.raises(DestinationUnavailable, match="how many rows"):
            await rig.destination.write(plan, batch_of(Operation.UPSERT, person("1", "Ada")))

        assert rig.service.asked == []

    @pytest.mark.parametrize(
        ("header", "told"),
        [
            (["id", "name", "name"], "no name twice"),
            ([], "must name each column"),
            (["id", "name"], "no column score; it has id, name"),
        ],
    )
    async def test_header_that_does_not_fit_is_refused(self, rig: SheetsRig, header: list[str], told: str) -> None:
        rig.service.grid[0] = header

        with pytest.raises(DestinationInvalid, match=told):
            await rig.plan(Operation.UPSERT)


@pytest.mark.parametrize("account", ["", "{}", "[]", '{"client_email":"a@b"}', "private-text"])
def test_account_that_is_none_is_refused_without_being_told(account: str) -> None:
    with pytest.raises(Invalid, match="paste the whole JSON file") as refused:
        validate_settings(GoogleSheetsSettings, {"spreadsheet_id": "x", "service_account": account})

    assert "private" not in refused.value.message.replace("private_key", "")


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Destination]:
    async with (
        AiohttpClient.open(allow_private=True) as http,
        GoogleSheetsDestination.open(settings(), Rerouted(http, url, *ORIGINS)) as destination,
    ):
        yield destination


def settings() -> GoogleSheetsSettings:
    account = {"client_email": "robot@project.example", "private_key": rsa_key()}
    given = {"spreadsheet_id": "sheet-1", "service_account": orjson.dumps(account).decode()}
    return validate_settings(GoogleSheetsSettings, given)


@cache
def rsa_key() -> str:
    key = generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def text(value: object) -> str | None:
    return None if value == "" else value if isinstance(value, str) else orjson.dumps(value).decode()
