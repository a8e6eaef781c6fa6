import pytest

from tailrace.runtime.addresses import is_allowed

PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "223.255.255.254", "2606:4700::1111", "2a00:1450:4001::200e"]
PRIVATE = [
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "::1",
    "fc00::1",
    "fd12:3456::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::10.1.2.3",
    "2002:7f00:1::1",
    "2002:c0a8:101::",
]
NEVER = [
    "0.0.0.0",
    "0.1.2.3",
    "169.254.169.254",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::2",
    "::127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0.0.0.0",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:0:a9fe:a9fe::5601:5601",
    "2001:10::1",
    "2001:db8::1",
    "2002:a9fe:a9fe::1",
    "3fff::1",
    "5f00::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize("address", PUBLIC)
@pytest.mark.parametrize("allow_private", [False, True])
def test_public_address_is_allowed(address: str, *, allow_private: bool) -> None:
    assert is_allowed(address, allow_private=allow_private)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_address_is_allowed_where_the_operator_says_so(address: str) -> None:
    assert not is_allowed(address, allow_private=False)
    assert is_allowed(address, allow_private=True)


@pytest.mark.parametrize("address", NEVER)
@pytest.mark.parametrize("allow_private", [False, True])
def test_address_of_nobody_is_never_allowed(address: str, *, allow_private: bool) -> None:
    assert not is_allowed(address, allow_private=allow_private)


def test_teredo_address_stands_for_its_server_and_its_client() -> None:
    loopback_client = "2001:0:0101:0101:0:0:80ff:fffe"
    public_client = "2001:0:0101:0101:0:0:f7f7:f7f7"

    assert not is_allowed(loopback_client, allow_private=False)
    assert is_allowed(public_client, allow_private=False)
