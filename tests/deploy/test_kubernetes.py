"""The manifests for Kubernetes, held to its schemas, to the commands of the image and to the settings of services."""

import re
from copy import deepcopy

import kubernetes_validate
import pytest
from typer.testing import CliRunner

from tailrace.cli.command import build
from tailrace.core.errors import Invalid
from tailrace.runtime.settings import Settings, StoreSettings, known_variables
from tailrace.store.grants import ROLES
from tests.deploy.manifests import (
    DOCUMENT,
    KUBERNETES,
    PARTS,
    RELEASES,
    Inside,
    Manifest,
    Workload,
    components,
    load,
    manifests,
    of_kind,
    settings,
    workload,
    workloads,
)

_SECRET_FIELDS = {
    f"TAILRACE_{name.upper()}" for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)
}
_SECRET_ROW = re.compile(r"^\| `(tailrace-[\w-]+)` \| `(\w+)`(?:, `(\w+)`)? \| (.*?) \| (\w+) \|$", re.MULTILINE)
_FOR_COMMANDS = "sleep"

every_workload = pytest.mark.parametrize("each", workloads(), ids=lambda each: each.component)


def documented_secrets() -> dict[tuple[str, str], str]:
    """By name and key of each secret in the document, what it says of it."""
    rows = _SECRET_ROW.findall(DOCUMENT)
    return {(name, key): f"{what} {need}" for name, *keys, what, need in rows for key in keys if key}


def test_there_is_a_deployment_of_each_service_and_what_they_need() -> None:
    deployed = {Workload(manifest).component for manifest in of_kind("Deployment")}

    assert deployed == set(ROLES)
    assert {*ROLES, "migrate", "topics", "commands"} == components()


def test_every_file_is_listed_by_a_kustomization() -> None:
    there = {path for part in PARTS for path in (KUBERNETES / part).glob("*.yaml") if path.stem != "kustomization"}

    listed = {
        KUBERNETES / part / name
        for part in PARTS
        for name in load(KUBERNETES / part / "kustomization.yaml")[0]["resources"]
    }

    assert listed == there


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("manifest", manifests(), ids=lambda each: f"{each['kind']}-{each['metadata']['name']}")
def test_manifest_keeps_the_schema_of_kubernetes(manifest: Manifest, release: str) -> None:
    assert kubernetes_validate.validate(manifest, release, strict=True) == release


def test_schema_refuses_a_misspelt_key_and_a_wrong_type() -> None:
    misspelt, mistyped = deepcopy(workload("executor").manifest), deepcopy(workload("executor").manifest)
    misspelt["spec"]["template"]["spec"]["terminationGracePeriodSecond"] = 45
    mistyped["spec"]["replicas"] = "2"

    for spoilt in (misspelt, mistyped):
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(spoilt, RELEASES[-1], strict=True)


@every_workload
def test_services_and_commands_take_the_settings_that_their_containers_give(each: Workload, inside: Inside) -> None:
    beside = {"TAILRACE_KAFKA_BOOTSTRAP": "kafka:9092"} if each.component == "topics" else {}

    given = inside.of(each, **beside)

    if isinstance(given, Settings) and each.container.get("command", [""])[0] != _FOR_COMMANDS:
        assert (given.host, given.ops_host) == ("0.0.0.0", "0.0.0.0")
        assert given.pod_name == "from the cluster"
    if isinstance(given, StoreSettings):
        assert given.database_url.get_secret_value().startswith("postgresql://")


def test_misspelt_variable_would_be_refused(inside: Inside) -> None:
    with pytest.raises(Invalid, match="unknown settings: TAILRACE_SPOOL_FOLDER"):
        inside.of(workload("executor"), TAILRACE_SPOOL_FOLDER="/tmp")


def test_settings_of_the_example_can_work(inside: Inside) -> None:
    given = inside.of(workload("gateway"), **settings("example"))

    assert isinstance(given, Settings)
    assert given.kafka_bootstrap is not None
    assert len(given.trusted_proxy_networks()) == 1


@every_workload
def test_secrets_come_as_files_alone(each: Workload) -> None:
    in_the_open = {*settings("base"), *settings("example"), *(variable["name"] for variable in each.container["env"])}

    assert {"TAILRACE_SECRET_KEY", "TAILRACE_DATABASE_URL", "TAILRACE_KAFKA_PASSWORD"} <= _SECRET_FIELDS
    assert in_the_open & _SECRET_FIELDS == set()
    assert {f"TAILRACE_{key.removeprefix('tailrace_').upper()}" for _, key in each.secrets()} <= set(known_variables())
    assert not any("secretKeyRef" in str(variable) for variable in each.container["env"])


def test_no_secret_is_in_the_tree() -> None:
    texts = {path: path.read_text() for path in KUBERNETES.rglob("*") if path.is_file()}

    assert len(texts) > 10
    assert [path for path, text in texts.items() if re.search(r"kind: Secret|secretGenerator|stringData", text)] == []


@every_workload
def test_every_secret_that_is_read_is_documented(each: Workload) -> None:
    documented = documented_secrets()

    assert set(each.secrets()) - documented.keys() == set()


def test_every_secret_that_is_documented_is_read() -> None:
    read = {secret for each in workloads() for secret in each.secrets()}

    assert documented_secrets().keys() - read == set()


@pytest.mark.parametrize("component", [*ROLES, "migrate", "commands"])
def test_each_logs_in_as_the_role_that_its_work_asks_for(component: str) -> None:
    role = ROLES.get(component, "tailrace_owner")
    [named] = [name for name, key in workload(component).secrets() if key == "tailrace_database_url"]

    said = documented_secrets()[named, "tailrace_database_url"]

    assert f"postgresql://{role}:" in said


def test_owner_of_the_tables_is_no_service() -> None:
    readers = {each.component for each in workloads() if ("tailrace-owner", "tailrace_database_url") in each.secrets()}

    assert readers == {"migrate", "commands"}


@every_workload
def test_every_command_is_one_that_the_image_knows(each: Workload) -> None:
    words = [word for word in each.container.get("args", ()) if not word.startswith("--")]

    said = CliRunner().invoke(build(), [*words, "--help"])

    assert said.exit_code == 0
    assert words or each.container["command"][0] == _FOR_COMMANDS
