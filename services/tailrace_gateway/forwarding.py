"""Where a request came from: the peer, or whom a trusted proxy took it from.

Only the header that is named is read: a proxy that writes the one passes the other on as the client has sent it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Self, TypeAlias

from aiohttp import web

from tailrace.runtime.settings import Settings

_Address: TypeAlias = IPv4Address | IPv6Address

_FORWARDED = "Forwarded"
_HOPS_READ = 32
_WITH_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Proxies:
    """The networks whose hosts are believed, and the header in which they say whom a request is from."""

    networks: Sequence[IPv4Network | IPv6Network] = ()
    header: str = "X-Forwarded-For"

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Those of a deployment."""
        return cls([ip_network(each) for each in settings.trusted_proxy_networks()], settings.trusted_proxy_header)

    def client_of(self, request: web.BaseRequest) -> str:
        """The address nearest to us that is no trusted proxy; what a hop says of itself is believed no further."""
        known = _address(request.remote or "")
        if known is None:
            return request.remote or ""
        for said in self._hops(request):
            if not self._trusts(known):
                break
            hop = _address(said)
            if hop is None:
                break
            known = hop
        return str(known)

    def _hops(self, request: web.BaseRequest) -> Iterator[str]:
        """From the nearest to the farthest."""
        line = ",".join(request.headers.getall(self.header, []))
        # From our end: a quotation mark that a client leaves open must not swallow what a proxy adds behind it.
        parts = _split(line[::-1], ",") if self.header == _FORWARDED else line[::-1].split(",")
        for part in (part[::-1] for part in parts[:_HOPS_READ]):
            yield _for(part) if self.header == _FORWARDED else part.strip(" \t")

    def _trusts(self, address: _Address) -> bool:
        return any(address in network for network in self.networks)


def _for(element: str) -> str:
    """Whom an element of Forwarded names (RFC 7239, section 4)."""
    for pair in _split(element, ";"):
        name, _, value = pair.strip(" \t").partition("=")
        if name.lower() == "for":
            return value[1:-1] if value[:1] == value[-1:] == '"' else value
    return ""


def _split(text: str, separator: str) -> list[str]:
    """The parts of a text; a separator within quotes separates nothing."""
    parts, held, quotes = [], list[str](), 0
    for piece in text.split(separator):
        held.append(piece)
        quotes += piece.count('"')
        if quotes % 2 == 0:
            parts.append(separator.join(held))
            held = []
    return [*parts, separator.join(held)] if held else parts


def _address(text: str) -> _Address | None:
    """The address, without a port; an IPv4 one where it is written as IPv6. None where it is none."""
    with_port = _WITH_PORT.fullmatch(text)
    try:
        address = ip_address((with_port[1] or with_port[2]) if with_port else text)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    return None if address.scope_id else address.ipv4_mapped or address
