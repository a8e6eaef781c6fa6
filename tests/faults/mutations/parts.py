"""Readings in parts without one of their mechanisms."""

from tests.faults.mutations.mutation import Mutation

_PARTS = "libs/tailrace/connector_kit/postgres_parts.py"
_RANGES = "libs/tailrace/connector_kit/number_ranges.py"
_NUMBERS = "tests/connector_kit/test_postgres_parts.py::"
_TABLES = "tests/warehouses/test_postgres_parts.py::"

MUTATIONS = (
    Mutation(
        "a reading in parts ends before its last",
        _PARTS,
        "first_text(some) > reading.until[0]",
        "first_text(some) >= reading.until[0]",
        (f"{_NUMBERS}test_parts_hold_all_between_the_ends_of_a_reading",),
    ),
    Mutation(
        "a number that only begins others has no part",
        _RANGES,
        "    if within.first <= digits <= within.last:\n",
        "    if False:\n",
        (f"{_NUMBERS}test_every_number_has_its_place_in_one_part_in_the_order_of_texts",),
    ),
    Mutation(
        "rows without a place stand in their part too",
        _PARTS,
        '    placed = "".join(f" AND {name} IS NOT NULL" for name in others)\n',
        '    placed = "".join("" for name in others)\n',
        (f"{_TABLES}test_key_of_several_columns_comes_in_order_too",),
    ),
    Mutation(
        "a part of any size is held",
        _PARTS,
        "        if self._size_bytes > PART_BYTES:\n",
        "        if False:\n",
        (f"{_NUMBERS}test_part_that_is_too_large_to_be_held_is_sorted_by_the_server_and_so_are_those_behind_it",),
    ),
    Mutation(
        "a large table is sorted by the server",
        _PARTS,
        "            return await _numbers(session, reading, statement_of)\n",
        "            return None\n",
        (f"{_TABLES}test_large_table_comes_in_order_and_the_server_sorts_nothing_on_disk",),
    ),
    Mutation(
        "every stretch of numbers is taken to have as many rows",
        "libs/tailrace/connector_kit/postgres_samples.py",
        "        expected += stretch.rows * part\n",
        "        expected += 60\n",
        (f"{_TABLES}test_sample_of_its_keys_is_as_the_server_expects_them_without_a_look_at_the_rows",),
    ),
    Mutation(
        "a row whose key has a part that holds a NULL is in no part",
        _PARTS,
        " or not SCALARS.issuperset(others)",
        "",
        (f"{_TABLES}test_row_whose_key_has_a_part_that_holds_a_null_is_read",),
    ),
)
