"""What a batch changes in a sheet of Google Sheets: the requests of one update, applied whole or not at all."""

from collections.abc import Iterator, Mapping, Sequence

from tailrace.connector_kit.destination import Target
from tailrace.connector_kit.manifest.encoding import Digits, as_text
from tailrace.connector_kit.manifest.parts import read_json
from tailrace.core.rows import DELIVERED, Operation, RowOutcome, rejected

CELL_CHARACTERS = 50_000
"""https://support.google.com/drive/answer/37603, looked at on 2026-11-22."""

_DIGITS = 15
_AMBIGUOUS = rejected("AMBIGUOUS_KEY", "this key stands in the sheet several times")
_MISSING = rejected("NOT_FOUND", "no row of the sheet has this key")


class SheetChanges:
    """Takes the rows of a batch in, in order, and gives the requests that write them."""

    def __init__(
        self, sheet_id: int, columns: Mapping[str, int], places: Mapping[str, Sequence[int]], target: Target
    ) -> None:
        self._sheet_id = sheet_id
        self._columns = columns
        self._places = places
        self._target = target
        self._updates: list[object] = []
        self._added: list[object] = []
        self._gone: list[int] = []

    def take(self, fields: Mapping[str, object]) -> RowOutcome:
        """Take in a row; what it says holds once the request is applied."""
        key = as_text(fields.get(self._target.key_fields[0]))
        if not key:
            return rejected("EMPTY_KEY", f"a row needs a value in {self._target.key_fields[0]}")
        places = self._places.get(key, ())
        if len(places) > 1:
            return _AMBIGUOUS
        if self._target.operation is Operation.DELETE:
            self._gone += places
            return DELIVERED
        if not places and self._target.operation is Operation.UPDATE:
            return _MISSING
        long = next((name for name, value in fields.items() if len(as_text(value)) > CELL_CHARACTERS), None)
        if long is not None:
            return rejected("CELL_TOO_LONG", f"a cell holds {CELL_CHARACTERS} characters", field=long)
        cells = {self._columns[name]: _cell(value) for name, value in fields.items()}
        if not _is_kept(key):
            cells[self._columns[self._target.key_fields[0]]] = {"userEnteredValue": {"stringValue": key}}
        if places:
            self._updates += self._update(places[0], cells)
        else:
            self._added.append({"values": [cells.get(at, {}) for at in range(max(cells) + 1)]})
        return DELIVERED

    def requests(self) -> list[object]:
        """Changes, then new rows; rows are taken away from the last upwards, so that none moves before its turn."""
        added = {"appendCells": {"sheetId": self._sheet_id, "rows": self._added, "fields": "userEnteredValue"}}
        gone = [
            {
                "deleteDimension": {
                    "range": {"sheetId": self._sheet_id, "dimension": "ROWS", "startIndex": at, "endIndex": at + 1}
                }
            }
            for at in sorted(self._gone, reverse=True)
        ]
        return [*self._updates, *([added] if self._added else []), *gone]

    def _update(self, row: int, cells: Mapping[int, object]) -> Iterator[object]:
        """A request for each run of neighbouring columns."""
        for first in sorted(at for at in cells if at - 1 not in cells):
            values: list[object] = []
            while first + len(values) in cells:
                values.append(cells[first + len(values)])
            start = {"sheetId": self._sheet_id, "rowIndex": row, "columnIndex": first}
            yield {"updateCells": {"start": start, "rows": [{"values": values}], "fields": "userEnteredValue"}}


def _cell(value: object) -> object:
    """A value as a cell that says nothing but it; one that says nothing is emptied."""
    match value:
        case None:
            return {}
        case bool():
            return {"userEnteredValue": {"boolValue": value}}
        case Digits() if sum(each.isdigit() for each in value.lower().partition("e")[0]) <= _DIGITS:
            return {"userEnteredValue": {"numberValue": value}}
    return {"userEnteredValue": {"stringValue": as_text(str(value))}}


def _is_kept(key: str) -> bool:
    """Whether a key that is a number would be read again as it was written: 1.50 would not."""
    number = read_json(key.encode())
    return not isinstance(number, float) or as_text(number) == key
