"""Two hundred ways to write an address that is not public: none of them reaches a socket on this machine."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import TCPConnector, ThreadedResolver
from aiohttp.abc import ResolveResult

from tailrace.connector_kit.http import HttpClient, HttpRequest
from tailrace.core.errors import TailraceError
from tailrace.runtime.addresses import is_allowed
from tailrace.runtime.http import AiohttpClient, HttpLimits

LIMITS = HttpLimits(connect_s=2.0, total_s=3.0)
LOOPBACK = ("127.0.0.1", "127.1.2.3", "0.0.0.0")
ELSEWHERE = ("10.0.0.1", "100.64.0.1", "169.254.169.254", "172.16.0.1", "192.168.1.1", "198.18.0.1", "224.0.0.1")
SIXES = (
    "::1",
    "0:0:0:0:0:0:0:1",
    "0000:0000:0000:0000:0000:0000:0000:0001",
    "::0001",
    "::",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "::FFFF:7F00:0001",
    "0:0:0:0:0:ffff:127.0.0.1",
    "::ffff:0:127.0.0.1",
    "::127.0.0.1",
    "::7f00:1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::7f00:1",
    "2002:7f00:1::",
    "2002:7f00:1::1",
    "2002:a9fe:a9fe::1",
    "2001:0:7f00:1::",
    "2001::80ff:fffe",
    "fe80::1",
    "fe80::1%25lo",
    "fe80::1%25eth0",
    "::1%25lo",
    "fec0::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "ff01::1",
    "100::1",
    "2001:db8::1",
    "5f00::1",
    "::ffff:169.254.169.254",
    "::ffff:10.0.0.1",
    "::ffff:0.0.0.0",
)
NAMES = (
    "localhost",
    "LOCALHOST",
    "localhost.",
    "ip6-localhost",
    "alias.test",
    "ALIAS.test",
    "alias.test.",
    "six.test",
    "mapped.test",
    "both.test",
    "rebinding.test",
    "ａｌｉａｓ.test",
    "alias。test",
    "bücher.test",
)
_FULL_WIDTH = str.maketrans("0123456789.", "０１２３４５６７８９．")
_CIRCLED = str.maketrans("123456789", "①②③④⑤⑥⑦⑧⑨")


def _spellings(address: str) -> Iterable[str]:
    """Ways in which some reader of addresses takes the same one."""
    number, parts = int(IPv4Address(address)), address.split(".")
    yield from (address, address + ".", str(number), hex(number), f"0{number:o}", address.translate(_FULL_WIDTH))
    yield address.translate(_CIRCLED)
    yield ".".join(f"0{int(part):o}" for part in parts)
    yield ".".join(f"0x{int(part):x}" for part in parts)
    yield ".".join(part.zfill(4) for part in parts)
    yield f"{parts[0]}.{int(IPv4Address(address)) & 0xFFFFFF}"
    yield f"0x{int(parts[0]):x}.{parts[1]}.0{int(parts[2]):o}.{parts[3]}"
    yield "".join(f"%{ord(letter):02x}" for letter in address)
    yield address.replace(".", "。")


def _urls(port: int) -> list[str]:
    hosts = [spelt for address in (*LOOPBACK, *ELSEWHERE) for spelt in _spellings(address)]
    hosts += [f"[{six}]" for six in SIXES] + list(NAMES)
    odd = (
        f"https://user@127.0.0.1:{port}/",
        f"https://user:password@127.0.0.1:{port}/",
        f"https://example.com@127.0.0.1:{port}/",
        f"https://127.0.0.1:{port}\\@example.invalid/",
        f"https:/127.0.0.1:{port}/",
        f"https:127.0.0.1:{port}/",
        f"//127.0.0.1:{port}/",
        f" https://127.0.0.1:{port}/",
        f"https://127.0.0.1 :{port}/",
        f"https://127.0.0.1%09:{port}/",
        f"https://127.0.0.1%00.example.invalid:{port}/",
        f"https://127.0.0.1\t:{port}/",
        f"https://127.0.0.1\r\n:{port}/",
        f"https://127.0.0.1?@example.invalid:{port}/",
        f"https://127.0.0.1:{port}#@example.invalid/",
        f"HTTPS://127.0.0.1:{port}/",
        f"ftp://127.0.0.1:{port}/",
        f"file:///proc/self/environ?{port}",
        f"gopher://127.0.0.1:{port}/_x",
        f"unix://127.0.0.1:{port}/",
        f"ws://127.0.0.1:{port}/",
    )
    plain = [f"http://{host}:{port}/" for host in (*LOOPBACK, "[::1]", "localhost")]
    return [*(f"https://{host}:{port}/" for host in hosts), *odd, *plain]


@dataclass
class Canary:
    """A socket on every address of this machine, and how often somebody reached it."""

    port: int
    reached: list[str] = field(default_factory=list)


@pytest_asyncio.fixture
async def canary() -> AsyncIterator[Canary]:
    dual = socket.has_dualstack_ipv6()
    listener = socket.create_server(
        ("::" if dual else "0.0.0.0", 0), family=socket.AF_INET6 if dual else socket.AF_INET, dualstack_ipv6=dual
    )
    found = Canary(listener.getsockname()[1])

    def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.reached.append(str(writer.get_extra_info("peername")))
        writer.close()

    async with await asyncio.start_server(note, sock=listener):
        yield found


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that mean this machine, one of them only when it is asked for the second time."""
    known = {
        "alias.test": ["127.0.0.1"],
        "six.test": ["::1"],
        "mapped.test": ["::ffff:127.0.0.1"],
        "both.test": ["127.0.0.1", "::1"],
        "xn--bcher-kva.test": ["127.0.0.1"],
    }
    ask, asked = socket.getaddrinfo, list[str]()

    def answer(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - as the standard library
        name = (host.decode() if isinstance(host, bytes) else str(host)).rstrip(".").lower()
        asked.append(name)
        found = known.get(name)
        if name == "rebinding.test":
            found = ["192.0.2.1"] if asked.count(name) == 1 else ["127.0.0.1"]
        if found is None:
            return ask(host, port, *arguments, **options)
        return [_resolved(address, port) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", answer)


def _resolved(address: str, port: int) -> tuple[object, ...]:
    if ":" in address:
        return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0)
    return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)


class OnlyInTheResolver(ThreadedResolver):
    """The usual guard: it looks at what a name resolves to."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await super().resolve(host, port, family)
        if not all(is_allowed(each["host"], allow_private=False) for each in found):
            raise OSError("not allowed")
        return found


async def _try(client: HttpClient, urls: Iterable[str]) -> None:
    async def one(url: str) -> None:
        with suppress(TailraceError):
            await client.send(HttpRequest("POST", url, {}, b"{}"))

    async with asyncio.timeout(40):
        await asyncio.gather(*map(one, urls))


def test_there_are_two_hundred_of_them() -> None:
    assert len(set(_urls(1))) >= 200


async def test_nothing_reaches_this_machine(canary: Canary) -> None:
    async with AiohttpClient.open(allow_private=False, limits=LIMITS) as client:
        await _try(client, _urls(canary.port))
        await _try(client, [f"https://rebinding.test:{canary.port}/"] * 3)

    assert canary.reached == []


async def test_canary_would_have_been_reached(canary: Canary) -> None:
    async with AiohttpClient.open(allow_private=True, limits=LIMITS) as client:
        await _try(client, [f"http://127.0.0.1:{canary.port}/", f"http://alias.test:{canary.port}/"])

    assert len(canary.reached) == 2


async def test_guard_in_the_resolver_alone_would_let_them_through(canary: Canary) -> None:
    async with TCPConnector(resolver=OnlyInTheResolver()) as connector:
        unguarded = AiohttpClient(connector, allow_private=False, limits=LIMITS)
        await _try(unguarded, [f"https://127.0.0.1:{canary.port}/", f"https://alias.test:{canary.port}/"])

    assert len(canary.reached) == 1
