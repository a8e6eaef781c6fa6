"""Which network addresses may be connected to: public ones, and private ones where the operator says so.

Python's `is_global` is not asked: it lets through NAT64, 6to4, site-local and multicast addresses. The ranges are of
the IANA special-purpose registries (https://www.iana.org/assignments/iana-ipv4-special-registry and -ipv6-).
"""

import errno
import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from aiohttp import AddrInfoType, SocketFactoryType

_PRIVATE_4 = tuple(map(IPv4Network, ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
_NEVER_4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",
            "169.254.0.0/16",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/3",
        ),
    )
)
_PUBLIC_6 = IPv6Network("2000::/3")
_PRIVATE_6 = tuple(map(IPv6Network, ("::1/128", "fc00::/7")))
_NEVER_6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
_NAT64 = IPv6Network("64:ff9b::/96")


class AddressForbidden(OSError):
    """The address is not one that may be connected to."""

    def __init__(self) -> None:
        super().__init__(errno.EACCES, "the address is not allowed")


def is_allowed(text: str, *, allow_private: bool) -> bool:
    """Whether an address may be connected to, that of an IPv4 host inside an IPv6 address too.

    `allow_private` opens loopback and private networks, never link-local (cloud metadata) or multicast.
    """
    address = ip_address(text.partition("%")[0])
    hidden = _inside(address) if isinstance(address, IPv6Address) else ()
    if hidden:
        return all(_is_allowed_4(inner, allow_private=allow_private) for inner in hidden)
    if isinstance(address, IPv4Address):
        return _is_allowed_4(address, allow_private=allow_private)
    if any(address in network for network in _PRIVATE_6):
        return allow_private
    return address in _PUBLIC_6 and not any(address in network for network in _NEVER_6)


def guarded_socket(*, allow_private: bool) -> SocketFactoryType:
    """Makes sockets for allowed addresses only; the others raise `AddressForbidden` before any packet is sent."""

    def make(target: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = target
        if not is_allowed(str(address[0]), allow_private=allow_private):
            raise AddressForbidden
        return socket.socket(family, kind, protocol)

    return make


def _is_allowed_4(address: IPv4Address, *, allow_private: bool) -> bool:
    if any(address in network for network in _PRIVATE_4):
        return allow_private
    return not any(address in network for network in _NEVER_4)


def _inside(address: IPv6Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses that packets to an IPv6 address end at: mapped, 6to4, NAT64, Teredo (client and server)."""
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    if address in _NAT64:
        return (IPv4Address(int(address) & 0xFFFFFFFF),)
    return address.teredo or ()
