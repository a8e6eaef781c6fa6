"""Changes on local disk: what goes in comes out, nobody else can read it, and a broken disk is told of."""

import os
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from io import FileIO
from itertools import chain
from pathlib import Path

import pytest

from tailrace.connector_kit.copy_text import LineKeys
from tailrace.core.clock import SystemClock
from tailrace.core.errors import SourceUnavailable
from tailrace.core.row_columns import RowColumns
from tailrace.core.rows import Change, Row, RowHash, RowKey, rejected
from tailrace.core.settlements import DedupeKey
from tailrace.core.snapshots import Entry, hash_row, hash_rows, of_first_algorithm
from tailrace.pipeline.plain import MappedRow, PlainChanges, PlainUpdates, RowChange
from tailrace.pipeline.spool import Changes, Refusal, Spool, without_bodies
from tailrace.pipeline.spools import Spools, SpoolTerms

pytestmark = pytest.mark.timeout(60)

SENDS = frozenset({Change.ADDED, Change.CHANGED})
EVERYTHING = frozenset(Change)
ROOM_BYTES = 1 << 20
TERMS = SpoolTerms(0.0, ROOM_BYTES, ROOM_BYTES)
NAME = "somebody's very own name"
BODY = b'{"id":"7","name":"Ada"}'
ROW = Row(RowKey(("7",)), BODY, hash_row(BODY))


class NamedSpools(Spools):
    """Spools whose files have a name, so that a test can lay hands on them."""

    def open_file(self) -> FileIO:
        assert self.terms.directory is not None
        return (self.terms.directory / "spool").open("w+b", buffering=0)


@pytest.fixture
def spools() -> Iterator[Spools]:
    """Room for more than a test takes."""
    with Spools.open(TERMS, SystemClock()) as opened:
        yield opened


def added(first: int, last: int) -> PlainChanges:
    """So many rows that are new."""
    keys = [RowKey((f"{number:06}",)) for number in range(first, last)]
    bodies = [f'{{"id":"{key}","name":"{NAME}"}}'.encode() for (key,) in keys]
    return PlainChanges(Change.ADDED, RowColumns(keys, bodies, hash_rows(bodies)))


def rows(changes: Sequence[Changes]) -> list[RowChange]:
    """One after another."""
    return list(chain.from_iterable(changes))


def open_in(directory: Path) -> list[str]:
    """The files there that this process has open."""
    links = [str(one.readlink()) for one in Path("/proc/self/fd").iterdir() if one.is_symlink()]
    return [link for link in links if link.startswith(str(directory))]


@contextmanager
def named_spool(directory: Path) -> Iterator[Spool]:
    """Its file is found there under the name `spool`."""
    with (
        NamedSpools.open(replace(TERMS, directory=directory), SystemClock()) as spools,
        closing(Spool(spools, SENDS)) as spool,
    ):
        yield spool


async def test_chunks_come_back_in_their_order_with_everything_that_was_said_of_rows(spools: Spools) -> None:
    place = RowKey(("2026", "7"))
    known = Entry(place, of_first_algorithm(b"12345678"), RowHash(b"87654321"), is_gone=True, written=b'{"id":7}')
    odd = [
        RowChange(
            None, MappedRow(ROW, place, DedupeKey(b"x" * 16), rejected("BAD", "no", field="name"), is_extra=True)
        ),
        RowChange(Change.CHANGED, MappedRow(ROW, place, written=b'{"id":7}'), known),
        RowChange(Change.REMOVED, known=known),
    ]
    with closing(Spool(spools, SENDS)) as spool:
        refusals = [await spool.write([added(0, 300), odd]), await spool.write([added(300, 301)])]

        first, second = await spool.read(), await spool.read()

    assert refusals == [None, None]
    assert rows(first) == rows([added(0, 300), odd])
    assert rows(second) == rows([added(300, 301)])


async def test_what_sends_nothing_is_kept_without_its_body_unless_somebody_will_ask_for_it() -> None:
    unchanged = PlainChanges(Change.UNCHANGED, added(0, 2).columns, added(0, 2).columns.hashes)
    known = Entry(ROW.key, ROW.row_hash, dead=RowHash(b"87654321"))
    old = Entry(ROW.key, of_first_algorithm(b"12345678"))
    alone = [RowChange(Change.UNCHANGED, MappedRow(ROW, ROW.key), entry) for entry in (known, old)]

    stretch, [blank, needed] = without_bodies(unchanged, SENDS), without_bodies(alone, SENDS)

    assert isinstance(stretch, PlainChanges)
    assert (stretch.columns.keys, stretch.columns.bodies) == (unchanged.columns.keys, [b"", b""])
    assert blank == alone[0]._replace(mapped=MappedRow(replace(ROW, body=b""), ROW.key))
    assert needed == alone[1]
    assert rows([without_bodies(unchanged, EVERYTHING)]) == rows([unchanged])


async def test_rows_among_which_few_changed_keep_their_keys_and_what_changed(spools: Spools) -> None:
    changed = added(1, 2).columns
    keys = LineKeys(b"a\t1\nb\t2\nc\t3\nd\t4", 0, 12, 3)
    updates = PlainUpdates(keys, [1], changed, changed.hashes)
    with closing(Spool(spools, {Change.CHANGED})) as spool:
        await spool.write([updates])

        [kept] = await spool.read()

    assert isinstance(kept, PlainUpdates)
    assert kept.keys == [("1",), ("2",), ("3",)]
    assert rows([kept]) == rows([updates])
    assert [change.change for change in kept] == [Change.UNCHANGED, Change.CHANGED, Change.UNCHANGED]


async def test_file_has_no_name_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    with Spools.open(replace(TERMS, directory=tmp_path), SystemClock()) as spools:
        file = spools.open_file()
        found = os.fstat(file.fileno())
        file.close()

    assert (found.st_mode & 0o777, found.st_nlink) == (0o600, 0)
    assert list(tmp_path.iterdir()) == []


async def test_disk_holds_no_word_of_a_row(tmp_path: Path) -> None:
    with named_spool(tmp_path) as spool:
        await spool.write([added(0, 1)])

        found = (tmp_path / "spool").read_bytes()

    assert len(found) > 0
    assert NAME.encode() not in found
    with pytest.raises(zlib.error):
        zlib.decompress(found)


async def test_altered_chunk_is_not_taken_for_rows(tmp_path: Path) -> None:
    with named_spool(tmp_path) as spool:
        await spool.write([added(0, 1)])
        _overwrite(tmp_path / "spool", at=20)

        with pytest.raises(SourceUnavailable) as caught:
            await spool.read()

    assert caught.value.code == SourceUnavailable.code


async def test_chunk_in_the_place_of_another_is_not_taken_for_it(tmp_path: Path) -> None:
    with named_spool(tmp_path) as spool:
        await spool.write([added(0, 1)])
        first = (tmp_path / "spool").read_bytes()
        await spool.write([added(0, 1)])
        (tmp_path / "spool").write_bytes(first + first)
        await spool.read()

        with pytest.raises(SourceUnavailable):
            await spool.read()


async def test_run_takes_no_more_of_the_disk_than_it_may() -> None:
    with Spools.open(replace(TERMS, run_bytes=2000), SystemClock()) as spools, closing(Spool(spools, SENDS)) as spool:
        told = [await spool.write([added(at, at + 1)]) for at in range(20)]

        assert (told[0], told[-1]) == (None, Refusal.RUN_FULL)
        assert 0 < spool.size_bytes <= 2000


async def test_runs_together_take_no_more_than_they_may_until_one_gives_back() -> None:
    with (
        Spools.open(replace(TERMS, total_bytes=2000), SystemClock()) as spools,
        closing(Spool(spools, SENDS)) as one,
        closing(Spool(spools, SENDS)) as other,
    ):
        told = [await one.write([added(0, 1)]) for _ in range(20)]
        refused = await other.write([added(0, 1)])
        one.empty()

        taken = await other.write([added(0, 1)])

    assert (told[0], told[-1], refused, taken) == (None, Refusal.PROCESS_FULL, Refusal.PROCESS_FULL, None)


async def test_disk_that_is_full_refuses_and_what_was_there_stays(tmp_path: Path) -> None:
    (tmp_path / "spool").symlink_to("/dev/full")
    with named_spool(tmp_path) as spool:
        refused = await spool.write([added(0, 1)])

        assert refused is Refusal.DISK
        assert (len(spool), spool.size_bytes) == (0, 0)


async def test_directory_that_is_not_there_refuses(tmp_path: Path) -> None:
    with (
        Spools.open(replace(TERMS, directory=tmp_path / "missing"), SystemClock()) as spools,
        closing(Spool(spools, SENDS)) as spool,
    ):
        assert await spool.write([added(0, 1)]) is Refusal.DISK


async def test_emptied_spool_begins_anew_at_the_start_of_its_file(tmp_path: Path) -> None:
    with named_spool(tmp_path) as spool:
        await spool.write([added(0, 300)])
        before = (tmp_path / "spool").stat().st_size
        await spool.read()
        spool.empty()
        await spool.write([added(300, 301)])

        after = (tmp_path / "spool").stat().st_size

        assert rows(await spool.read()) == rows([added(300, 301)])
    assert after < before


async def test_spool_that_was_never_written_needs_no_thread() -> None:
    with Spools.open(TERMS, SystemClock()) as spools:
        Spool(spools, SENDS).close()

        assert [thread.name for thread in threading.enumerate() if thread.name.startswith("spool")] == []


async def test_closed_spool_leaves_neither_bytes_nor_a_descriptor(tmp_path: Path) -> None:
    with Spools.open(replace(TERMS, directory=tmp_path), SystemClock()) as spools:
        with closing(Spool(spools, SENDS)) as spool:
            await spool.write([added(0, 300)])
            meanwhile = open_in(tmp_path)
        await spools.run(lambda: None)

        assert (len(meanwhile), open_in(tmp_path)) == (1, [])
        assert spools.take(ROOM_BYTES)


def _overwrite(path: Path, *, at: int) -> None:
    altered = bytearray(path.read_bytes())
    altered[at] ^= 1
    path.write_bytes(altered)
