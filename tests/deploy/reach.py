"""Who reaches whom, by the rules of Kubernetes: what some policy of a pod allows, once any policy selects it."""

from collections.abc import Iterable, Iterator
from ipaddress import ip_address, ip_network

from tests.deploy.manifests import Manifest, Workload, selects

NAMES = "names"
"""The pods that answer for names, in the cluster's own namespace."""


def may_send(each: Workload, policies: Iterable[Manifest], to: str, port: int, *, protocol: str = "TCP") -> bool:
    """Whether a pod may open a connection to an address, or to the cluster's names."""
    return any(
        _is_port(rule, port, protocol) and _is_peer(rule, to) for rule in _rules(each, policies, "Egress", "egress")
    )


def callers(each: Workload, policies: Iterable[Manifest], port: str) -> list[dict[str, str]]:
    """The labels of the namespaces whose pods may call a port of this one, by the port's name."""
    return [
        peer["namespaceSelector"]["matchLabels"]
        for rule in _rules(each, policies, "Ingress", "ingress")
        if any(wanted["port"] in {port, each.ports.get(port)} for wanted in rule["ports"])
        for peer in rule["from"]
    ]


def _rules(each: Workload, policies: Iterable[Manifest], way: str, field: str) -> Iterator[Manifest]:
    mine = [policy["spec"] for policy in policies if selects(policy["spec"]["podSelector"], each.labels)]
    assert any(way in spec["policyTypes"] for spec in mine), f"nothing keeps {each.component} from anything"
    for spec in mine:
        yield from spec.get(field, ())


def _is_port(rule: Manifest, port: int, protocol: str) -> bool:
    ports = rule.get("ports")
    return ports is None or any((one["port"], one["protocol"]) == (port, protocol) for one in ports)


def _is_peer(rule: Manifest, to: str) -> bool:
    peers = rule.get("to")
    return peers is None or any(_is_in(peer, to) for peer in peers)


def _is_in(peer: Manifest, to: str) -> bool:
    if to == NAMES:
        return bool(peer.get("namespaceSelector") == {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}})
    if "ipBlock" not in peer:
        return False
    address, block = ip_address(to), peer["ipBlock"]
    return address in ip_network(block["cidr"]) and not any(
        address in ip_network(left_out) for left_out in block.get("except", ())
    )
