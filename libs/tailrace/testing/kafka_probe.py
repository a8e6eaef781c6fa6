"""Whether a Kafka answers, asked in its own protocol: no client has to be set up, and none is left behind."""

import asyncio
import struct
from contextlib import suppress

_ANSWER_S = 2.0
# A request for the cluster's metadata, of no topic, which makes none: https://kafka.apache.org/protocol
_API_KEY, _API_VERSION, _CORRELATION_ID = 3, 4, 1
_CLIENT_ID = b"tailrace"
_HEADER = struct.pack(">hhih", _API_KEY, _API_VERSION, _CORRELATION_ID, len(_CLIENT_ID)) + _CLIENT_ID
_REQUEST = _HEADER + struct.pack(">ib", 0, 0)


async def has_broker(bootstrap: str) -> bool:
    """Whether the cluster at `host:port` counts at least one broker among its own."""
    with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, struct.error):
        async with asyncio.timeout(_ANSWER_S):
            return await _count_brokers(bootstrap) > 0
    return False


async def _count_brokers(bootstrap: str) -> int:
    host, _, port = bootstrap.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(struct.pack(">i", len(_REQUEST)) + _REQUEST)
        (size,) = struct.unpack(">i", await reader.readexactly(4))
        _correlation_id, _throttle_ms, brokers = struct.unpack_from(">iii", await reader.readexactly(size))
        return int(brokers)
    finally:
        writer.close()
