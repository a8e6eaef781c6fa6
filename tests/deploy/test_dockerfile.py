import re
import subprocess
import sys
from pathlib import Path

import pytest

from tailrace.runtime.settings import known_variables

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
HADOLINT = Path(sys.executable).with_name("hadolint")


def lint(dockerfile: str) -> str:
    done = subprocess.run([HADOLINT, "-"], input=dockerfile, capture_output=True, check=False, text=True, timeout=30)
    return done.stdout


def last_stage(dockerfile: str) -> list[str]:
    return dockerfile.rpartition("\nFROM ")[2].splitlines()


@pytest.fixture
def dockerfile() -> str:
    return (DEPLOY / "Dockerfile").read_text()


def test_image_recipe_keeps_the_linters_rules(dockerfile: str) -> None:
    assert lint(dockerfile) == ""


@pytest.mark.parametrize(
    ("good", "bad", "code"),
    [
        ("FROM ${PYTHON_IMAGE}\nARG", "FROM python:latest\nARG", "DL3007"),
        ('ENTRYPOINT ["tailrace"]', "ENTRYPOINT tailrace", "DL3025"),
        ("USER 10001:10001", "USER root", "DL3002"),
    ],
    ids=["floating base image", "shell as first process", "root"],
)
def test_linter_sees_a_spoilt_recipe(dockerfile: str, good: str, bad: str, code: str) -> None:
    spoilt = dockerfile.replace(good, bad)

    assert good in dockerfile
    assert code in lint(spoilt)


def test_image_runs_as_a_user_without_rights_and_stops_by_sigterm(dockerfile: str) -> None:
    lines = last_stage(dockerfile)

    assert {"USER 10001:10001", "STOPSIGNAL SIGTERM", 'ENTRYPOINT ["tailrace"]'} <= set(lines)


def test_every_variable_of_the_image_is_one_that_the_settings_know(dockerfile: str) -> None:
    given = set(re.findall(r"\bTAILRACE_\w+(?==)", dockerfile))

    assert given
    assert given <= set(known_variables())


def test_everything_installed_is_pinned_by_hash(dockerfile: str) -> None:
    commands = dockerfile.replace("\\\n", " ").split("\nRUN ")[1:]
    installs = [command for command in commands if re.search(r"\bpip\b[^&]* install ", command)]

    loose = [command for command in installs if not {"--require-hashes", "--no-index"} & set(command.split())]

    assert len(installs) == 3
    assert loose == []
