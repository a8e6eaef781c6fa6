"""What a destination may do to a request instead of answering as it should. The rows are in the ledger before."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping

import orjson
from aiohttp import web

Behaviour = Callable[[web.Request, bytes], Awaitable[web.StreamResponse]]
"""Answers a request, given the answer that would have been right."""

_GIGABYTE = 1 << 30
_PIECE = bytes(1 << 20)


def _bomb() -> bytes:
    squeeze = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    # After a full flush the same bytes mean the same again.
    block = squeeze.compress(_PIECE) + squeeze.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff" + block * 512


_BOMB = _bomb()


def says(status: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Behaviour:
    """Another status, and nothing of the rows."""

    async def answer(_request: web.Request, _right: bytes) -> web.StreamResponse:
        return web.Response(status=status, headers=headers, body=body)

    return answer


def told_as(change: Callable[[bytes], bytes], content_type: str = "application/json") -> Behaviour:
    """The right answer, changed."""

    async def answer(_request: web.Request, right: bytes) -> web.StreamResponse:
        return web.Response(body=change(right), content_type=content_type)

    return answer


async def hangs_up(request: web.Request, _right: bytes) -> web.StreamResponse:
    """The connection breaks without an answer."""
    _abort(request)
    return web.Response()


async def breaks_off(request: web.Request, right: bytes) -> web.StreamResponse:
    """The connection breaks in the middle of the answer."""
    response = web.StreamResponse(headers={"Content-Length": str(len(right)), "Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(right[: len(right) // 2])
    _abort(request)
    return response


async def stays_silent(request: web.Request, _right: bytes) -> web.StreamResponse:
    """The connection stays open and no answer comes."""
    while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110 - the client decides
        await asyncio.sleep(0.05)
    return web.Response()


async def drips(request: web.Request, right: bytes) -> web.StreamResponse:
    """A byte a second."""
    response = web.StreamResponse(headers={"Content-Length": str(len(right)), "Content-Type": "application/json"})
    await response.prepare(request)
    for at in range(len(right)):
        await response.write(right[at : at + 1])
        await asyncio.sleep(1)
    return response


async def floods(request: web.Request, _right: bytes) -> web.StreamResponse:
    """A gigabyte, for as long as anybody reads it."""
    response = web.StreamResponse(headers={"Content-Length": str(_GIGABYTE), "Content-Type": "application/json"})
    await response.prepare(request)
    for _ in range(_GIGABYTE // len(_PIECE)):
        await response.write(_PIECE)
    return response


async def bombs(_request: web.Request, _right: bytes) -> web.StreamResponse:
    """Half a megabyte that would be half a gigabyte if it were unpacked."""
    return web.Response(body=_BOMB, headers={"Content-Encoding": "gzip", "Content-Type": "application/json"})


def one_result_short(right: bytes) -> bytes:
    """Fewer results than rows."""
    return orjson.dumps({"results": orjson.loads(right)["results"][1:]})


def one_result_more(right: bytes) -> bytes:
    """More results than rows."""
    results = orjson.loads(right)["results"]
    return orjson.dumps({"results": [*results, results[0]]})


def cut_in_half(right: bytes) -> bytes:
    """JSON that ends too early."""
    return right[: len(right) // 2]


def of_unknown_status(right: bytes) -> bytes:
    """Results in words that nobody knows."""
    return right.replace(b'"ok"', b'"fine"')


def a_page(_right: bytes) -> bytes:
    """A page for people."""
    return b"<html><title>Sign in</title></html>"


def _abort(request: web.Request) -> None:
    # The caller may have gone before: killed, or told to stop.
    if request.transport is not None:
        request.transport.abort()
