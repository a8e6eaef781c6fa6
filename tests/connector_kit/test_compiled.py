"""What compiled code leaves to Python, and that no text makes it read where it must not."""

import shutil
import sysconfig
from array import array
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.connector_kit.compiled import COPY_CELLS, LINE_ORDER, CellField, CopyCells, How, Known
from tailrace.core.written_keys import WrittenKeys

HAS_COMPILER = bool(shutil.which("cc")) and (Path(sysconfig.get_path("include")) / "Python.h").exists()


NAME = [CellField(b"[", 0, How.TEXT)]


def hashed(body: bytes) -> bytes:
    """Something of eight bytes."""
    return body.ljust(8)[:8]


def known(*keys: str) -> Known:
    """What is known of people of one name."""
    return Known(orjson.dumps(keys), hashed(b'["a"]') * len(keys), 1, 0)


@pytest.fixture(scope="module")
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


def test_lines_are_compared_with_what_is_known_as_far_as_both_go(copy_cells: CopyCells) -> None:
    text = b"a\t1\nb\t3\nc\t4\nd\t6"

    some = copy_cells.sift(text, 0, 2, NAME, b"]", known("1", "2", "4", "5"), hashed)
    rest = copy_cells.sift(text, some.start, 2, NAME, b"]", known("7"), hashed)

    assert some.found == [(1, 4, 1, "2"), (1, 4, -1, None), (2, 8, 2, None), (3, 12, 3, "5")]
    assert (some.rows, some.start, some.known_start, some.place) == (3, 12, 17, 4)
    assert rest == (1, len(text), 1, 0, [(0, 12, -1, None)])


@pytest.mark.parametrize("odd", [rb"b\t\N", rb"b\tx\\ty", b"b\t1", b"b\t0", b"b\t" + b"2" * 1025, b"NaN\t2"])
def test_lines_are_compared_up_to_one_that_needs_a_closer_look(copy_cells: CopyCells, odd: bytes) -> None:
    field = [CellField(b"[", 0, How.DIGITS)]

    found = copy_cells.sift(b"a\t1\n" + odd, 0, 2, field, b"]", known("1", "3"), hashed)

    assert (found.rows, found.start, found.found) == (1, 4, [(0, 0, 0, None)])


@pytest.mark.parametrize(
    ("text", "start", "what_is_known", "says"),
    [
        (b"a\t1", 5, known("1"), "nothing to begin at"),
        (b"a\t1", -1, known("1"), "nothing to begin at"),
        (b"a\t1", 0, known("1")._replace(start=6), "nothing to begin at"),
        (b"a\t1", 0, known("1")._replace(place=-1), "nothing to begin at"),
        (b"a\t2", 0, known("1")._replace(hashes=bytes(16)), "fewer keys are known"),
        (b"a\t2", 0, known("1")._replace(start=2), "fewer keys are known"),
        (b"1", 0, known("1"), "too few cells"),
    ],
)
def test_what_does_not_fit_what_is_known_is_an_error(
    copy_cells: CopyCells, text: bytes, start: int, what_is_known: Known, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        copy_cells.sift(text, start, 2, NAME, b"]", what_is_known, hashed)


def test_hash_of_another_size_is_an_error(copy_cells: CopyCells) -> None:
    with pytest.raises(ValueError, match="another size"):
        copy_cells.sift(b"a\t1", 0, 2, NAME, b"]", known("1"), lambda _: b"short")


@pytest.mark.parametrize("size", range(20))
def test_cells_of_any_length_are_cut_wherever_they_stand(copy_cells: CopyCells, size: int) -> None:
    cells = [b"x" * at for at in (size, 0, 3, size, 17, 0, 0, 8)]
    fields = [CellField(b",", at, How.BARE) for at in range(len(cells))]
    line = b"\t".join(cells)

    written = copy_cells.write_objects(b"\n".join([line, line + b"\t\t\xff", line]), len(cells), fields, b"")

    assert written == [b"".join(b"," + cell for cell in cells)] * 3
    with pytest.raises(ValueError, match="too few cells"):
        copy_cells.write_objects(line[: line.rindex(b"\t")], len(cells), fields, b"")


@given(
    st.lists(
        st.text(st.characters(min_codepoint=32, exclude_characters='"\\', exclude_categories=["Cs"]), max_size=12),
        min_size=1,
        max_size=30,
    ).filter(lambda keys: all(map(str.__ne__, keys, keys[1:])))
)
def test_lines_are_written_as_keys(copy_cells: CopyCells, keys: list[str]) -> None:
    text = "\n".join(f"a\t{key}" for key in keys).encode()

    array, starts = copy_cells.write_keys(text, 1, 1024) or (b"", b"")

    assert array == orjson.dumps(keys)
    assert WrittenKeys(array, memoryview(starts).cast("I")) == [(key,) for key in keys]


@pytest.mark.parametrize("key", [b"\\N", b"a\\tb", b'a"b', b"\x07", b"12345678\x1f", b"before", b"x" * 9, b""])
def test_key_that_is_odd_is_left_to_others(copy_cells: CopyCells, key: bytes) -> None:
    found = copy_cells.write_keys(b"a\tbefore\na\t" + key, 1, 8)

    assert (found is None) == bool(key)


lined = st.dictionaries(st.integers(0, 40).map(str), st.integers(-(2**63), 2**63 - 1) | st.integers(-2, 2), max_size=12)


@given(lined, lined, st.data())
def test_lines_that_bring_their_hash_are_compared_with_it(
    copy_cells: CopyCells, before: dict[str, int], after: dict[str, int], data: st.DataObject
) -> None:
    before |= {key: after[key] for key in after if data.draw(st.booleans())}
    text = "".join(f"{after[key]}\t{key}\n" for key in sorted(after)).encode()
    last = max(after, default="")

    told = copy_cells.sift_hashes(text, 0, hashes_of(before))

    is_used_up = bool(before) and last > max(before)
    seen = [key for key in sorted(after) if not is_used_up or key <= max(before)] if before else []
    found = {each.key or sorted(after)[each.row]: (each.place, each.key is None) for each in told.found}
    place_of = {key: at for at, key in enumerate(sorted(before))}
    new = {key: (-1, True) for key in seen if key not in before}
    changed = {key: (place_of[key], True) for key in seen if before.get(key) not in {None, after[key]}}
    unknown = {key: (place_of[key], True) for key in seen if before.get(key) == 0}
    gone = {key: (place_of[key], False) for key in before if key not in after and (is_used_up or key < last)}
    assert found == new | changed | unknown | gone
    assert told.rows == len(seen)


@pytest.mark.parametrize("text", [b"7\t1\n7\t1\n", b"7\t1\n7\t0\n", b"7\t1\n7\t\\N\n", b"7\t1\n7\t" + b"x" * 1025])
def test_line_that_brings_its_hash_and_is_odd_is_left(copy_cells: CopyCells, text: bytes) -> None:
    told = copy_cells.sift_hashes(text, 0, hashes_of({"1": 7, "9": 7, "z": 1}))

    assert (told.rows, told.start, told.found) == (1, 4, [])


def test_line_without_a_hash_is_not_as_it_is_known(copy_cells: CopyCells) -> None:
    told = copy_cells.sift_hashes(b"1\n\t2\n", 0, hashes_of({"1": 0, "2": 0}))

    assert [each.place for each in told.found] == [0, 1]


def hashes_of(some: dict[str, int]) -> Known:
    """What is known of rows by their keys."""
    in_order = sorted(some)
    return Known(orjson.dumps(in_order), array("q", [some[key] for key in in_order]).tobytes(), 1, 0)
