import asyncio

import pytest

from tailrace.embedded.ports import LOOPBACK, free_port
from tailrace.testing.kafka_probe import has_broker


@pytest.mark.kafka
async def test_real_broker_is_found(kafka_bootstrap: str) -> None:
    assert await has_broker(kafka_bootstrap)


async def test_closed_port_has_no_broker() -> None:
    assert not await has_broker(f"{LOOPBACK}:{free_port()}")


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="hangs up"),
        pytest.param(b"\x00\x00\x00\x0c" + b"\x00\x00\x00\x01" + bytes(8), id="knows of no broker"),
        pytest.param(b"\x00\x00\x00\x04" + bytes(4), id="is cut short"),
    ],
)
async def test_server_that_does_not_name_a_broker_has_none(answer: bytes) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(64)
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(speak, LOOPBACK, 0) as server:
        port = server.sockets[0].getsockname()[1]

        assert not await has_broker(f"{LOOPBACK}:{port}")
