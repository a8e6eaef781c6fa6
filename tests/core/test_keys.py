"""Records of keys, and when two of them are one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.core.keys import canonical, record_of


@pytest.mark.parametrize(
    "record",
    [b'{"k":1.0}', b'{"k":1.00}', b'{"k":1e0}', b'{"k":10E-1}', b'{"k":1}', b'{"k":0.1e1}'],
)
def test_numbers_that_are_equal_are_one_key(record: bytes) -> None:
    assert canonical(record) == b'{"k":1}'


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (b'{"k":-0.0}', b'{"k":0}'),
        (b'{"k":-1.50}', b'{"k":-1.5}'),
        (b'{"a":"1.0","k":2.0}', b'{"a":"1.0","k":2}'),
        (b'{"k":12345678901234567890.10}', b'{"k":12345678901234567890.1}'),
    ],
)
def test_number_is_written_as_shortly_as_can_be_and_nothing_else_changes(record: bytes, expected: bytes) -> None:
    assert canonical(record) == expected


@given(st.dictionaries(st.text(max_size=4), st.text() | st.integers(-(10**18), 10**18) | st.booleans() | st.none()))
def test_record_without_fractions_is_what_it_was(values: dict[str, object]) -> None:
    record = record_of([*values], [*values.values()])

    assert canonical(record) == record
