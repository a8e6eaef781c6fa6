"""Snapshot pages: what is packed comes out again, and a layer above wins."""

from hypothesis import given
from hypothesis import strategies as st

from tailrace.core.rows import RowHash, RowKey
from tailrace.core.snapshots import ENTRIES_PER_PAGE, Entry, hash_row, overlay, pages, unpack

hashes = st.binary(min_size=8, max_size=8).map(RowHash)
keys = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), min_size=1, max_size=3).map(
    lambda parts: RowKey(tuple(parts))
)
entries = st.builds(Entry, keys, st.none() | hashes, st.none() | hashes)


def layer(some: list[Entry]) -> list[Entry]:
    return sorted({entry.key: entry for entry in some}.values(), key=lambda entry: entry.key)


@given(st.lists(entries, min_size=1).map(layer))
def test_entries_come_out_of_a_page_as_they_went_in(some: list[Entry]) -> None:
    (page,) = pages(some)

    assert unpack(page.body) == some
    assert (page.first_key, page.last_key, page.entries) == (some[0].key, some[-1].key, len(some))


@given(st.lists(entries).map(layer), st.lists(entries).map(layer))
def test_overlay_is_a_dict_update_without_tombstones(base: list[Entry], above: list[Entry]) -> None:
    expected = {entry.key: entry for entry in base} | {entry.key: entry for entry in above}

    merged = list(overlay(base, above))

    assert merged == [expected[key] for key in sorted(expected) if not expected[key].is_tombstone]


def test_many_entries_are_cut_into_full_pages() -> None:
    many = [Entry(RowKey((f"{number:06}",)), hash_row(b"row")) for number in range(2 * ENTRIES_PER_PAGE + 1)]

    made = list(pages(many))

    assert [page.entries for page in made] == [ENTRIES_PER_PAGE, ENTRIES_PER_PAGE, 1]


def test_a_row_of_ten_byte_keys_costs_less_than_24_bytes() -> None:
    many = [Entry(RowKey((f"cust-{number:05}",)), hash_row(str(number).encode())) for number in range(1000)]

    (page,) = pages(many)

    assert len(page.body) / page.entries < 24
