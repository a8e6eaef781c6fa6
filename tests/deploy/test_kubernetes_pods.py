"""The pods of the manifests: what they may do, what they are asked, how they end and what they may take."""

import asyncio
import re

import pytest
from aiohttp import ClientSession

from tailrace.core.clock import SystemClock
from tailrace.core.errors import StoreUnavailable
from tailrace.runtime.health import CHECK_S, Health
from tailrace.runtime.ops import serve_ops
from tailrace.runtime.settings import Settings
from tailrace.store.grants import ROLES
from tailrace.warehouses.duckdb import DuckDbSettings
from tests.deploy.manifests import ROOT, Inside, Workload, components, mebibytes, of_kind, selects, workload, workloads

_USER = 10_001
_TO_CLOSE_S = 10

every_workload = pytest.mark.parametrize("each", workloads(), ids=lambda each: each.component)
every_service = pytest.mark.parametrize("each", [workload(name) for name in ROLES], ids=lambda each: each.component)


@every_service
async def test_probes_ask_what_the_service_answers(each: Workload, inside: Inside) -> None:
    given = inside.of(each)
    assert isinstance(given, Settings)
    health = Health(clock=SystemClock(), stopping=asyncio.Event())
    health.check("database", _away)
    probes = {name: each.container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}

    async with serve_ops(health, given.model_copy(update={"ops_port": 0})) as port, ClientSession() as session:
        said = {
            name: (await session.get(f"http://127.0.0.1:{port}{probe['path']}")).status
            for name, probe in probes.items()
        }

    # With the database away a process lives, and is given no work.
    assert said == {"startup": 200, "liveness": 200, "readiness": 503}
    assert {each.ports[probe["port"]] for probe in probes.values()} == {given.ops_port}


async def _away() -> None:
    raise StoreUnavailable("it is away")


@every_service
def test_probe_waits_for_longer_than_the_checks_may_take(each: Workload) -> None:
    startup = each.container["startupProbe"]

    assert each.container["readinessProbe"]["timeoutSeconds"] > CHECK_S
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 60


def test_gateway_is_reached_where_it_listens(inside: Inside) -> None:
    given = inside.of(workload("gateway"))
    [service] = [each for each in of_kind("Service") if each["metadata"]["name"] == "tailrace-gateway"]
    [port] = service["spec"]["ports"]

    assert isinstance(given, Settings)
    assert port["port"] == given.port == workload("gateway").ports[port["targetPort"]]


def test_every_service_of_the_cluster_leads_to_a_port_of_pods_that_exist() -> None:
    led = {
        service["metadata"]["name"]: [
            each.component
            for each in workloads()
            if selects({"matchLabels": service["spec"]["selector"]}, each.labels)
            and all(port["targetPort"] in each.ports for port in service["spec"]["ports"])
        ]
        for service in of_kind("Service")
    }

    assert led == {"tailrace-gateway": ["gateway"], **{f"tailrace-{name}-metrics": [name] for name in ROLES}}


@every_workload
def test_container_can_change_nothing_and_is_nobody(each: Workload) -> None:
    pod, container = each.pod, each.container

    assert pod["securityContext"] == {
        "fsGroup": _USER,
        "runAsGroup": _USER,
        "runAsNonRoot": True,
        "runAsUser": _USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & pod.keys()
    assert all(volume.keys() & {"emptyDir", "projected"} for volume in pod["volumes"])
    assert f"USER {_USER}:{_USER}" in (ROOT / "deploy" / "Dockerfile").read_text()


@every_workload
def test_pod_has_an_account_of_its_own_and_no_token(each: Workload) -> None:
    accounts = {account["metadata"]["name"]: account for account in of_kind("ServiceAccount")}

    assert each.pod["serviceAccountName"] == f"tailrace-{each.component}"
    assert accounts[f"tailrace-{each.component}"]["automountServiceAccountToken"] is False
    assert (each.pod["automountServiceAccountToken"], each.pod["enableServiceLinks"]) == (False, False)


@every_service
def test_process_has_longer_to_stop_than_it_takes_to_drain(each: Workload, inside: Inside) -> None:
    given = inside.of(each)
    before_s = each.container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)

    assert isinstance(given, Settings)
    assert each.pod["terminationGracePeriodSeconds"] >= before_s + given.shutdown_grace_s + _TO_CLOSE_S


def test_gateway_alone_waits_before_it_is_told_to_stop() -> None:
    waiting = {each.component for each in workloads() if "lifecycle" in each.container}

    assert waiting == {"gateway"}


def test_memory_is_limited_above_what_was_measured() -> None:
    page = (ROOT / "deploy" / "docs" / "performance.md").read_text()
    results = page.partition("## Results\n")[2].partition("## Beside other tools")[0]
    peaks = [float(found.replace(",", "")) for found in re.findall(r"([\d.]+) MiB", results)]
    [idle] = re.findall(
        r"gateway ([\d]+) MiB, scheduler ([\d]+) MiB, executor ([\d]+) MiB, DLQ manager ([\d]+) MiB", results
    )
    [busy, command] = [int(found) for found in re.findall(r"600 calls (\d+) MiB, a command (\d+) MiB", results)[0]]
    reading = DuckDbSettings.model_fields["memory_limit_mib"].default

    limits = {each.component: mebibytes(each.container["resources"]["limits"]["memory"]) for each in workloads()}
    asked = {each.component: mebibytes(each.container["resources"]["requests"]["memory"]) for each in workloads()}

    assert max(peaks) == 443
    assert limits["executor"] >= max(peaks) + reading
    assert limits["gateway"] >= busy + 2 * command + reading
    assert limits["scheduler"] >= 2 * int(idle[1])
    assert limits["dlq"] >= 2 * int(idle[3])
    assert all(limits[job] >= 2 * command for job in ("migrate", "topics", "commands"))
    assert all(asked[name] >= int(mib) for name, mib in zip(ROLES, idle, strict=True))
    assert all(asked[name] <= limits[name] for name in components())


@every_workload
def test_disk_of_a_pod_holds_all_of_its_directories(each: Workload) -> None:
    directories = [volume["emptyDir"] for volume in each.pod["volumes"] if "emptyDir" in volume]
    mounted = {mount["name"]: mount["mountPath"] for mount in each.container["volumeMounts"]}

    limit = mebibytes(each.container["resources"]["limits"]["ephemeral-storage"])

    assert mounted["tmp"] == "/tmp"
    assert mounted.keys() == {volume["name"] for volume in each.pod["volumes"]}
    assert sum(mebibytes(directory["sizeLimit"]) for directory in directories) < limit
    assert not any("medium" in directory for directory in directories)


def test_rows_wait_where_there_is_room_for_all_that_may(inside: Inside) -> None:
    executor = workload("executor")
    given = inside.of(executor)
    [spool] = [volume for volume in executor.pod["volumes"] if volume["name"] == "spool"]
    [mount] = [mount for mount in executor.container["volumeMounts"] if mount["name"] == "spool"]

    assert isinstance(given, Settings)
    assert str(given.spool_directory) == mount["mountPath"]
    assert mebibytes(spool["emptyDir"]["sizeLimit"]) > given.spool_total_mib
    assert mebibytes(executor.container["resources"]["requests"]["ephemeral-storage"]) > given.spool_total_mib
