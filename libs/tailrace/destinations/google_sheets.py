"""Google Sheets: each sheet of a spreadsheet is an object, its first row names the fields. Not verified against Google.

Sheets knows no keys: the key's column is read, and one request writes all rows of a batch, changed ones in their
places and new ones below the last; it is applied whole or not at all. A key that stands in the sheet twice is rejected.
A value is written as what it is, never as a formula; a number with more digits than a cell keeps is written as text.
Only mapped columns are touched. There are no inserts: after a lost answer nobody could tell ours from those that were
there.

Rows are found by their place at the moment of writing. While somebody sorts the sheet or takes rows away by hand, or
two syncs write to it, rows can be hit that have just moved. Share the spreadsheet with the service account as editor.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict
from pydantic import Field as Setting

from tailrace.connector_kit.answers import raise_for_status
from tailrace.connector_kit.destination import Destination, Field, Level, Object, Target, WritePlan
from tailrace.connector_kit.google_accounts import ServiceAccount, sign_in_for, values_of
from tailrace.connector_kit.http import LONG_ANSWER_BYTES, HttpClient, HttpRequest
from tailrace.connector_kit.manifest.encoding import Encoding, as_text, dumped
from tailrace.connector_kit.manifest.parts import list_at, look_up, read_json, text_at
from tailrace.connector_kit.manifest.sign_in import SignIn
from tailrace.connector_kit.sheet_changes import SheetChanges
from tailrace.connector_kit.twins import refuse_twins
from tailrace.core.batches import Batch, BatchResult
from tailrace.core.clock import Clock, SystemClock
from tailrace.core.errors import (
    AnswerTooLong,
    BatchRefused,
    DestinationInvalid,
    DestinationUnavailable,
    InDoubt,
    Throttled,
)
from tailrace.core.rows import rejected
from tailrace.core.syncs import SyncMode

API = "https://sheets.googleapis.com/v4/spreadsheets"
LIMITS = "https://developers.google.com/workspace/sheets/api/limits"
"""Looked at on 2026-11-22: 60 reads and 60 writes a minute for a user, 2 MB a request advised."""

REQUEST_BYTES = 2_000_000
READS_PER_S = 0.8
ROWS_PER_READ = 200_000
"""Of the key's column; where such an answer is too long, fewer."""

QUOTA_S = 60.0
_MODES = frozenset({SyncMode.UPSERT, SyncMode.UPDATE, SyncMode.DELETE, SyncMode.MIRROR})
_HEADERS = {"Accept": "application/json", "Content-Type": "application/json"}
_AUTH = sign_in_for("https://www.googleapis.com/auth/spreadsheets")
_ENCODING = Encoding(array="text", nested="text")


class GoogleSheetsSettings(BaseModel):
    """Which spreadsheet, and who writes to it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    spreadsheet_id: str = Setting(
        pattern=r"^[A-Za-z0-9_-]{1,200}$", description="what stands behind /d/ in its address"
    )
    service_account: ServiceAccount = Setting(description="the key file's JSON")
    rows_per_batch: int = Setting(default=1000, ge=1, le=10_000)
    bytes_per_batch: int = Setting(default=400_000, ge=1024, le=REQUEST_BYTES)


class GoogleSheetsDestination(Destination):
    """Reads the key's column, then writes the batch by one request; one batch at a time."""

    name = "google_sheets"
    label = "Google Sheets"
    level = Level.BRONZE
    verified_against = (
        "Google's own description of the API, revision 20261019, and a spreadsheet on loopback that keeps to it;"
        " not against the real Google Sheets"
    )
    settings_type = GoogleSheetsSettings
    can_leave_out = True

    def __init__(self, settings: GoogleSheetsSettings, http: HttpClient, clock: Clock) -> None:
        self._settings = settings
        self._sign_in = SignIn(_AUTH, values_of(settings.service_account), http, clock)
        self._clock = clock
        self._writing = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: BaseModel, http: HttpClient) -> AsyncIterator[Self]:
        if not isinstance(settings, GoogleSheetsSettings):
            raise TypeError(f"{cls.__name__} opens with {GoogleSheetsSettings.__name__}")
        yield cls(settings, http, SystemClock())

    async def check(self) -> None:
        await self._sheets()

    async def objects(self) -> Sequence[Object]:
        return [Object(title, title, _MODES) for title in await self._sheets()]

    async def fields(self, object_name: str) -> Sequence[Field]:
        sheet = await self._known_sheet(object_name)
        return [Field(name, name, "any", external_id=True) for name in sheet.header if name]

    async def plan(self, target: Target) -> WritePlan:
        sheet = await self._known_sheet(target.object_name)
        _check(target, sheet.header)
        return WritePlan(
            target=target,
            rows_per_batch=self._settings.rows_per_batch,
            bytes_per_batch=self._settings.bytes_per_batch,
            is_idempotent=True,
            requests_per_s=READS_PER_S / (2 + sheet.rows // ROWS_PER_READ),
        )

    async def write(self, plan: WritePlan, batch: Batch) -> BatchResult:
        async with self._writing:
            sheet = await self._sheet(plan.target.object_name)
            _check(plan.target, sheet.header)
            columns = {name: at for at, name in enumerate(sheet.header)}
            rows = [_ENCODING.fields(body) for body in batch.bodies]
            [key_field] = plan.target.key_fields
            keys = [key for each in rows if (key := as_text(each.get(key_field)))]
            refuse_twins(keys)
            places = await self._places(sheet, _letters(columns[key_field]), set(keys))
            changes = SheetChanges(sheet.sheet_id, columns, places, plan.target)
            outcomes = [changes.take(each) for each in rows]
            body = dumped({"requests": changes.requests()})
            if len(body) > REQUEST_BYTES and len(batch.rows) > 1:
                raise BatchRefused(f"the request would be {len(body)} bytes, {REQUEST_BYTES} are advised")
            if not changes.requests():
                return BatchResult(batch, outcomes)
            try:
                await self._ask("POST", ":batchUpdate", body)
            except BatchRefused as refused:
                if len(batch.rows) > 1:
                    raise
                outcomes = [rejected("REFUSED", refused.message)]
        return BatchResult(batch, outcomes)

    async def _sheets(self) -> Sequence[str]:
        document = await self._get("?fields=sheets.properties(title,sheetType)")
        sheets = [look_up(each, "properties") for each in list_at(document, "sheets") or ()]
        return [text_at(sheet, "title") for sheet in sheets if text_at(sheet, "sheetType") in {"GRID", ""}]

    async def _known_sheet(self, title: str) -> "_Sheet":
        titles = await self._sheets()
        if title not in titles:
            raise DestinationInvalid(f"the spreadsheet has no sheet {title!r}; it has {', '.join(titles)}")
        return await self._sheet(title)

    async def _sheet(self, title: str) -> "_Sheet":
        told = "sheets(properties(sheetId,gridProperties.rowCount),data.rowData.values.effectiveValue)"
        document = await self._get(f"?ranges={_range(title, '1:1')}&fields={told}")
        sheet = look_up(document, "sheets.0")
        header = [_name(cell) for cell in list_at(sheet, "data.0.rowData.0.values") or ()]
        if not any(header) or len({*header} - {""}) < len([name for name in header if name]):
            raise DestinationInvalid(f"the first row of sheet {title!r} must name each column, no name twice")
        sheet_id, rows = (text_at(sheet, f"properties.{name}") for name in ("sheetId", "gridProperties.rowCount"))
        if not rows:
            raise DestinationUnavailable(f"Google Sheets does not tell how many rows sheet {title!r} has")
        return _Sheet(title, int(sheet_id or 0), int(rows), header)

    async def _places(self, sheet: "_Sheet", column: str, keys: Collection[str]) -> dict[str, list[int]]:
        """The rows, counted from 0, in which each of the keys stands."""
        places: dict[str, list[int]] = {}
        first, step = 1, ROWS_PER_READ
        while first < sheet.rows:
            try:
                cells = await self._cells(sheet.title, f"{column}{first + 1}:{column}{min(first + step, sheet.rows)}")
            except AnswerTooLong:
                if step == 1:
                    raise
                step //= 2
                continue
            for at, cell in enumerate(cells, first):
                if (key := as_text(cell)) in keys:
                    places.setdefault(key, []).append(at)
            first += step
        return places

    async def _cells(self, title: str, cells: str) -> Sequence[object]:
        """The cells of a part of a column; empty ones at the end are left out."""
        asked = "majorDimension=COLUMNS&valueRenderOption=UNFORMATTED_VALUE&prettyPrint=false"
        return list_at(await self._get(f"/values/{_range(title, cells)}?{asked}"), "values.0") or ()

    async def _get(self, path: str) -> object:
        try:
            document = await self._ask("GET", path)
        except AnswerTooLong:
            raise
        except InDoubt as error:
            raise DestinationUnavailable(error.message) from error
        except BatchRefused as error:
            raise DestinationInvalid("Google Sheets does not take the question: check spreadsheet_id") from error
        if not isinstance(document, dict):
            raise DestinationUnavailable("the answer of Google Sheets is no JSON object")
        return document

    async def _ask(self, method: str, path: str, body: bytes = b"") -> object:
        url = f"{API}/{self._settings.spreadsheet_id}{path}"
        request = HttpRequest(method, url, _HEADERS, body, takes_bytes=LONG_ANSWER_BYTES)
        response = await self._sign_in.send(request, is_expired=lambda told: told.status == 401)  # noqa: PLR2004 - HTTP
        try:
            raise_for_status(response, now=self._clock.now())
        except Throttled as error:
            raise Throttled(error.message, retry_after_s=error.retry_after_s or QUOTA_S) from error
        return read_json(response.body)


@dataclass(frozen=True, slots=True)
class _Sheet:
    """A sheet as it is now; `rows` are those of its grid, the empty ones too."""

    title: str
    sheet_id: int
    rows: int
    header: Sequence[str]


def _check(target: Target, header: Sequence[str]) -> None:
    if len(target.key_fields) != 1:
        raise DestinationInvalid("a row of a sheet is known by one column: give one key")
    missing = [name for name in target.fields if name not in header]
    if missing:
        known = ", ".join(filter(None, header))
        raise DestinationInvalid(
            f"the first row of sheet {target.object_name!r} has no column {', '.join(missing)}; it has {known}"
        )
    if SyncMode(target.operation) not in _MODES:
        raise DestinationInvalid("Google Sheets takes upsert, update and delete: after a lost insert nobody can tell")


def _range(title: str, cells: str) -> str:
    quoted = title.replace("'", "''")
    return quote(f"'{quoted}'!{cells}", safe="")


def _name(cell: object) -> str:
    value = look_up(cell, "effectiveValue")
    return as_text(next(iter(value.values()), None)) if isinstance(value, dict) else ""


def _letters(column: int) -> str:
    """The name of a column counted from 0: A, B, ..., Z, AA."""
    name = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        name = chr(ord("A") + rest) + name
    return name
