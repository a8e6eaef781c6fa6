"""The import contracts of pyproject.toml see a break; `make check` runs them on the tree itself."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.architecture.source import ROOT, python_modules

CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]

# The contract that must break, the module that breaks it, and what that module imports.
BREAKS = [
    ("Imports point down the layers", "tailrace/core/planted.py", "tailrace.observe"),
    ("Imports point down the layers", "tailrace/store/planted.py", "tailrace.bus"),
    ("Imports point down the layers", "tailrace_gateway/planted.py", "tailrace_executor"),
    ("Imports point down the layers", "tailrace_gateway/planted.py", "tailrace.testing"),
    ("Imports point down the layers", "tailrace/pipeline/planted.py", "tailrace.destinations"),
    ("A connector needs the kit", "tailrace/destinations/planted.py", "tailrace.store"),
    ("One destination does not know another", "tailrace/destinations/planted.py", "tailrace.destinations.b"),
    ("One warehouse does not know another", "tailrace/warehouses/planted.py", "tailrace.warehouses.b"),
    ("The walk of a row and the store know no events", "tailrace/store/planted.py", "tailrace.events"),
    ("The store and the bus know no connectors", "tailrace/bus/planted.py", "tailrace.connector_kit"),
    ("The chassis walks no rows", "tailrace/runtime/planted.py", "tailrace.pipeline"),
    ("A service is no command", "tailrace_executor/planted.py", "tailrace.cli"),
    ("PostgreSQL is spoken in the store", "tailrace/pipeline/planted.py", "asyncpg"),
    ("Kafka is spoken in the bus", "tailrace/runtime/planted.py", "aiokafka"),
    ("The words do no input or output", "tailrace/core/planted.py", "aiohttp"),
]


@pytest.fixture
def skeleton(tmp_path: Path) -> Path:
    """The packages of the house, empty, with two connectors in each folder of connectors."""
    packages = {Path(module.path).parent for module in python_modules() if module.is_product}
    for package in packages:
        inside = tmp_path / Path(*package.parts[1:])
        inside.mkdir(parents=True, exist_ok=True)
        (inside / "__init__.py").touch()
    for kind in ("destinations", "warehouses"):
        (tmp_path / "tailrace" / kind / "a.py").touch()
        (tmp_path / "tailrace" / kind / "b.py").touch()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(skeleton: Path) -> str:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"],
        cwd=skeleton,
        capture_output=True,
        check=False,
        text=True,
        timeout=50,
    )
    return done.stdout + done.stderr


def test_empty_house_keeps_every_contract(skeleton: Path) -> None:
    said = lint(skeleton)

    assert f"Contracts: {len(CONFIG['contracts'])} kept, 0 broken." in said


@pytest.mark.parametrize(("contract", "place", "imported"), BREAKS, ids=[f"{p} {i}" for _, p, i in BREAKS])
def test_contract_sees_a_planted_import(skeleton: Path, contract: str, place: str, imported: str) -> None:
    (skeleton / place).write_text(f"import {imported}\n")

    said = lint(skeleton)

    assert [line for line in said.splitlines() if line.startswith(contract) and line.endswith("BROKEN")]


def test_every_contract_has_a_planted_break() -> None:
    names = {contract["name"] for contract in CONFIG["contracts"]}

    unproven = {name for name in names if not any(name.startswith(start) for start, _, _ in BREAKS)}

    assert unproven == set()


def test_every_package_has_its_place_in_the_layers() -> None:
    layers = {name.strip() for row in CONFIG["contracts"][0]["layers"] for name in row.split("|")}
    folders = {Path(module.path).parts[:-1] for module in python_modules() if module.is_product}

    homeless = {".".join(folder[1:3]) for folder in folders} - {"tailrace"} - layers

    # A folder inside a service belongs to the service.
    assert {name for name in homeless if name.partition(".")[0] not in layers} == set()
