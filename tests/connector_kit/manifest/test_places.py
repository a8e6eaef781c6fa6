"""Where things stand in the documents of vendors."""

import pytest

from tailrace.connector_kit.manifest.parts import MISSING, look_up

REFUSED = {
    "details": [
        {"reason": "INVALID_ARGUMENT"},
        {"violations": []},
        {"violations": [{"field": "a"}, {"field": "b", "reason": "BAD_HASH"}]},
    ],
    "*": "a name",
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("details.0.reason", "INVALID_ARGUMENT"),
        ("/details/2/violations/1/field", "b"),
        ("details.*.violations.*.field", "a"),
        ("details.*.violations.*.reason", "BAD_HASH"),
        ("details.*.reason", "INVALID_ARGUMENT"),
        ("details.1.violations.*", MISSING),
        ("details.*.code", MISSING),
        ("details.3", MISSING),
        ("*", "a name"),
        ("", REFUSED),
    ],
)
def test_place_is_found_or_there_is_nothing(path: str, found: object) -> None:
    assert look_up(REFUSED, path) == found
