"""The manifests in deploy/kubernetes, as whoever applies them has them."""

import base64
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from ruamel.yaml import YAML

from tailrace.runtime.settings import KafkaSettings, Settings, StoreSettings, load_settings

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
DOCUMENT = (ROOT / "deploy" / "docs" / "kubernetes.md").read_text()
RELEASES = ("1.30", "1.37")
"""The oldest release of Kubernetes that knows all that is used, and the newest whose schemas are there."""

PARTS = ("base", "kafka", "commands")
"""The folders whose files are applied; each has a kustomization that lists them."""

Manifest: TypeAlias = dict[str, Any]

_SECRETS = {
    "tailrace_database_url": "postgresql://somebody:secret@db.example.com:5432/tailrace",
    "tailrace_secret_key": base64.b64encode(bytes(32)).decode(),
    "tailrace_platform_token": "t" * 32,
    "tailrace_kafka_username": "somebody",
    "tailrace_kafka_password": "secret",
}
_IMAGE_VARIABLE = re.compile(r"\b(TAILRACE_\w+)=(\S+)")


@dataclass(frozen=True, slots=True)
class Workload:
    """What runs containers: a Deployment, a Job or a Pod."""

    manifest: Manifest

    @property
    def component(self) -> str:
        return str(self.labels["app.kubernetes.io/component"])

    @property
    def pod(self) -> Manifest:
        """The specification of its pods."""
        return dict(
            self.manifest["spec"] if self.manifest["kind"] == "Pod" else self.manifest["spec"]["template"]["spec"]
        )

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels of its pods."""
        of = self.manifest if self.manifest["kind"] == "Pod" else self.manifest["spec"]["template"]
        return dict(of["metadata"]["labels"])

    @property
    def container(self) -> Manifest:
        [container] = self.pod["containers"]
        return dict(container)

    @property
    def ports(self) -> Mapping[str, int]:
        """Its ports by their names."""
        return {port["name"]: port["containerPort"] for port in self.container.get("ports", ())}

    def secrets(self) -> Iterator[tuple[str, str]]:
        """The name of each secret that it reads, and the key."""
        for source in next(volume for volume in self.pod["volumes"] if volume["name"] == "secrets")["projected"][
            "sources"
        ]:
            yield from ((source["secret"]["name"], item["key"]) for item in source["secret"]["items"])

    def environment(self) -> Mapping[str, str]:
        """The variables of its container, as far as the manifests decide them, and those of the image."""
        given = _of_image()
        for source in self.container.get("envFrom", ()):
            assert source == {"configMapRef": {"name": "tailrace-settings"}}
            given |= settings("base")
        for variable in self.container["env"]:
            given[variable["name"]] = variable.get("value", "from the cluster")
        return given

    def write_secrets(self, folder: Path) -> None:
        """Make the files that the cluster would make of its secrets, each with something that can work."""
        for source in next(volume for volume in self.pod["volumes"] if volume["name"] == "secrets")["projected"][
            "sources"
        ]:
            for item in source["secret"]["items"]:
                (folder / item["path"]).write_text(_SECRETS[item["key"]])


class Inside:
    """Has the test see what a process in a container would see of its settings."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, secrets: Path) -> None:
        self._monkeypatch = monkeypatch
        self._secrets = secrets

    def of(self, each: Workload, **beside: str) -> Settings | StoreSettings | KafkaSettings:
        """The settings that it would load, with more variables beside those of its manifest.

        :raises Invalid: it would not start.
        """
        each.write_secrets(self._secrets)
        given = {**each.environment(), **beside}
        [mount] = [mount for mount in each.container["volumeMounts"] if mount["name"] == "secrets"]
        assert given["TAILRACE_SECRETS_DIR"] == mount["mountPath"]
        self._monkeypatch.setattr("os.environ", {**given, "TAILRACE_SECRETS_DIR": str(self._secrets)})
        match each.component:
            case "migrate":
                return load_settings(StoreSettings)
            case "topics":
                return load_settings(KafkaSettings)
            case _:
                return load_settings(Settings)


@cache
def manifests(*parts: str) -> tuple[Manifest, ...]:
    """Every manifest in the files that the kustomizations of these folders list; of all folders, if none is named."""
    return tuple(
        manifest
        for part in parts or PARTS
        for name in load(KUBERNETES / part / "kustomization.yaml")[0]["resources"]
        for manifest in load(KUBERNETES / part / name)
    )


def workloads() -> list[Workload]:
    return [Workload(manifest) for manifest in manifests() if manifest["kind"] in {"Deployment", "Job", "Pod"}]


def components() -> set[str]:
    """What there are pods of."""
    return {each.component for each in workloads()}


def workload(component: str) -> Workload:
    [found] = [each for each in workloads() if each.component == component]
    return found


def of_kind(kind: str, *parts: str) -> list[Manifest]:
    return [manifest for manifest in manifests(*parts) if manifest["kind"] == kind]


def settings(part: str) -> dict[str, str]:
    """The variables in the settings.env of a folder."""
    lines = (KUBERNETES / part / "settings.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def load(file: Path) -> list[Manifest]:
    return [dict(document) for document in YAML(typ="safe").load_all(file)]


def built(folder: str) -> list[Manifest]:
    """What kustomize makes of a folder; only where kubectl is."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("needs kubectl, which builds what kustomize describes")
    done = subprocess.run(
        [kubectl, "kustomize", str(KUBERNETES / folder)], capture_output=True, check=False, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    return [dict(document) for document in YAML(typ="safe").load_all(done.stdout)]


def selects(selector: Manifest, labels: Mapping[str, str]) -> bool:
    """Whether a selector of labels means who bears these."""
    exact: Mapping[str, str] = selector.get("matchLabels", {})
    among = selector.get("matchExpressions", ())
    assert all(each["operator"] == "In" for each in among)
    return exact.items() <= labels.items() and all(labels.get(each["key"]) in each["values"] for each in among)


def mebibytes(quantity: str) -> int:
    """`512Mi` and `2Gi` as a number of MiB."""
    number, unit = quantity[:-2], quantity[-2:]
    return int(number) * {"Mi": 1, "Gi": 1024}[unit]


def _of_image() -> dict[str, str]:
    last = (ROOT / "deploy" / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    return dict(_IMAGE_VARIABLE.findall(last))
