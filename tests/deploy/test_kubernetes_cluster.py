"""What surrounds the pods: who reaches what, how many there are, the example, and what the document says of it."""

import re
from collections.abc import Mapping

import kubernetes_validate
import pytest

from tailrace.runtime.settings import Settings
from tailrace.store.grants import ROLES
from tests.deploy.manifests import (
    DOCUMENT,
    RELEASES,
    Inside,
    Manifest,
    Workload,
    built,
    components,
    manifests,
    of_kind,
    selects,
    settings,
    workload,
    workloads,
)
from tests.deploy.reach import NAMES, callers, may_send

PUBLIC, PRIVATE, METADATA = "93.184.216.34", "10.20.30.40", "169.254.169.254"
PUBLIC_6, PRIVATE_6 = "2606:4700::1111", "fd00::1"
POLICIES = of_kind("NetworkPolicy")

_REACH_ROW = re.compile(r"^\| (\w+) \| (yes|no) \| (yes|no) \| (yes|no) \| (yes|no) \| (yes|no) \|$", re.MULTILINE)
_MEMORY_ROW = re.compile(r"^\| (\w+) \| (\w+Mi|\w+Gi) \| (\w+Mi|\w+Gi) \| ", re.MULTILINE)
_BESIDE = 15

every_workload = pytest.mark.parametrize("each", workloads(), ids=lambda each: each.component)


@every_workload
def test_pod_reaches_what_the_document_says_and_nothing_else(each: Workload) -> None:
    documented = {name: [word == "yes" for word in words] for name, *words in _REACH_ROW.findall(DOCUMENT)}

    found = [
        may_send(each, POLICIES, NAMES, 53, protocol="UDP") and may_send(each, POLICIES, NAMES, 53),
        may_send(each, POLICIES, PRIVATE, 5432),
        may_send(each, POLICIES, PRIVATE, 9092) and may_send(each, POLICIES, PRIVATE, 9093),
        may_send(each, POLICIES, PUBLIC, 443) and may_send(each, POLICIES, PUBLIC_6, 443),
        # 5432 leads to the state store as well.
        may_send(each, POLICIES, PRIVATE, 3306) and may_send(each, POLICIES, PRIVATE_6, 3306),
    ]

    assert documented.keys() == components()
    assert found == documented[each.component]


@every_workload
@pytest.mark.parametrize(
    ("address", "port"),
    [
        *((address, 443) for address in (METADATA, PRIVATE, PRIVATE_6, "172.20.1.1", "192.168.1.1", "100.64.1.1")),
        (METADATA, 80),
        (PUBLIC, 80),
        (PRIVATE, 8080),
        (PUBLIC, 53),
    ],
)
def test_nobody_reaches(each: Workload, address: str, port: int) -> None:
    assert not may_send(each, POLICIES, address, port)


def test_what_no_policy_speaks_of_is_kept_in_and_out() -> None:
    [nothing] = [policy["spec"] for policy in POLICIES if policy["metadata"]["name"] == "tailrace-nothing-else"]

    assert nothing["policyTypes"] == ["Ingress", "Egress"]
    assert not {"ingress", "egress"} & nothing.keys()
    assert all(selects(nothing["podSelector"], each.labels) for each in workloads())


def test_what_holds_credentials_of_a_system_reaches_it() -> None:
    needed = {"tailrace_database_url": 5432, "tailrace_kafka_password": 9093}

    missing = [
        (each.component, key)
        for each in workloads()
        for _, key in each.secrets()
        if key in needed and not may_send(each, POLICIES, PRIVATE, needed[key])
    ]

    assert missing == []


def test_callers_and_prometheus_reach_a_port_each_and_no_more() -> None:
    called = {each.component: callers(each, POLICIES, "http") for each in workloads()}
    read = {each.component: callers(each, POLICIES, "ops") for each in workloads()}

    assert {name: peers for name, peers in called.items() if peers} == {"gateway": [{"tailrace-calls-gateway": "true"}]}
    assert {name: peers for name, peers in read.items() if peers} == {
        name: [{"tailrace-reads-metrics": "true"}] for name in ROLES
    }
    assert all(f" {label}=true" in DOCUMENT for label in ("tailrace-calls-gateway", "tailrace-reads-metrics"))


@pytest.mark.parametrize("policy", POLICIES, ids=lambda each: each["metadata"]["name"])
def test_policy_means_pods_that_exist(policy: Manifest) -> None:
    selector = policy["spec"]["podSelector"]
    meant = {each.component for each in workloads() if selects(selector, each.labels)}
    named = {value for each in selector.get("matchExpressions", ()) for value in each["values"]}

    assert meant
    assert named <= components()


@pytest.mark.parametrize("name", ROLES)
def test_deployment_has_its_pods_and_spreads_them(name: str) -> None:
    each = workload(name)
    spec = each.manifest["spec"]
    spread = each.pod["topologySpreadConstraints"]

    assert selects(spec["selector"], each.labels)
    assert all(selects(constraint["labelSelector"], each.labels) for constraint in spread)
    assert [constraint["topologyKey"].rpartition("/")[2] for constraint in spread] == ["hostname", "zone"]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_budget_lets_one_go_where_another_stays() -> None:
    replicas = least_replicas()
    bound = {
        each.component: budget["spec"]["maxUnavailable"]
        for budget in of_kind("PodDisruptionBudget")
        for each in workloads()
        if selects(budget["spec"]["selector"], each.labels)
    }

    assert bound == {name: 1 for name, count in replicas.items() if count > 1}
    assert all(replicas[name] - allowed >= 1 for name, allowed in bound.items())


def test_who_scales_the_gateway_is_not_contradicted() -> None:
    [scaler] = of_kind("HorizontalPodAutoscaler")
    target = scaler["spec"]["scaleTargetRef"]

    assert (target["kind"], target["name"]) == ("Deployment", workload("gateway").manifest["metadata"]["name"])
    assert "replicas" not in workload("gateway").manifest["spec"]


def test_document_counts_the_connections_that_the_manifests_may_open(inside: Inside) -> None:
    given = inside.of(workload("gateway"))
    [scaler] = of_kind("HorizontalPodAutoscaler")
    most = least_replicas() | {"gateway": scaler["spec"]["maxReplicas"]}
    processes = sum(most.values()) + len(most)

    assert isinstance(given, Settings)
    [told] = re.findall(r"(\d+) processes of (\d+) connections: `max_connections` of (\d+)", DOCUMENT)
    connections = processes * given.database_pool_size + _BESIDE
    assert [int(number) for number in told] == [processes, given.database_pool_size, connections]


def test_document_tells_the_memory_that_the_manifests_ask_for() -> None:
    told = {name: (request, limit) for name, request, limit in _MEMORY_ROW.findall(DOCUMENT)}

    asked = {each.component: each.container["resources"] for each in workloads()}

    assert told == {name: (asked[name]["requests"]["memory"], asked[name]["limits"]["memory"]) for name in ROLES}


def test_document_tells_when_a_pod_is_killed() -> None:
    seconds = {name: workload(name).pod["terminationGracePeriodSeconds"] for name in ROLES}

    assert f"| {seconds['gateway']} | killed" in DOCUMENT
    assert f"| {seconds['executor']} | | killed" in DOCUMENT
    assert set(seconds.values()) == {seconds["gateway"], seconds["executor"]}


@pytest.fixture(scope="module")
def example() -> list[Manifest]:
    return built("example")


def test_example_keeps_the_schemas(example: list[Manifest]) -> None:
    kept = {kubernetes_validate.validate(manifest, RELEASES[-1], strict=True) for manifest in example}

    assert kept == {RELEASES[-1]}


def test_example_has_all_of_the_base_and_of_kafka_in_one_namespace_and_of_one_image(example: list[Manifest]) -> None:
    there = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in example}
    expected = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests("base", "kafka")}
    ran = [Workload(manifest) for manifest in example if manifest["kind"] in {"Deployment", "Job"}]

    assert expected - there == set()
    assert {manifest["metadata"].get("namespace", "") for manifest in example} == {"tailrace", ""}
    assert {each.container["image"] for each in ran} == {built_image("example/commands")}
    assert len(ran) == len(workloads()) - 1


def test_example_says_what_the_base_left_open(example: list[Manifest]) -> None:
    policies = [manifest for manifest in example if manifest["kind"] == "NetworkPolicy"]
    [ingress] = [manifest for manifest in example if manifest["kind"] == "Ingress"]
    [path] = ingress["spec"]["rules"][0]["http"]["paths"]
    service = path["backend"]["service"]

    assert not may_send(workload("scheduler"), policies, PRIVATE, 5432)
    assert may_send(workload("scheduler"), policies, "10.1.2.3", 5432)
    assert not may_send(workload("dlq"), policies, PRIVATE, 9093)
    assert may_send(workload("dlq"), policies, "10.1.3.4", 9093)
    assert service["name"] in {each["metadata"]["name"] for each in example if each["kind"] == "Service"}


def test_change_of_a_setting_replaces_the_processes(example: list[Manifest]) -> None:
    [given] = [manifest for manifest in example if manifest["kind"] == "ConfigMap"]
    name = given["metadata"]["name"]
    ran = [Workload(manifest) for manifest in example if manifest["kind"] in {"Deployment", "Job"}]

    assert given["data"] == {**settings("base"), **settings("example")}
    assert re.fullmatch(r"tailrace-settings-\w{10}", name)
    assert all(each.container["envFrom"] == [{"configMapRef": {"name": name}}] for each in ran)


def least_replicas() -> dict[str, int]:
    """How many of each service there are at least."""
    [scaler] = of_kind("HorizontalPodAutoscaler")
    counts: Mapping[str, int] = {
        name: workload(name).manifest["spec"].get("replicas", scaler["spec"]["minReplicas"]) for name in ROLES
    }
    return dict(counts)


def built_image(folder: str) -> str:
    """The image of the one pod in a folder."""
    [pod] = [manifest for manifest in built(folder) if manifest["kind"] == "Pod"]
    return str(Workload(pod).container["image"])
