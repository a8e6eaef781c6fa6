"""The guide through the code names what is there."""

import re
from functools import reduce
from importlib import import_module
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "deploy" / "docs" / "walks.md"
NAMES = re.findall(r"`([a-z_.]+):([A-Za-z_.]+)`", GUIDE.read_text())


@pytest.mark.parametrize(("module", "path"), NAMES, ids=[":".join(name) for name in NAMES])
def test_step_of_a_walk_is_in_the_code(module: str, path: str) -> None:
    found = reduce(getattr, path.split("."), import_module(module))

    assert callable(found)


def test_guide_names_every_step() -> None:
    assert len(NAMES) == 25
