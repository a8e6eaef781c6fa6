"""Snapshots whose hashes an earlier algorithm made: known as they are, and written anew without sending a row."""

import zlib
from hashlib import blake2b

import orjson

from tailrace.core.runs import RunStatus
from tests.executor.sink import Sink
from tests.executor.yard import Yard

_ALGORITHMS = "SELECT algorithm FROM snapshot_pages"
_STORE_FIRST = "UPDATE snapshot_pages SET algorithm = 1, body = $1"


async def test_rows_known_by_the_first_algorithm_are_not_sent_again(yard: Yard, sink: Sink) -> None:
    await yard.add_people(1, 30)
    await yard.run()
    await yard.chassis.database.execute(_STORE_FIRST, _first_page(sink))
    sink.rows.clear()
    await yard.warehouse.execute("UPDATE people SET email = 'new@example.com' WHERE id = 7")

    run = await yard.run()

    assert (run.status, run.books.skipped, run.books.delivered) == (RunStatus.SUCCEEDED, 29, 1)
    assert sink.times_by_id == {7: 1}


async def test_what_the_first_algorithm_told_is_written_anew(yard: Yard, sink: Sink) -> None:
    await yard.add_people(1, 30)
    await yard.run()
    before = await yard.chassis.database.fetch("SELECT body FROM snapshot_pages")
    await yard.chassis.database.execute(_STORE_FIRST, _first_page(sink))

    await yard.run()

    assert await yard.chassis.database.fetch("SELECT body FROM snapshot_pages") == before
    assert [page["algorithm"] for page in await yard.chassis.database.fetch(_ALGORITHMS)] == [2]


def _first_page(sink: Sink) -> bytes:
    """What was delivered, as algorithm 1 packed it: a key of one part after its length, and the BLAKE2b of the row."""
    rows = sorted(sink.rows, key=lambda row: str(row["id"]))
    entries = (b"\x01\x01\x00%c%b" % (len(str(row["id"])), str(row["id"]).encode()) + _digest(row) for row in rows)
    return zlib.compress(b"".join(entries), 1)


def _digest(row: dict[str, object]) -> bytes:
    return blake2b(orjson.dumps(row), digest_size=8).digest()
