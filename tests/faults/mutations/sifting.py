"""Lines that are compared before they are rows, and rows that stay together, without one of their mechanisms."""

from tests.faults.mutations.mutation import Mutation

_SIFT = "libs/tailrace/pipeline/sift.py"
_ROOM = "libs/tailrace/pipeline/room.py"
_LINES = ("tests/pipeline/test_sift.py::test_lines_are_sent_and_settled_as_mapped_rows_are",)
_SAME = ("tests/pipeline/test_sift.py::test_row_with_the_key_of_the_line_before_is_a_duplicate",)
_FEW = ("tests/pipeline/test_plain.py::test_few_that_changed_among_many_are_sent_and_cut_as_they_would_be_one_by_one",)

MUTATIONS = (
    Mutation(
        "what was compared as a line is not the row before",
        _SIFT,
        "            self.mapper.pass_by(key_of_line(self.rows.text, 0, end))\n",
        "            key_of_line(self.rows.text, 0, end)\n",
        _SAME,
    ),
    Mutation(
        "a line may have the key of the row before",
        _SIFT,
        "        if self.mapper.is_duplicate(self._key_at(self.start)):\n",
        "        if False:\n",
        _SAME,
    ),
    Mutation(
        "known keys are compared as JSON writes them",
        "libs/tailrace/core/written_keys.py",
        'array.startswith(b\'["\') and b"\\\\" not in array',
        "array.startswith(b'[\"')",
        ("tests/core/test_written_keys.py::test_array_is_bare_where_its_keys_are_single_texts_without_an_escape",),
    ),
    Mutation(
        "what follows an odd line is left out",
        _SIFT,
        "        rows = TextRows(self.rows.text[self.start :], self.rows.layout, copy_cells=self.rows.copy_cells)\n",
        "        return None\n",
        _LINES,
    ),
    Mutation(
        "a page goes on where it was left by others",
        _SIFT,
        "        return self.place == page.at\n",
        "        return self.place >= 0\n",
        ("tests/pipeline/test_sift.py::test_block_of_which_much_is_new_is_followed_by_blocks_that_are_written",),
    ),
    Mutation(
        "lines that are left as they are fill no parcel",
        _ROOM,
        "        end = min(end, self._end_of_decided(places, at))\n",
        "",
        _FEW,
    ),
    Mutation(
        "what follows the last row of a batch joins it",
        _ROOM,
        "        if self.sending + last - first == self.rows_per_batch:\n",
        "        if False:\n",
        _FEW,
    ),
    Mutation(
        "what is gone is looked for above pages alone",
        "libs/tailrace/store/page_layers.py",
        '    unread = [start for page in found if len(gone.get(start := _start(page), ())) < page["gone"]]\n',
        "    unread: list[_Start] = []\n",
        ("tests/store/test_page_layers.py::test_any_history_of_runs_comes_to_the_same_as_a_dict[0]",),
    ),
)
