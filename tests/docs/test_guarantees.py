"""The page of guarantees names tests that exist, for each of the guarantees."""

import re

from tests.architecture.source import ROOT
from tests.faults.named import missing

PAGE = ROOT / "deploy" / "docs" / "guarantees.md"

_TEST = re.compile(r"`(tests/[\w/]+\.py(?:::\w+)*)`")
_SECTION = re.compile(r"^## (G\d+) ", re.MULTILINE)


def sections() -> dict[str, str]:
    """The text of each guarantee, by its number."""
    parts = _SECTION.split(PAGE.read_text())
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_guarantee_has_its_place() -> None:
    assert list(sections()) == [f"G{number}" for number in range(1, 18)]


def test_every_guarantee_names_a_promise_a_mechanism_a_test_and_a_figure() -> None:
    parts = ("**Promise.**", "**Mechanism.**", "**Tests.**", "**Measured.**")

    lacking = [(name, part) for name, text in sections().items() for part in parts if part not in text]

    assert lacking == []


def test_every_guarantee_is_tested() -> None:
    assert [name for name, text in sections().items() if not _TEST.search(text)] == []


def test_every_test_that_the_page_names_exists() -> None:
    named = _TEST.findall(PAGE.read_text())

    assert [test for test in named if missing(test)] == []
