"""However the data of a COPY comes, blocks are whole lines, in order, and not too many of them."""

import pytest

from tailrace.connector_kit.copy_stream import CopyStream, Sink

EVEN = b"".join(b"%d\tx\n" % number for number in range(1000))
LARGE_FIRST = b"y" * 5000 + b"\n" + EVEN
LARGE_LAST = EVEN + b"y" * 5000 + b"\n"


@pytest.mark.parametrize("chunk_bytes", [1, 7, 100, 10_000])
@pytest.mark.parametrize("rows_per_block", [1, 10, 300, 5000])
@pytest.mark.parametrize(
    "data", [b"", b"a\n", EVEN, LARGE_FIRST, LARGE_LAST], ids=["none", "one", "even", "1st", "last"]
)
async def test_blocks_hold_all_lines_and_no_more_than_they_may(
    data: bytes, rows_per_block: int, chunk_bytes: int
) -> None:
    async def copy(sink: Sink) -> None:
        for at in range(0, len(data), chunk_bytes):
            await sink(data[at : at + chunk_bytes])

    blocks = []
    async with CopyStream(rows_per_block, 2).filled(copy, ()) as stream:
        while text := await stream.text(wait_s=5):
            blocks.append(text.split(b"\n"))

    assert b"".join(line + b"\n" for block in blocks for line in block) == data
    assert max(map(len, blocks), default=0) <= rows_per_block


@pytest.mark.parametrize("rows_per_block", [1, 10, 300])
async def test_lines_that_come_counted_are_cut_as_others_are(rows_per_block: int) -> None:
    lines = EVEN.splitlines(keepends=True)

    async def copy(sink: Sink) -> None:
        await sink(b"".join(lines[:20]), 20)
        await sink(b"".join(lines[20:500])[:-1])
        await sink(lines[499][-1:])
        for at in range(500, 1000, 50):
            await sink(b"".join(lines[at : at + 50]), 50)

    blocks = []
    async with CopyStream(rows_per_block, 2).filled(copy, ()) as stream:
        while text := await stream.text(wait_s=5):
            blocks.append(text.split(b"\n"))

    assert b"".join(line + b"\n" for block in blocks for line in block) == EVEN
    assert max(map(len, blocks)) <= rows_per_block
