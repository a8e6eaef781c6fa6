"""A kept secret goes where it went before, and nowhere else."""

from typing import Any

import pytest

from tailrace_gateway.connector_settings import require_same_address
from tailrace_gateway.problems import Unprocessable
from tests.gateway.caller import A_SOURCE, HTTP_SETTINGS, Caller
from tests.gateway.conftest import Gateway

BEFORE = {
    "url": "https://user@crm.example.com/a",
    "token": "t0ken",
    "hosts": ["a", "b"],
    "proxy": {"name": "p"},
    "account_key": "k",
}
KNOWN = {"/token": "t0ken", "/account_key": "k"}
KEPT = BEFORE | {"token": "***"}


@pytest.mark.parametrize(
    "changes",
    [
        {"url": "https://other.example.com/a"},
        {"url": "http://crm.example.com/a"},
        {"url": "https://crm.example.com:8443/a"},
        {"url": "https://[broken/a"},
        {"hosts": ["a", "c"]},
        {"hosts": ["a"]},
        {"proxy": {"name": "q"}},
        {"base_url": "https://other.example.com"},
        {"callback": "https://other.example.com"},
    ],
    ids=str,
)
def test_secret_has_to_be_given_again_where_an_address_changes(changes: dict[str, Any]) -> None:
    with pytest.raises(Unprocessable) as refused:
        require_same_address(BEFORE, KEPT | changes, KNOWN)

    assert [(fault.place, fault.code) for fault in refused.value.faults] == [("/settings/token", "hidden")]
    assert "changed" in refused.value.faults[0].detail


@pytest.mark.parametrize(
    "given",
    [
        KEPT,
        KEPT | {"url": "https://crm.example.com/b?c=1"},
        KEPT | {"account_key": "fresh"},
        KEPT | {"rows_per_batch": 5},
        KEPT | {"url": "https://other.example.com", "token": "fresh"},
    ],
    ids=["nothing changes", "path", "other secret", "no address", "secret given again"],
)
def test_secret_is_kept_otherwise(given: dict[str, Any]) -> None:
    require_same_address(BEFORE, given, KNOWN)


async def test_destination_is_not_pointed_elsewhere_with_the_secret_it_has(
    gateway: Gateway, admin: Caller, destination_id: str
) -> None:
    moved = {"settings": HTTP_SETTINGS | {"url": "http://127.0.0.2:9/rows", "bearer_token": "***"}}

    refused = await admin.put(f"/api/destinations/{destination_id}", moved)

    _, opened = await gateway.stores.connections.open_settings(destination_id)
    assert (refused.status, refused.json["errors"][0]["pointer"]) == (422, "/settings/bearer_token")
    assert opened == HTTP_SETTINGS


async def test_source_is_not_pointed_elsewhere_with_the_secret_it_has(admin: Caller, source_id: str) -> None:
    moved = {"settings": A_SOURCE["settings"] | {"port": 2, "password": "***"}}  # type: ignore[operator]  # a dict

    refused = await admin.put(f"/api/sources/{source_id}", moved)

    assert (refused.status, refused.json["errors"][0]["pointer"]) == (422, "/settings/password")
