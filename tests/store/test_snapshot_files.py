"""Files of snapshots: what is written is read again, and what is broken is never taken for whole."""

import gzip
from datetime import UTC, datetime
from io import BytesIO
from itertools import chain
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.core.errors import Invalid
from tailrace.core.rows import RowHash, RowKey, SourceHash
from tailrace.core.snapshots import ALGORITHM, UNKNOWN_VERSION, Entry, of_first_algorithm
from tailrace.core.syncs import FieldMapping, SyncDefinition, SyncMode
from tailrace.store.snapshot_files import Header, SnapshotReader, SnapshotWriter, target_of

DEFINITION = SyncDefinition(
    source_id="conn_w",
    source_query="SELECT id FROM people",
    destination_id="conn_d",
    object_name="people",
    field_mappings=(FieldMapping(source="id", destination="id", key=True),),
    sync_mode=SyncMode.UPSERT,
)
HEADER = Header(
    exported_at=datetime(2026, 11, 22, tzinfo=UTC),
    sync_id="retl_sync_1",
    sync_name="people",
    sync_version=3,
    active_run=None,
    watermark=None,
    target=target_of(DEFINITION, "http"),
)
KEYS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
HASHES = st.binary(min_size=8, max_size=8)
VERSIONS = st.one_of(HASHES.map(RowHash), HASHES.map(of_first_algorithm), st.just(UNKNOWN_VERSION))
ENTRIES = st.builds(
    Entry,
    key=st.tuples(KEYS, KEYS).map(RowKey),
    delivered=VERSIONS,
    dead=st.none() | VERSIONS,
    is_gone=st.booleans(),
    written=st.none() | st.just(b'{"id": "007"}'),
    source=st.integers(-(2**63), 2**63 - 1).map(SourceHash),
)


def _file(*entries: Entry) -> BytesIO:
    file = BytesIO()
    writer = SnapshotWriter(file, HEADER)
    writer.add(entries)
    writer.close()
    file.seek(0)
    return file


def _changed(old: bytes, new: bytes) -> BytesIO:
    plain = gzip.decompress(_file(_entry("1"), _entry("2")).getvalue())
    assert old in plain
    return BytesIO(gzip.compress(plain.replace(old, new, 1)))


def _entry(key: str, content: int = 1) -> Entry:
    return Entry(RowKey((key,)), RowHash(content.to_bytes(8)))


def _read(file: BytesIO, key_parts: int = 1) -> list[Entry]:
    return list(chain.from_iterable(SnapshotReader(file).entries(key_parts=key_parts)))


@given(st.lists(ENTRIES, max_size=30, unique_by=lambda entry: entry.key))
def test_what_was_written_is_read(entries: list[Entry]) -> None:
    entries.sort(key=lambda entry: entry.key)

    assert _read(_file(*entries), key_parts=2) == entries


def test_header_tells_what_the_file_speaks_of() -> None:
    assert SnapshotReader(_file()).header == HEADER
    assert HEADER.algorithm == ALGORITHM


def test_each_row_is_a_line_that_people_can_read() -> None:
    lines = gzip.decompress(
        _file(_entry("42"), _entry("é")._replace(dead=RowHash(b"\xff" * 8))).getvalue()
    ).splitlines()

    assert orjson.loads(lines[0])["target"]["object_name"] == "people"
    assert orjson.loads(lines[1]) == {"key": ["42"], "delivered": "0000000000000001"}
    assert orjson.loads(lines[2]) == {"key": ["é"], "delivered": "0000000000000001", "dead": "ffffffffffffffff"}
    assert orjson.loads(lines[3]) == {"entries": 2}


def test_file_of_many_rows_is_read_some_at_a_time() -> None:
    keys = sorted(str(number) for number in range(2500))

    read = list(SnapshotReader(_file(*map(_entry, keys))).entries(key_parts=1))

    assert [len(some) for some in read] == [1000, 1000, 500]


def test_row_takes_less_than_24_bytes() -> None:
    keys = sorted(str(number) for number in range(10_000))
    size_bytes = len(_file(*(_entry(key, hash(int(key) + 7) ** 5 % 2**64) for key in keys)).getvalue())

    assert size_bytes / len(keys) < 24


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"format":1', b'"format":2'),
        (b'"algorithm":2', b'"algorithm":9'),
        (b'"tailrace"', b'"other"'),
        (b"{", b"["),
    ],
)
def test_header_of_another_format_is_refused(old: bytes, new: bytes) -> None:
    with pytest.raises(Invalid, match="header"):
        SnapshotReader(_changed(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(b'{"entries":2}\n', b"", id="no last line"),
        pytest.param(b'{"entries":2}', b'{"entries":3}', id="a row is missing"),
        pytest.param(b'{"entries":2}\n', b'{"entries":2}\n{}\n', id="more behind the end"),
        pytest.param(b'["2"]', b'["1"]', id="a key twice"),
        pytest.param(b'["2"]', b'["0"]', id="out of order"),
        pytest.param(b'["2"]', b'["2","3"]', id="another number of parts"),
        pytest.param(b'["2"]', b"2", id="a key that is none"),
        pytest.param(b'["2"]', b'["\\u0000"]', id="NUL in a key"),
        pytest.param(b'"0000000000000001"', b'"01"', id="a hash of another length"),
        pytest.param(b'"0000000000000001"', b'"020000000000000001"', id="a hash of an unknown algorithm"),
        pytest.param(b'"0000000000000001"', b'"x"', id="a hash that is none"),
        pytest.param(b',"delivered":"0000000000000001"', b"", id="no version"),
        pytest.param(b'"0000000000000001"}', b'"0000000000000001","more":1}', id="more than is known"),
        pytest.param(b'"0000000000000001"}', b'"0000000000000001","source":"00"}', id="a source of another length"),
        pytest.param(b'"0000000000000001"}', b'"0000000000000001","written":"7"}', id="a written key that is none"),
        pytest.param(b'{"key":["2"]', b"[", id="no JSON"),
    ],
)
def test_broken_lines_are_refused(old: bytes, new: bytes) -> None:
    with pytest.raises(Invalid, match="no snapshot to be imported"):
        _read(_changed(old, new))


@pytest.mark.parametrize("left", [0, 5, 60, -1])
def test_file_that_was_cut_off_is_refused(left: int) -> None:
    with pytest.raises(Invalid, match="no snapshot to be imported"):
        _read(BytesIO(_file(_entry("1"), _entry("2")).getvalue()[:left]))


def test_line_without_end_is_refused() -> None:
    with pytest.raises(Invalid, match="longer than"):
        SnapshotReader(BytesIO(gzip.compress(b" " * (1 << 21))))


def test_file_that_cannot_be_written_says_so() -> None:
    with Path("/dev/full").open("wb", buffering=0) as file, pytest.raises(Invalid, match="No space left"):
        SnapshotWriter(file, HEADER).close()
