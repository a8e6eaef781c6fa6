from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.cli.commands import run, tailrace

MANIFEST = Path("tailrace-my-crm/tailrace_my_crm.py")


async def test_new_connector_passes_its_check(tmp_path: Path) -> None:
    made = await tailrace("connectors", "new", "my_crm", folder=tmp_path)

    checked = await tailrace("connectors", "check", str(MANIFEST), folder=tmp_path)

    assert (made.code, checked.code) == (0, 0), checked.stdout
    assert "every promise holds" in checked.stdout
    assert made.stdout.endswith("\nnext: pip install -e tailrace-my-crm, then pytest tailrace-my-crm\n")


async def test_new_connector_in_tailrace_itself_is_two_files(tmp_path: Path) -> None:
    (tmp_path / "libs/tailrace/destinations").mkdir(parents=True)

    told = await tailrace("connectors", "new", "my_crm", folder=tmp_path)

    made = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.py")]
    assert told.stdout.endswith("\nnext: tailrace connectors check libs/tailrace/destinations/my_crm.py\n")
    assert sorted(made) == ["libs/tailrace/destinations/my_crm.py", "tests/destinations/test_my_crm_destination.py"]


@pytest.mark.timeout(180)
async def test_package_of_somebody_else_is_built_installed_and_used(tmp_path: Path) -> None:
    await tailrace("connectors", "new", "my_crm", folder=tmp_path)
    package, installed = tmp_path / "tailrace-my-crm", tmp_path / "installed"

    built = await run("-m", "hatchling", "build", "-t", "wheel", folder=package)

    [wheel] = (package / "dist").glob("*.whl")
    ZipFile(wheel).extractall(installed)
    found = await tailrace("connectors", "list", "--json", environment={"PYTHONPATH": str(installed)})
    tested = await run(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", folder=package, environment={"PYTHONPATH": str(installed)}
    )
    assert built.code == 0, built.stderr
    assert "my_crm" in [each["name"] for each in found.json()["connectors"]]
    assert tested.code == 0, tested.stdout


async def test_name_that_is_taken_or_cannot_be_one_is_refused(tmp_path: Path) -> None:
    taken = await tailrace("connectors", "new", "hubspot", folder=tmp_path)
    wrong = await tailrace("connectors", "new", "My-CRM", folder=tmp_path)

    assert (taken.code, wrong.code) == (2, 2)
    assert "there is a destination 'hubspot' already" in taken.stderr
    assert "small letters" in wrong.stderr
    assert list(tmp_path.iterdir()) == []


async def test_file_that_is_there_is_never_written_over(tmp_path: Path) -> None:
    await tailrace("connectors", "new", "my_crm", folder=tmp_path)
    (tmp_path / MANIFEST).write_text("# mine")

    again = await tailrace("connectors", "new", "my_crm", folder=tmp_path)

    assert again.code == 2
    assert (tmp_path / MANIFEST).read_text() == "# mine"


async def test_mistake_is_told_with_file_and_line(tmp_path: Path) -> None:
    await tailrace("connectors", "new", "my_crm", folder=tmp_path)
    text = (tmp_path / MANIFEST).read_text()
    (tmp_path / MANIFEST).write_text(text.replace('at_most="100 rows"', 'at_most="100"'))

    checked = await tailrace("connectors", "check", str(MANIFEST), folder=tmp_path)

    line = 1 + [line.strip()[:8] for line in text.splitlines()].index("max_rows")
    assert checked.code == 1
    assert checked.stdout.startswith(f"{MANIFEST}:{line}: error: at_most: ")
