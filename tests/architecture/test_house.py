from pathlib import PurePosixPath

import pytest

from tests.architecture.import_rules import broad_places, local_import_places
from tests.architecture.listed import BROAD_EXCEPTS, LOCAL_IMPORTS
from tests.architecture.rules import RULES, Rule
from tests.architecture.source import ROOT, files, python_modules
from tests.architecture.text_rules import forbidden_in

TOP_LEVEL = {"pyproject.toml", "README.md", "LICENSE", "Makefile", "libs", "services", "tests", "deploy"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_module_keeps_the_rule(rule: Rule) -> None:
    modules = python_modules()

    breaks = [found for module in modules for found in rule.breaks(module)]

    assert not breaks, "\n".join(breaks)


def test_there_is_something_to_look_at() -> None:
    paths = {module.path for module in python_modules()}

    assert {"libs/tailrace/core/rows.py", "tests/architecture/test_house.py"} <= paths


def test_every_listed_broad_except_is_still_there() -> None:
    places = {place for module in python_modules() for _, place in broad_places(module)}

    assert BROAD_EXCEPTS.keys() - places == set()


def test_every_listed_local_import_is_still_there() -> None:
    places = {place for module in python_modules() for place in local_import_places(module)}

    assert LOCAL_IMPORTS.keys() - places == set()


def test_no_file_tells_of_a_machine_or_an_index() -> None:
    texts = {path: (ROOT / path).read_text(errors="replace") for path in files()}

    found = [f"{path}:{what}" for path, text in texts.items() for what in forbidden_in(text)]

    assert not found, "\n".join(found)


def test_top_level_holds_the_few_names_that_a_reader_expects() -> None:
    tops = {PurePosixPath(path).parts[0] for path in files()}

    unexpected = {top for top in tops if not top.startswith(".")} - TOP_LEVEL

    assert unexpected == set()


def test_no_lock_that_records_an_index_address_is_kept() -> None:
    names = {PurePosixPath(path).name for path in files()}

    assert names & {"uv.lock", "pylock.toml", "poetry.lock"} == set()
