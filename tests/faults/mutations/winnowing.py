"""Hashes that come as lines of text, and versions of rows, without one of their mechanisms."""

from tests.faults.mutations.mutation import Mutation

_WINNOW = "libs/tailrace/pipeline/winnow.py"
_PIECES = "libs/tailrace/pipeline/line_pieces.py"
_SIEVE = "tests/pipeline/test_sieve.py::"
_WINNOWS = "tests/pipeline/test_winnow.py::"
_WHOLE = (f"{_WINNOWS}test_text_of_which_many_lines_changed_is_read_whole_and_the_others_are_not",)
_TOUCHED = (f"{_WINNOWS}test_row_of_another_version_that_is_the_same_is_read_once_and_not_sent",)

MUTATIONS = (
    Mutation(
        "a row that was to be deleted is passed over by its hash",
        _PIECES,
        "            known[at] = UNKNOWN_SOURCE\n",
        "            known[at] = known[at]\n",
        (f"{_SIEVE}test_row_that_comes_back_before_it_could_be_deleted_is_read_and_sent",),
    ),
    Mutation(
        "rows that were not asked for are taken for those that were",
        _WINNOW,
        "        if keys != wanted:\n",
        "        if False:\n",
        (
            f"{_SIEVE}test_query_that_gives_other_rows_each_time_is_read_whole",
            f"{_WINNOWS}test_second_row_of_the_last_key_of_a_page_is_a_duplicate",
        ),
    ),
    Mutation(
        "what follows a text that was read whole is compared with what is behind it",
        _WINNOW,
        "            at = self._page.at if page is self._page.entries else 0\n",
        "            at = 0\n",
        _WHOLE,
    ),
    Mutation(
        "what a row is in the warehouse by now is not learnt",
        "libs/tailrace/pipeline/batch.py",
        "            self.decided.learn(updates.to_learn(at, end))\n",
        "",
        _TOUCHED,
    ),
    Mutation(
        "rows that had lines and are gone when all are read stay where they are",
        _WINNOW,
        "        if until is not None:\n",
        "        if False:\n",
        (f"{_WINNOWS}test_rows_that_had_lines_and_are_gone_when_all_are_read_are_gone_and_no_others",),
    ),
    Mutation(
        "another column of versions is another target",
        "libs/tailrace/store/snapshots.py",
        "CASE WHEN definition #>> '{{reading,type}}' = 'cursor' THEN definition #>> '{{reading,column}}' ELSE '' END",
        "coalesce(definition #>> '{{reading,column}}', '')",
        ("tests/executor/test_row_versions.py::test_what_was_delivered_stays_known_however_rows_are_compared",),
    ),
)
