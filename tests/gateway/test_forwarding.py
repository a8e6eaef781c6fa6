"""Whom a request came from: what a trusted proxy says, never what a client says of itself."""

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer, make_mocked_request
from multidict import CIMultiDict
from pydantic import ValidationError

from tailrace.core.ids import WorkspaceId
from tailrace.runtime.settings import Settings
from tailrace_gateway.app import make_app
from tailrace_gateway.forwarding import Proxies
from tailrace_gateway.routes import ROUTES
from tests.gateway.caller import Caller
from tests.gateway.conftest import Gateway

PEER = "10.0.0.1"
CLIENT = "203.0.113.9"


def _settings(networks: str, header: str = "X-Forwarded-For") -> Settings:
    given = {"trusted_proxies": networks, "trusted_proxy_header": header}
    return Settings.model_validate({"database_url": "postgresql://u@h/d", "secret_key": "k"} | given)


def _client(peer: str, *lines: str, header: str = "X-Forwarded-For", trusted: str = "10.0.0.0/8, 2001:db8::/32") -> str:
    headers = CIMultiDict([(header, line) for line in lines])
    request = make_mocked_request("GET", "/", headers=headers).clone(remote=peer)
    return Proxies.of(_settings(trusted, header)).client_of(request)


@pytest.mark.parametrize(
    ("peer", "lines", "client"),
    [
        (PEER, [CLIENT], CLIENT),
        (PEER, [], PEER),
        ("198.51.100.7", [CLIENT], "198.51.100.7"),
        (PEER, ["1.2.3.4, " + CLIENT], CLIENT),
        (PEER, ["1.2.3.4", CLIENT], CLIENT),
        (PEER, [f"1.2.3.4, {CLIENT}, 10.0.0.2, 10.9.9.9"], CLIENT),
        (PEER, ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("::ffff:10.0.0.1", [CLIENT], CLIENT),
        ("2001:db8::1", ["2001:db9::5"], "2001:db9::5"),
        (PEER, ["::ffff:203.0.113.9"], CLIENT),
        (PEER, [CLIENT + ":4711"], CLIENT),
        (PEER, ["[2001:db9::5]:4711"], "2001:db9::5"),
    ],
)
def test_nearest_address_that_is_no_proxy_is_the_client(peer: str, lines: list[str], client: str) -> None:
    assert _client(peer, *lines) == client


@pytest.mark.parametrize(
    "line",
    [
        "",
        ",",
        "unknown",
        "localhost",
        "127.1",
        "0x7f.1",
        "1.2.3.4.5",
        "999.1.1.1",
        "fe80::1%eth0",
        "<script>",
        "1.2.3.4\t\u2028",
        "\uff11.2.3.4",
        CLIENT + ", nonsense",
        CLIENT + ",",
        f"{CLIENT}, 10.0.0.2:99999999",
        "a" * 8000,
    ],
)
def test_what_is_no_address_is_not_believed(line: str) -> None:
    assert _client(PEER, line) == PEER


def test_so_many_hops_are_read_and_no_more() -> None:
    assert _client(PEER, ", ".join([CLIENT] + ["10.0.0.2"] * 5000)) == "10.0.0.2"


@pytest.mark.parametrize(
    ("line", "client"),
    [
        (f"for={CLIENT}", CLIENT),
        (f"For={CLIENT};proto=https;by=10.0.0.1", CLIENT),
        (f'proto=https; for="{CLIENT}:80"', CLIENT),
        ('for="[2001:db9::5]:4711"', "2001:db9::5"),
        (f'for=1.2.3.4, for={CLIENT};host="a, for=5.6.7.8"', CLIENT),
        (f"for=1.2.3.4, for={CLIENT}, for=10.0.0.2", CLIENT),
        (f"for=_hidden, for={CLIENT}", CLIENT),
        (f"for={CLIENT}, for=_hidden", PEER),
        (f"for={CLIENT}, for=unknown", PEER),
        (f'for="{CLIENT}', PEER),
        (f"host=for={CLIENT}", PEER),
        (f'host="a;for=5.6.7.8;b";for={CLIENT}', CLIENT),
        (f'host="a, for=5.6.7.8";for={CLIENT}', CLIENT),
        (f'for=9.9.9.9;a=", for={CLIENT}', CLIENT),
        (f'for="x, for={CLIENT}', CLIENT),
        (CLIENT, PEER),
        ('"' * 4000, PEER),
    ],
)
def test_forwarded_is_read_by_its_grammar(line: str, client: str) -> None:
    assert _client(PEER, line, header="Forwarded") == client


@pytest.mark.parametrize(
    ("header", "sent"),
    [("X-Forwarded-For", ("Forwarded", f"for={CLIENT}")), ("Forwarded", ("X-Forwarded-For", CLIENT))],
)
def test_header_that_the_proxy_does_not_write_is_not_read(header: str, sent: tuple[str, str]) -> None:
    request = make_mocked_request("GET", "/", headers=CIMultiDict([sent])).clone(remote=PEER)

    assert Proxies.of(_settings("10.0.0.0/8", header)).client_of(request) == PEER


def test_nobody_is_trusted_unless_it_is_said() -> None:
    assert _client(PEER, CLIENT, trusted="") == PEER


@pytest.mark.parametrize("networks", ["nonsense", "10.0.0.1/8", "10.0.0.0/8;10.1.0.0/16", "*"])
def test_network_that_is_none_is_refused(networks: str) -> None:
    with pytest.raises(ValidationError, match="is no network"):
        _settings(networks)


async def test_record_of_a_change_names_the_client_behind_a_trusted_proxy(
    gateway: Gateway, workspace_id: WorkspaceId
) -> None:
    known = await gateway.caller(workspace_id)
    app = make_app(gateway.stores, ROUTES, proxies=Proxies.of(_settings("127.0.0.0/8")))
    async with TestServer(app) as server, ClientSession() as session:
        caller = Caller(session, str(server.make_url("")).rstrip("/"), known.token)

        await caller.post("/api/tokens", {"name": "a", "role": "viewer"}, headers={"X-Forwarded-For": CLIENT})
        await known.post("/api/tokens", {"name": "b", "role": "viewer"}, headers={"X-Forwarded-For": CLIENT})

    records = await gateway.stores.audit.list(workspace_id)
    assert [record.deed.address for record in records] == ["127.0.0.1", CLIENT]
