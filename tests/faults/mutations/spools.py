"""The way of rows by the disk without one of its mechanisms."""

from tests.faults.mutations.mutation import Mutation

_BELT = "libs/tailrace/pipeline/belt.py"
_SPOOL = "libs/tailrace/pipeline/spool.py"
_TESTS = "tests/pipeline/test_belt.py"

MUTATIONS = (
    Mutation(
        "rows from the disk in another order",
        _SPOOL,
        "        chunk = self._chunks.popleft()\n",
        "        chunk = self._chunks.pop()\n",
        (f"{_TESTS}::test_reading_comes_to_its_end_before_anything_is_taken_and_all_comes_in_order",),
    ),
    Mutation(
        "rows in memory overtake those on the disk",
        _BELT,
        "            if self._spool:\n",
        "            if self._spool and not self._tail:\n",
        (f"{_TESTS}::test_reading_comes_to_its_end_before_anything_is_taken_and_all_comes_in_order",),
    ),
    Mutation(
        "what did not fill a chunk is dropped",
        _BELT,
        "        self._add_to_head(self._tail)\n",
        "",
        (f"{_TESTS}::test_run_by_way_of_the_disk_sends_and_books_what_a_direct_one_does",),
    ),
    Mutation(
        "rows that a full disk refused are dropped",
        _BELT,
        "        if refusal is None:\n            self._tail,",
        "        if refusal is not None or not self._refusals:\n            self._tail,",
        (f"{_TESTS}::test_reading_that_finds_no_room_waits_says_so_once_and_loses_nothing",),
    ),
    Mutation(
        "failure of a reading comes before its last rows",
        _BELT,
        "        while await self._turn():\n",
        "        while self._failure is None and await self._turn():\n",
        (f"{_TESTS}::test_failure_of_the_reading_comes_behind_the_last_row",),
    ),
    Mutation(
        "bodies of rows that are to be sent are left out",
        _SPOOL,
        "    if changes.change in sends:\n        return changes\n",
        "",
        (f"{_TESTS}::test_order_is_the_same_where_both_go_on_at_once",),
    ),
    Mutation(
        "the warehouse is held until all is delivered",
        "libs/tailrace/pipeline/walk.py",
        "            await route.leave_warehouse()\n    return walked",
        "    return walked",
        (f"{_TESTS}::test_warehouse_is_left_while_nothing_was_delivered_yet",),
    ),
    Mutation(
        "one nonce for all chunks of a run",
        _SPOOL,
        "        self._sealed += 1\n",
        "",
        ("tests/pipeline/test_spool.py::test_chunk_in_the_place_of_another_is_not_taken_for_it",),
    ),
)
