"""What tells batches, keys, sources and letters apart, without one of its mechanisms."""

from tests.faults.mutations.mutation import Mutation

_LINEAGE = "libs/tailrace/pipeline/lineage.py"
_HEEDED = "tests/executor/test_heeded_keys.py::"
_EDITED = "tests/executor/test_edited_syncs.py::"
_REWRITTEN = "tests/executor/test_rewritten_keys.py::"
_OTHER_SOURCE = f"{_EDITED}test_rows_of_another_source_are_not_taken_for_those_of_the_one_before"

MUTATIONS = (
    Mutation(
        "what another run sends is taken for what was sent before",
        "services/tailrace_executor/route.py",
        "    return Lineage(claim.lease.run_id)\n",
        "    return Lineage(claim.sync_id)\n",
        (
            f"{_HEEDED}test_value_that_changed_back_arrives",
            f"{_HEEDED}test_full_run_sends_what_was_sent_before",
        ),
    ),
    Mutation(
        "an insert that may have arrived is another request in the next run",
        "services/tailrace_executor/route.py",
        "    if definition.sync_mode is SyncMode.INSERT and claim.kind is not RunKind.REPLAY:\n",
        "    if False:\n",
        (f"{_HEEDED}test_insert_that_may_have_arrived_is_the_same_request_in_the_next_run",),
    ),
    Mutation(
        "batches of rows that are alike are one",
        _LINEAGE,
        "place = (begins.after, begins.null_rows, begins.phase, nth) if self.has_places else ()",
        "place = ()",
        (f"{_HEEDED}test_rows_that_are_alike_are_appended_as_often_as_they_are_there",),
    ),
    Mutation(
        "a destination's code closes letters as one of ours",
        "libs/tailrace/pipeline/tally.py",
        "    is_ours = outcome.code in CODES_OF_QUERIES or outcome.code == DUPLICATE_MAPPED_KEY\n",
        "    is_ours = False\n",
        (f"{_EDITED}test_code_of_a_destination_that_reads_as_one_of_ours_closes_no_letter",),
    ),
    Mutation(
        "versions of another source are taken for those of the one before",
        "libs/tailrace/pipeline/hashing.py",
        "        definition.source_id,\n",
        "",
        (_OTHER_SOURCE,),
    ),
    Mutation(
        "the watermark of another source is gone on from",
        "libs/tailrace/store/snapshots.py",
        "jsonb_build_array(definition -> 'source_id', definition -> 'source_query'",
        "jsonb_build_array(definition -> 'source_query'",
        (_OTHER_SOURCE,),
    ),
    Mutation(
        "a watermark of another kind is gone on from",
        "libs/tailrace/pipeline/read.py",
        "    if watermark.value is None or is_of_kind(cursor.kind, watermark.value):\n",
        "    if True:\n",
        (f"{_EDITED}test_cursor_that_changed_its_kind_begins_anew",),
    ),
    Mutation(
        "letters of an earlier definition are closed by what is known alone",
        "services/tailrace_executor/route.py",
        "has_old_letters=await bench.dead_letters.has_older(claim.sync_id, claim.sync_version)",
        "has_old_letters=False",
        (f"{_EDITED}test_letter_of_an_earlier_definition_is_closed_once_its_row_is_delivered",),
    ),
    Mutation(
        "numbers that are written in several ways are several keys",
        "libs/tailrace/core/keys.py",
        "    if not _HAS_A_CHOICE.search(record):\n",
        "    if True:\n",
        (
            f"{_REWRITTEN}test_record_of_a_key_that_is_written_in_another_way_is_kept",
            f"{_REWRITTEN}test_two_rows_with_one_number_as_their_key_are_told_apart",
        ),
    ),
    Mutation(
        "a mirror goes by keys as they are written, whatever the destination makes of them",
        "libs/tailrace/pipeline/walk.py",
        "plan.identity_of or canonical)",
        "canonical)",
        ("tests/pipeline/test_mirror.py::test_key_that_the_destination_takes_for_that_of_a_living_row_is_not_deleted",),
    ),
)
