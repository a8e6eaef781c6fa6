"""What compiled code leaves to Python, and that no text makes it read where it must not."""

import shutil
import sysconfig
from pathlib import Path

import pytest

from tailrace.connector_kit.compiled import COPY_CELLS, LINE_ORDER, CellField, CopyCells, How

HAS_COMPILER = bool(shutil.which("cc")) and (Path(sysconfig.get_path("include")) / "Python.h").exists()


@pytest.fixture
def copy_cells() -> CopyCells:
    if COPY_CELLS is None:
        pytest.skip("no C compiler was here when Tailrace was installed")
    return COPY_CELLS


def test_where_there_is_a_compiler_it_was_used() -> None:
    assert (COPY_CELLS is not None and LINE_ORDER is not None) or not HAS_COMPILER


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (b"", []),
        (b"a\t1", [("1",)]),
        ("a\té\nb\t".encode(), [("é",), ("",)]),
        (b"a\t1\t2\nb\t\t3", [("1", "2"), ("", "3")]),
        (b"a\t1\nb\t\\N", None),
        (b"a\tx\\ty", None),
        (b"a\t12345678", [("12345678",)]),
        (b"a\t123456789", None),
        (b"a\t1\nb\t1", None),
        (b"a\t1\nb\t2\nc\t1", [("1",), ("2",), ("1",)]),
    ],
)
def test_keys_are_cut_unless_there_is_more_to_them(
    copy_cells: CopyCells, text: bytes, keys: list[tuple[str, ...]] | None
) -> None:
    assert copy_cells.cut_keys(text, 1, 8) == keys


@pytest.mark.parametrize("cell", [b"NaN", b"Infinity", b"-Infinity"])
def test_number_that_json_cannot_hold_is_left_to_python(copy_cells: CopyCells, cell: bytes) -> None:
    assert copy_cells.write_objects(cell + b"\t1", 1, [CellField(b"", 0, How.DIGITS)], b"") is None


def test_line_that_ends_in_a_broken_escape_is_not_read_beyond(copy_cells: CopyCells) -> None:
    text = b"a\\\tb\\"

    [written] = copy_cells.write_objects(text, 2, [CellField(b"", 0, How.TEXT), CellField(b"", 1, How.JSON)], b"") or []

    assert written.startswith(b'"a')


@pytest.mark.parametrize("width", [3, 9])
def test_line_with_too_few_cells_is_an_error(copy_cells: CopyCells, width: int) -> None:
    field = CellField(b"", 0, How.BARE)

    with pytest.raises(ValueError, match="too few cells"):
        copy_cells.cut_keys(b"1\t2\n", width, 8)
    with pytest.raises(ValueError, match="too few cells"):
        copy_cells.cut_column(b"1\t2\n", width)
    with pytest.raises(ValueError, match="too few cells"):
        copy_cells.write_objects(b"1\t2\n", width, [field], b"")


@pytest.mark.parametrize("cell", [-1, 2])
def test_field_that_takes_no_cell_is_an_error(copy_cells: CopyCells, cell: int) -> None:
    with pytest.raises(ValueError, match="no line has"):
        copy_cells.write_objects(b"1\t2\t3", 2, [CellField(b"", cell, How.BARE)], b"")


def test_given_values_stand_where_their_field_does(copy_cells: CopyCells) -> None:
    fields = [CellField(b"[", 0, How.TEXT), CellField(b",", 0, How.GIVEN, [b"0.5", b"null"])]

    assert copy_cells.write_objects(b'a\t1\n"\t2', 1, fields, b"]") == [b'["a",0.5]', b'["\\"",null]']


def test_too_few_given_values_are_an_error(copy_cells: CopyCells) -> None:
    with pytest.raises(ValueError, match="too few values"):
        copy_cells.write_objects(b"a\t1\nb\t2", 1, [CellField(b"", 0, How.GIVEN, [b"1"])], b"")
