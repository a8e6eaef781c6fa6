"""Snapshot pages: what is packed comes out again, and a layer above wins."""

import zlib
from dataclasses import replace
from hashlib import blake2b
from random import Random
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.core.entry_columns import EntryColumns, PlainEntries, told_of
from tailrace.core.pages import ENTRIES_PER_PAGE, looked_up, pack_above, pages, unpack, unpack_above
from tailrace.core.rows import UNKNOWN_SOURCE, Row, RowHash, RowKey, SourceHash
from tailrace.core.snapshots import UNKNOWN_VERSION, Entry, hash_row, is_version, of_first_algorithm

Item = TypeVar("Item")

hashes = st.binary(min_size=8, max_size=8).map(RowHash)
keys = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), min_size=1, max_size=3).map(
    lambda parts: RowKey(tuple(parts))
)
sources = st.just(UNKNOWN_SOURCE) | st.integers(-(2**63), 2**63 - 1).map(SourceHash)
entries = st.builds(Entry, keys, st.none() | hashes, st.none() | hashes, source=sources)
short = st.text("ab", min_size=1, max_size=6).map(lambda part: RowKey((part,)))
delivered = st.builds(
    Entry, short, hashes, st.sampled_from([None, None, UNKNOWN_VERSION]), st.just(value=False), st.none(), sources
)

close = st.builds(Entry, short, st.none() | hashes, st.sampled_from([None, None, UNKNOWN_VERSION]), source=sources)


def layer(some: list[Entry]) -> list[Entry]:
    return sorted({entry.key: entry for entry in some}.values(), key=lambda entry: entry.key)


def stretch(some: list[Entry]) -> PlainEntries:
    told = [(entry.key, entry.delivered or UNKNOWN_VERSION, entry.source) for entry in some]
    names, versions, known = zip(*told, strict=True)
    return PlainEntries(names, versions, known if any(known) else None)


def shuffled(some: list[Item], order: Random) -> list[Item]:
    return order.sample(some, len(some))


@given(st.lists(entries, min_size=1).map(layer))
def test_entries_come_out_of_a_page_as_they_went_in(some: list[Entry]) -> None:
    (page,) = pages(some)

    assert list(unpack(page.body, page.algorithm)) == some
    assert (page.first_key, page.last_key, page.entries) == (some[0].key, some[-1].key, len(some))


@given(st.lists(entries).map(layer), st.lists(entries).map(layer))
def test_overlay_is_a_dict_update_without_tombstones(base: list[Entry], above: list[Entry]) -> None:
    expected = {entry.key: entry for entry in base} | {entry.key: entry for entry in above}

    merged = list(EntryColumns.of(base).overlaid(EntryColumns.of(above)))

    assert merged == [expected[key] for key in sorted(expected) if not expected[key].is_tombstone]


@given(st.lists(delivered, min_size=1).map(layer), st.lists(delivered | close).map(layer))
def test_overlaid_page_is_as_one_of_what_is_left(base: list[Entry], above: list[Entry]) -> None:
    [page] = pages(base)
    expected = {entry.key: entry for entry in base} | {entry.key: entry for entry in above}
    left = [expected[key] for key in sorted(expected) if not expected[key].is_tombstone]

    merged = unpack(page.body, page.algorithm).overlaid(EntryColumns.of(above))

    assert list(merged) == left
    assert merged.is_plain is EntryColumns.of(left).is_plain
    assert [entry for made in pages(merged) for entry in unpack(made.body, made.algorithm)] == left


@given(
    st.lists(delivered, min_size=1).map(layer),
    st.lists(delivered | close, min_size=1).map(layer),
    st.lists(delivered | close).map(layer),
    st.sampled_from([0, 1]),
)
def test_page_that_something_lies_above_is_overlaid_again(
    base: list[Entry], above: list[Entry], topmost: list[Entry], times_source: int
) -> None:
    base, above, topmost = (
        [one._replace(source=SourceHash(one.source * times_source)) for one in some] for some in (base, above, topmost)
    )
    [page] = pages(base)
    expected = {entry.key: entry for entry in [*base, *above, *topmost]}
    left = [expected[key] for key in sorted(expected) if not expected[key].is_tombstone]

    known = unpack(page.body, -page.algorithm, pack_above(EntryColumns.of(above)))
    merged = known.overlaid(EntryColumns.of(topmost))

    assert [entry for made in pages(merged) for entry in unpack(made.body, made.algorithm)] == left


@given(st.lists(entries).map(layer), st.lists(entries).map(layer), st.lists(entries).map(layer))
def test_layers_that_are_stacked_lie_above_a_third_as_one(
    base: list[Entry], above: list[Entry], topmost: list[Entry]
) -> None:
    below, middle, top = map(EntryColumns.of, (base, above, topmost))

    stacked = middle.stacked(top)

    assert list(stacked) == layer(above + topmost)
    assert stacked.is_plain is EntryColumns.of(layer(above + topmost)).is_plain
    assert list(below.overlaid(stacked)) == list(below.overlaid(middle).overlaid(top))


@given(st.lists(delivered | close, min_size=1).map(layer), st.lists(delivered | close, min_size=1).map(layer))
def test_page_is_read_with_what_lies_above_it(base: list[Entry], above: list[Entry]) -> None:
    [page] = pages(base)

    packed = pack_above(EntryColumns.of(above))

    assert list(unpack_above(packed)) == above
    read = unpack(page.body, -page.algorithm, packed)
    assert list(read) == list(EntryColumns.of(base).overlaid(EntryColumns.of(above)))


@given(st.lists(entries, min_size=1).map(layer))
def test_page_that_something_lies_above_cannot_be_read_without_it(base: list[Entry]) -> None:
    [page] = pages(base)

    with pytest.raises(zlib.error):
        unpack(page.body, -page.algorithm)


@given(st.lists(delivered | close, min_size=1).map(layer), st.sets(short))
def test_entries_are_looked_up_in_a_page(base: list[Entry], wanted: set[RowKey]) -> None:
    [page] = pages(base)
    told = {entry.key: told_of(entry) for entry in base}

    assert looked_up(page.body, page.algorithm, sorted(wanted)) == [told.get(key) for key in sorted(wanted)]


def test_entries_are_looked_up_by_keys_of_several_parts() -> None:
    known = [Entry(RowKey((part, "é")), hash_row(part.encode())) for part in "ace"]
    [page] = pages(known)

    told = looked_up(page.body, page.algorithm, [RowKey(("a", "e")), RowKey(("c", "é")), RowKey(("e", "é"))])

    assert told == [None, known[1].delivered, known[2].delivered]


@given(st.lists(entries).map(layer), st.integers(1, 4))
def test_columns_one_behind_the_other_are_joined(some: list[Entry], size: int) -> None:
    columns = [EntryColumns.of(some[at : at + size]) for at in range(0, len(some), size)]

    joined = EntryColumns.joined(columns)

    assert list(joined) == some
    assert joined.is_plain is EntryColumns.of(some).is_plain


def test_keys_that_stay_are_not_packed_again() -> None:
    [page] = pages([Entry(RowKey((f"{number:06}",)), hash_row(b"old")) for number in range(100)])
    head, packed, hashes_of_rows = page.body[:12], page.body[12:-800], page.body[-800:]
    others = zlib.compress(zlib.decompress(packed), 9)
    below = unpack(head[:4] + len(others).to_bytes(4) + head[8:] + others + hashes_of_rows)

    [changed] = pages(below.overlaid(EntryColumns.of([Entry(RowKey(("000007",)), hash_row(b"new"))])))
    [shorter] = pages(below.overlaid(EntryColumns.of([Entry(RowKey(("000007",)))])))

    assert others != packed
    assert others in changed.body
    assert others not in shorter.body


@given(
    st.lists(delivered, min_size=5).map(layer),
    st.integers(1, 4),
    st.randoms(use_true_random=False),
    st.sampled_from(["one behind another", "one among another"]),
)
def test_entries_in_stretches_and_others_are_gathered_in_order(
    some: list[Entry], size: int, order: Random, lie: str
) -> None:
    plain = [entry for entry in some if not isinstance(told_of(entry), Entry)]
    behind = [plain[at : at + size] for at in range(0, len(plain), size)]
    among = [plain[at::size] for at in range(min(size, len(plain)))]
    stretches = [stretch(each) for each in (behind if lie == "one behind another" else among)]
    others = [entry for entry in some if isinstance(told_of(entry), Entry)]

    gathered = EntryColumns.gathered(shuffled(stretches, order), shuffled(others, order))

    assert list(gathered) == some
    assert gathered.is_plain is EntryColumns.of(some).is_plain
    assert [page.body for page in pages(gathered)] == [page.body for page in pages(some)]


def test_page_of_the_first_algorithm_tells_versions_by_it() -> None:
    body = b'{"id":"a"}'
    digest = blake2b(body, digest_size=8).digest()
    stored = b"\x01\x01\x00\x01a" + digest + b"\x07\x01\x00\x01b" + digest + bytes(8) + b"\x02\x01\x00\x01c" + digest

    plain, gone, dead = unpack(zlib.compress(stored, 1), algorithm=1)

    row = Row(RowKey(("a",)), body, hash_row(body))
    assert [entry.key for entry in (plain, gone, dead)] == [("a",), ("b",), ("c",)]
    assert is_version(plain.delivered, row)
    assert is_version(dead.dead, row)
    assert not is_version(plain.delivered, replace(row, body=b'{"id":"b"}'))
    assert gone == Entry(RowKey(("b",)), plain.delivered, UNKNOWN_VERSION, is_gone=True)
    assert dead.delivered is None


def test_hashes_of_the_first_algorithm_stay_what_they_are_in_pages_of_today() -> None:
    old = of_first_algorithm(b"12345678")
    some = [
        Entry(RowKey(("a",)), old),
        Entry(RowKey(("b",)), hash_row(b"b")),
        Entry(RowKey(("c",)), old, hash_row(b"c")),
    ]

    [page] = pages(some)

    assert list(unpack(page.body)) == some


def test_many_entries_are_cut_into_full_pages() -> None:
    many = [Entry(RowKey((f"{number:06}",)), hash_row(b"row")) for number in range(2 * ENTRIES_PER_PAGE + 1)]

    made = list(pages(many))

    assert [page.entries for page in made] == [ENTRIES_PER_PAGE, ENTRIES_PER_PAGE, 1]


def test_many_entries_are_cut_into_as_few_pages_of_one_size() -> None:
    many = [Entry(RowKey((f"{number:06}",)), hash_row(b"row")) for number in range(2 * ENTRIES_PER_PAGE + 1)]

    made = list(pages(many, evenly=True))

    assert [page.entries for page in made] == [667, 667, 667]
    assert [entry for page in made for entry in unpack(page.body)] == many
    assert list(pages([], evenly=True)) == []


def test_page_without_hashes_of_the_warehouse_is_one_that_earlier_versions_read() -> None:
    some = [Entry(RowKey(("a",)), hash_row(b"a")), Entry(RowKey(("b",)), None, hash_row(b"b"))]

    [page] = pages(some)
    [with_source] = pages([some[0]._replace(source=SourceHash(-7)), some[1]])

    assert (page.algorithm, list(unpack(page.body))) == (2, some)
    assert (with_source.algorithm, len(with_source.body) - len(page.body)) == (3, 2 * 8)


def test_hash_of_the_warehouse_goes_with_the_version_that_it_stands_for() -> None:
    below = EntryColumns.of([Entry(RowKey((key,)), hash_row(b"old"), source=SourceHash(1)) for key in "abc"])
    above = EntryColumns.of([Entry(RowKey(("b",)), hash_row(b"new")), Entry(RowKey(("c",)))])

    merged = below.overlaid(above)

    assert [(*entry.key, entry.delivered, entry.source) for entry in merged] == [
        ("a", hash_row(b"old"), 1),
        ("b", hash_row(b"new"), UNKNOWN_SOURCE),
    ]


def test_a_row_of_ten_byte_keys_costs_less_than_24_bytes() -> None:
    many = [Entry(RowKey((f"cust-{number:05}",)), hash_row(str(number).encode())) for number in range(1000)]
    hashed = [entry._replace(source=SourceHash(at)) for at, entry in enumerate(many, 1)]

    (page,) = pages(hashed)

    assert len(page.body) / page.entries < 24
