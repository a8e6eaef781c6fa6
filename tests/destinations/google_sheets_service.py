"""A spreadsheet on loopback: token, titles, values, and updates that are applied all or not at all."""

import json
from copy import deepcopy
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web

from tests.destinations.loopback_service import LoopbackService

Grid = list[list[Any]]
SPARE_ROWS = 100
TEXTS = {"stringValue": str, "numberValue": (int, float), "boolValue": bool}


class SpreadsheetService(LoopbackService):
    """One sheet, `people`, with a header; gives tokens as long as it knows us."""

    def __init__(self) -> None:
        super().__init__()
        self.grid: Grid = [["id", "name", "score", "notes"]]
        self.refused_names: set[str] = set()
        self.knows_us = True
        self.counts_rows = True
        self.asked: list[dict[str, Any]] = []
        self.next_answer: web.Response | None = None
        self.column_answer: web.Response | None = None

    async def answer(self, request: web.Request) -> web.Response:
        if request.path == "/token":
            return self._token(parse_qs(await request.text()))
        if request.headers.get("Authorization") != "Bearer google-token":
            return _error(401, "UNAUTHENTICATED")
        if request.method == "POST":
            return await self._update(request, json.loads(await request.read(), parse_float=str, parse_int=str))
        if "/values/" in request.path:
            return self.column_answer or self._values(request)
        if "ranges" in request.query:
            return self._header(request)
        sheets = [{"properties": {"title": "people", "sheetType": "GRID"}}]
        return web.json_response({"sheets": [*sheets, {"properties": {"title": "chart", "sheetType": "OBJECT"}}]})

    def _token(self, form: dict[str, list[str]]) -> web.Response:
        is_known = self.knows_us and form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
        if not is_known:
            return web.json_response({"error": "invalid_grant"}, status=400)
        return web.json_response({"access_token": "google-token", "expires_in": 3599, "token_type": "Bearer"})

    def _header(self, request: web.Request) -> web.Response:
        asked = "sheets(properties(sheetId,gridProperties.rowCount),data.rowData.values.effectiveValue)"
        assert (request.query["ranges"], request.query["fields"]) == ("'people'!1:1", asked)
        cells = [{"effectiveValue": {"stringValue": name}} if name else {} for name in self.grid[0]]
        data = [{"rowData": [{"values": cells}]}] if cells else [{}]
        properties = {"sheetId": 7, "gridProperties": {"rowCount": self._rows} if self.counts_rows else {}}
        return web.json_response({"sheets": [{"properties": properties, "data": data}]})

    @property
    def _rows(self) -> int:
        """Of the grid: those that have never been used too."""
        return len(self.grid) + SPARE_ROWS

    def _values(self, request: web.Request) -> web.Response:
        title, _, cells = request.path.rpartition("/")[2].partition("!")
        asked = {"majorDimension": "COLUMNS", "valueRenderOption": "UNFORMATTED_VALUE", "prettyPrint": "false"}
        assert (title, dict(request.query)) == ("'people'", asked)
        first, last = (int(cell[1:]) for cell in cells.split(":"))
        assert cells[0] == cells.partition(":")[2][0]
        if first > self._rows:
            return _error(400, "INVALID_ARGUMENT")
        column = ord(cells[0]) - ord("A")
        values = [row[column] if len(row) > column else "" for row in self.grid[first - 1 : last]]
        while values and values[-1] == "":
            values.pop()
        return web.json_response({"majorDimension": "COLUMNS"} | ({"values": [values]} if values else {}))

    async def _update(self, request: web.Request, body: dict[str, Any]) -> web.Response:
        self.asked.append(body)
        await self.turn(request)
        if self.next_answer is not None:
            return self.next_answer
        grid = deepcopy(self.grid)
        for each in body["requests"]:
            _apply(grid, each)
        if self.refused_names & {str(row[1]) for row in grid if len(row) > 1}:
            return _error(400, "INVALID_ARGUMENT")
        self.grid = grid
        return web.json_response({"spreadsheetId": "x", "replies": []})


def _apply(grid: Grid, request: dict[str, Any]) -> None:
    [(kind, told)] = request.items()
    if kind == "deleteDimension":
        place = told["range"]
        assert (place["sheetId"], place["dimension"]) == ("7", "ROWS")
        del grid[int(place["startIndex"]) : int(place["endIndex"])]
        return
    assert told["fields"] == "userEnteredValue"
    rows = [[_value(cell) for cell in row["values"]] for row in told["rows"]]
    if kind == "appendCells":
        assert told["sheetId"] == "7"
        grid.extend(rows)
        return
    assert kind == "updateCells"
    row, column = int(told["start"]["rowIndex"]), int(told["start"]["columnIndex"])
    [values] = rows
    grid[row] += [""] * (column + len(values) - len(grid[row]))
    grid[row][column : column + len(values)] = values


def _value(cell: dict[str, Any]) -> object:
    """The cell as the API gives it back; a number as the double that Sheets keeps."""
    if "userEnteredValue" not in cell:
        return ""
    [(kind, value)] = cell["userEnteredValue"].items()
    assert kind in TEXTS
    return json.loads(value) if kind == "numberValue" else value


def _error(status: int, code: str) -> web.Response:
    return web.json_response({"error": {"code": status, "message": "no", "status": code}}, status=status)
