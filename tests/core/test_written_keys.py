"""Keys as pages keep them behave as a list of them does."""

import pickle
import tracemalloc
from collections.abc import Sequence
from itertools import accumulate

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.core.packed_keys import packed_keys, unpacked_array
from tailrace.core.rows import RowKey
from tailrace.core.written_keys import WrittenKeys, array_of, is_bare, joined_keys, keys_of

texts = st.text(st.characters(min_codepoint=32, exclude_characters='"\\', exclude_categories=["Cs"]), max_size=12)
lists = st.lists(texts, min_size=1, max_size=8)
places = st.none() | st.integers(-12, 12)


def written(keys: list[str]) -> WrittenKeys:
    """Keys as compiled code gives them."""
    sizes = (len(key.encode()) + 3 for key in keys)
    starts = bytes(memoryview(b"".join(start.to_bytes(4, "little") for start in accumulate(sizes, initial=2))))
    return WrittenKeys(orjson.dumps(keys), memoryview(starts[: 4 * len(keys)]).cast("I"))


@given(st.lists(lists, min_size=1, max_size=4), st.integers(0, 40), st.tuples(places, places))
def test_they_are_what_a_list_would_be(pieces: list[list[str]], nth: int, ends: tuple[int | None, int | None]) -> None:
    keys = joined_keys([written(piece) for piece in pieces])
    expected = [RowKey((key,)) for piece in pieces for key in piece]

    assert keys == expected
    assert len(keys) == len(expected)
    assert keys[nth % len(expected)] == expected[nth % len(expected)]
    assert keys[-1] == expected[-1]
    assert keys[slice(*ends)] == expected[slice(*ends)]
    assert keys[slice(*ends)][1:3] == expected[slice(*ends)][1:3]
    assert keys[::2] == expected[::2]
    assert array_of(keys[slice(*ends)]) == array_of(expected[slice(*ends)])
    assert keys_of(unpacked_array(packed_keys(keys))) == expected
    assert pickle.loads(pickle.dumps(keys)) == expected


def test_few_of_many_do_not_hold_all_of_them() -> None:
    tracemalloc.start()
    try:
        keys = written([f"{number:01000}" for number in range(1000)])
        few: Sequence[RowKey] = keys[500:502]
        del keys
        held_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert few == [(f"{500:01000}",), (f"{501:01000}",)]
    assert held_bytes < 100_000


def test_key_that_is_not_there_is_an_error() -> None:
    keys = written(["a", "b"])

    for each in (keys, joined_keys([keys, keys])):
        with pytest.raises(IndexError):
            each[len(each)]


@pytest.mark.parametrize(
    ("keys", "bare"),
    [([("a",), ("b",)], True), ([('say "no"',)], False), ([("a\\b",)], False), ([("a", "b")], False), ([], False)],
)
def test_array_is_bare_where_its_keys_are_single_texts_without_an_escape(
    keys: list[tuple[str, ...]], *, bare: bool
) -> None:
    assert is_bare(array_of([RowKey(key) for key in keys])) is bare
