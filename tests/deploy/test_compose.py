import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from tailrace.cli.command import build
from tailrace.runtime.settings import Settings, known_variables
from tailrace.store.grants import ROLES

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "deploy" / "compose.yaml"
SERVICES = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["tailrace.services"]
THIRD_PARTY = {"postgres", "kafka"}
JOBS = {"migrate", "topics"}


@pytest.fixture
def services() -> dict[str, Any]:
    return dict(YAML(typ="safe").load(COMPOSE)["services"])


def check_schema(file: Path) -> int:
    command = [
        str(Path(sys.executable).with_name("check-jsonschema")),
        "--builtin-schema",
        "vendor.compose-spec",
        str(file),
    ]
    return subprocess.run(command, capture_output=True, check=False, timeout=30).returncode


def test_compose_file_keeps_the_specification() -> None:
    assert check_schema(COMPOSE) == 0


def test_specification_refuses_a_misspelt_key(tmp_path: Path) -> None:
    spoilt = tmp_path / "compose.yaml"
    spoilt.write_text(COMPOSE.read_text().replace("stop_grace_period", "stop_grace_time"))

    assert check_schema(spoilt) == 1


def test_every_service_of_the_distribution_is_started_by_its_name(services: dict[str, Any]) -> None:
    commands = {name: services[name]["command"] for name in services.keys() - THIRD_PARTY - JOBS}

    assert commands == {name: [name] for name in SERVICES}


@pytest.mark.parametrize("job", sorted(JOBS))
def test_no_service_starts_before_the_schema_and_the_topics_are_there(services: dict[str, Any], job: str) -> None:
    waits = [services[name]["depends_on"][job]["condition"] for name in SERVICES]

    assert waits == ["service_completed_successfully"] * len(SERVICES)


@pytest.mark.parametrize("name", sorted({*SERVICES, *JOBS}))
def test_every_command_is_one_that_the_image_knows(services: dict[str, Any], name: str) -> None:
    words = [word for word in services[name]["command"] if not word.startswith("--")]

    said = CliRunner().invoke(build(), [*words, "--help"])

    assert said.exit_code == 0


def test_every_variable_is_one_that_the_settings_know(services: dict[str, Any]) -> None:
    ours = [services[name]["environment"] for name in services.keys() - THIRD_PARTY]

    given = {variable for environment in ours for variable in environment}

    assert {"TAILRACE_DATABASE_URL", "TAILRACE_KAFKA_BOOTSTRAP", "TAILRACE_SECRET_KEY"} <= given
    assert given <= set(known_variables())


def test_secrets_have_no_default(services: dict[str, Any]) -> None:
    gateway, postgres = services["gateway"]["environment"], services["postgres"]["environment"]

    assert gateway["TAILRACE_SECRET_KEY"].startswith("${TAILRACE_SECRET_KEY:?")
    assert postgres["POSTGRES_PASSWORD"].startswith("${POSTGRES_PASSWORD:?")
    assert "${POSTGRES_PASSWORD:?" in gateway["TAILRACE_DATABASE_URL"]


def test_a_service_has_longer_to_stop_than_it_takes_to_drain(services: dict[str, Any]) -> None:
    grace_s = float(services["executor"]["stop_grace_period"].removesuffix("s"))

    assert grace_s > Settings.model_fields["shutdown_grace_s"].default


def test_a_service_is_ready_when_it_says_so_itself(services: dict[str, Any]) -> None:
    port = Settings.model_fields["ops_port"].default

    probes = {" ".join(services[name]["healthcheck"]["test"]) for name in SERVICES}

    assert all(f"http://127.0.0.1:{port}/readyz" in probe for probe in probes)


def test_our_containers_can_change_nothing_in_themselves(services: dict[str, Any]) -> None:
    ours = [services[name] for name in services.keys() - THIRD_PARTY]

    assert all(service["read_only"] and service["cap_drop"] == ["ALL"] for service in ours)


def test_each_service_logs_in_as_a_role_of_its_own(services: dict[str, Any]) -> None:
    urls = {name: services[name]["environment"]["TAILRACE_DATABASE_URL"] for name in (*SERVICES, "migrate")}

    logins = {name: url.removeprefix("postgresql://").partition(":")[0] for name, url in urls.items()}

    assert logins == {**ROLES, "migrate": "tailrace_owner"}
