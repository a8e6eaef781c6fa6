import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.architecture.source import ROOT, files


@pytest.fixture
def wheel(tmp_path: Path) -> zipfile.ZipFile:
    """The wheel as a release would build it."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        check=True,
        timeout=50,
    )
    [built] = tmp_path.glob("*.whl")
    return zipfile.ZipFile(built)


def test_wheel_holds_every_file_of_the_packages(wheel: zipfile.ZipFile) -> None:
    packaged = {Path(*Path(path).parts[1:]).as_posix() for path in files() if path.startswith(("libs/", "services/"))}

    missing = packaged - set(wheel.namelist())

    assert "tailrace/py.typed" in packaged
    assert missing == set()


def test_wheel_holds_no_tests_and_no_deployment(wheel: zipfile.ZipFile) -> None:
    tops = {name.partition("/")[0] for name in wheel.namelist()}

    assert {top for top in tops if not top.startswith("tailrace")} == set()


def test_wheel_brings_the_command_and_the_services(wheel: zipfile.ZipFile) -> None:
    [entry_points] = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]

    said = wheel.read(entry_points).decode()

    assert "tailrace = tailrace.cli.main:app" in said
    assert "gateway = tailrace_gateway.__main__:service" in said
