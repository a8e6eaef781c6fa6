"""Runs that executors share without one of the mechanisms."""

from tests.faults.mutations.mutation import SIMULATION, Mutation

_SHARE = "services/tailrace_executor/share.py"
_SHARDS = "libs/tailrace/store/shards.py"
_SHARED_RUNS = "libs/tailrace/store/shared_runs.py"
_TESTS = "tests/executor/test_shared_runs.py"
_STORE_TESTS = "tests/store/test_shared_runs.py"
_THRESHOLDS = "tests/executor/test_shared_thresholds.py"
_ENDS = "tests/executor/test_shard_ends.py"

MUTATIONS = (
    Mutation(
        "a shard begins where the query does",
        "services/tailrace_executor/ledger.py",
        "        self.position = position_of(claim.checkpoint)\n",
        "        self.position = position_of(claim.checkpoint if claim.checkpoint_seq else None)\n",
        (SIMULATION,),
    ),
    Mutation(
        "a shard that is taken over has no end",
        "services/tailrace_executor/route.py",
        "            until=claim.until,\n",
        "            until=claim.until if claim.lease.epoch == 1 else None,\n",
        (SIMULATION,),
    ),
    Mutation(
        "a shard is read to the end of the query",
        "libs/tailrace/pipeline/walk.py",
        ", until=route.until)",
        ", until=None)",
        (f"{_TESTS}::test_first_run_is_cut_by_a_sample_and_every_row_comes_once",),
    ),
    Mutation(
        "a shard takes what is known behind its end for gone",
        "services/tailrace_executor/bench.py",
        "after=after, until=self.until)",
        "after=after)",
        (f"{_TESTS}::test_mirror_deletes_what_is_gone_from_all_shards",),
    ),
    Mutation(
        "the first shard that is done closes the run",
        _SHARED_RUNS,
        'if any(shard["state"] != "done" for shard in others):',
        "if False:",
        (f"{_STORE_TESTS}::test_all_leave_but_the_last_who_is_told_what_all_come_to",),
    ),
    Mutation(
        "the last one leaves too",
        _SHARED_RUNS,
        'if any(shard["state"] != "done" for shard in others):',
        "if True:",
        (f"{_STORE_TESTS}::test_all_leave_but_the_last_who_is_told_what_all_come_to",),
    ),
    Mutation(
        "two that leave at once both leave",
        _SHARED_RUNS,
        "            await connection.execute(LOCK_RUN, lease.run_id)\n",
        "",
        (f"{_STORE_TESTS}::test_of_two_that_leave_at_once_one_stays",),
    ),
    Mutation(
        "the last shard tells of its own rows only",
        _SHARED_RUNS,
        "sum(map(books_in, shards), Books())",
        "books_in(shards[lease.shard])",
        (f"{_STORE_TESTS}::test_all_leave_but_the_last_who_is_told_what_all_come_to",),
    ),
    Mutation(
        "deletes though another shard failed",
        _SHARE,
        "        if total.error_code is not None:\n",
        "        if False:\n",
        (f"{_TESTS}::test_mirror_deletes_nothing_where_another_shard_failed",),
    ),
    Mutation(
        "the others go on where a shard failed",
        "services/tailrace_executor/handlers.py",
        "                if self.bench.sharing:\n",
        "                if False:\n",
        (f"{_TESTS}::test_too_many_rejections_in_one_shard_end_the_whole_run",),
    ),
    Mutation(
        "one executor begins all shards",
        _SHARDS,
        "    AND NOT (shards.shard > 0 AND shards.lease_epoch = 0 AND shards.run_id = ANY ($10))\n",
        "    AND $10::text[] IS NOT NULL\n",
        (f"{_STORE_TESTS}::test_process_leaves_shards_of_a_run_it_shares_to_others_until_they_are_begun",),
    ),
    Mutation(
        "one executor begins a shard while it is about to begin another",
        "services/tailrace_executor/handlers.py",
        "            self.bench.sharing.add(claim.lease.run_id)\n",
        "            pass\n",
        (f"{_TESTS}::test_each_executor_has_one_shard_at_a_time",),
    ),
    Mutation(
        "a stop while a run is cut leaves its other parts in the queue",
        _SHARDS,
        " AND (shard = $2 OR state = 'queued')\n",
        " AND shard = $2\n",
        (f"{_STORE_TESTS}::test_run_that_ends_before_its_owner_knows_that_it_was_cut_leaves_nothing_to_claim",),
    ),
    Mutation(
        "a shard waits for its destination though its run is to end",
        _SHARDS,
        "WHERE other.run_id = $1 AND other.error_code IS NOT NULL)",
        "WHERE false)",
        (f"{_STORE_TESTS}::test_shard_does_not_wait_for_its_destination_where_another_failed",),
    ),
    Mutation(
        "rows whose keys may become one are shared out",
        _SHARE,
        "    if about < worth_it or keys_may_meet(",
        "    if about < worth_it or False and keys_may_meet(",
        (f"{_TESTS}::test_rows_whose_keys_may_become_one_are_not_shared_out",),
    ),
    Mutation(
        "thresholds look at the rows of one shard",
        "libs/tailrace/pipeline/brake.py",
        "        known, self._elsewhere = self._elsewhere, elsewhere\n",
        "        known = self._elsewhere\n",
        (
            f"{_THRESHOLDS}::test_ratio_counts_the_rows_of_all_shards",
            f"{_THRESHOLDS}::test_bad_shard_does_not_end_a_run_that_is_good_on_the_whole",
        ),
    ),
    Mutation(
        "rejections in a row are those of one shard",
        "libs/tailrace/pipeline/brake.py",
        "max(self._in_a_row, self._together)",
        "self._in_a_row",
        (f"{_THRESHOLDS}::test_rejections_in_a_row_are_counted_over_all_shards",),
    ),
    Mutation(
        "a checkpoint does not tell what other shards have sent",
        "libs/tailrace/store/checkpoints.py",
        '        return sent_elsewhere(elsewhere["elsewhere"])\n',
        "        return None\n",
        (f"{_STORE_TESTS}::test_each_shard_is_told_what_all_the_others_have_sent",),
    ),
    Mutation(
        "the last shard does not look at what all have sent",
        _SHARE,
        "        brake.heed(total.elsewhere)\n",
        "",
        (f"{_THRESHOLDS}::test_last_shard_sees_what_none_could_see_before",),
    ),
    Mutation(
        "what was counted is forgotten where a run is handed over",
        "services/tailrace_executor/route.py",
        "failure_thresholds, ledger.rejections, ledger.elsewhere)",
        "failure_thresholds, elsewhere=ledger.elsewhere)",
        (f"{_THRESHOLDS}::test_what_was_counted_stays_counted_when_a_run_is_handed_over",),
    ),
    Mutation(
        "a heartbeat that is under way as a shard ends loses its lease",
        "services/tailrace_executor/carry_out.py",
        "            if tenure.is_given_up:\n                return\n",
        "",
        (f"{_ENDS}::test_heartbeat_that_is_under_way_as_a_shard_ends_loses_no_lease",),
    ),
    Mutation(
        "each shard counts as a run",
        "services/tailrace_executor/handlers.py",
        "        if self.shards[run_id] == 1:\n",
        "        if self.shards[run_id]:\n",
        (f"{_ENDS}::test_two_shards_of_a_run_are_one_run_at_work",),
    ),
)
