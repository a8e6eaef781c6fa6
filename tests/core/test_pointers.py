"""JSON Pointers."""

from typing import Any

import pytest

from tailrace.core.pointers import path_of, pointer, put


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("a",), "/a"),
        (("a", 0, "b"), "/a/0/b"),
        (("a/b", "c~d"), "/a~1b/c~0d"),
        (("~1",), "/~01"),
        (("",), "/"),
    ],
    ids=str,
)
def test_pointer_of_a_path_leads_back_to_it(path: tuple[str | int, ...], text: str) -> None:
    assert pointer(path) == text
    assert path_of(text) == tuple(map(str, path))


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("/a", {"a": 9, "b": [1, {"c": 2}]}),
        ("/b/0", {"a": 0, "b": [9, {"c": 2}]}),
        ("/b/1/c", {"a": 0, "b": [1, {"c": 9}]}),
        ("/d", {"a": 0, "b": [1, {"c": 2}]}),
        ("/b/2", {"a": 0, "b": [1, {"c": 2}]}),
        ("/b/x/c", {"a": 0, "b": [1, {"c": 2}]}),
        ("/a/x/y", {"a": 0, "b": [1, {"c": 2}]}),
    ],
    ids=["member", "item", "deep", "no member", "no item", "no index", "through a number"],
)
def test_put_replaces_what_is_there_and_nothing_else(place: str, expected: dict[str, Any]) -> None:
    document: dict[str, Any] = {"a": 0, "b": [1, {"c": 2}]}

    changed = put(document, {place: 9})

    assert changed == expected
    assert document == {"a": 0, "b": [1, {"c": 2}]}
