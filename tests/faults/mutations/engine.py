"""The engine without one of its mechanisms."""

from tests.faults.mutations.mutation import SIMULATION, Mutation

_DELIVER = "libs/tailrace/pipeline/deliver.py"
_SETTLE = "libs/tailrace/pipeline/settle.py"
_CARRY_OUT = "services/tailrace_executor/carry_out.py"
_HASHES = "tests/warehouses/test_postgres_warehouse.py::TestPostgresWarehouse::"
_MYSQL = "tests/warehouses/test_mysql_warehouse.py::"
_WALK = "tests/pipeline/test_walk.py"
_INTERRUPTIONS = "tests/pipeline/test_interruptions.py"
_MECHANISMS = "tests/pipeline/test_mechanisms.py"
_SETTLES = "tests/pipeline/test_settle.py::"
_MAPPED_RUNS = "tests/executor/test_mapped_runs.py::"
_VERSIONS = "tests/executor/test_versions.py::"

MUTATIONS = (
    Mutation(
        "checkpoint before the response",
        _SETTLE,
        "        return await following.answer\n\n    def",
        "        return following.answer.result() if following.answer.done() else None\n\n    def",
        (SIMULATION,),
    ),
    Mutation(
        "checkpoint goes on behind a batch that failed",
        _SETTLE,
        "                answer = failure or await self._answer(following, tasks)\n",
        "                answer = await self._answer(following, tasks)\n",
        (SIMULATION,),
    ),
    Mutation(
        "a checkpoint begins before the one before it stands",
        _SETTLE,
        "        await before.wait()\n        elsewhere = await commit()\n",
        "        elsewhere = await commit()\n",
        (f"{_SETTLES}test_one_checkpoint_is_written_at_a_time_in_order_while_the_next_is_made_ready",),
    ),
    Mutation(
        "a checkpoint is made ready when the one before it stands",
        _SETTLE,
        "        commit = self._ledger.prepare(settlement)\n",
        "        await self._stands.wait()\n        commit = self._ledger.prepare(settlement)\n",
        (f"{_SETTLES}test_one_checkpoint_is_written_at_a_time_in_order_while_the_next_is_made_ready",),
    ),
    Mutation(
        "checkpoints are made ready however many wait to be written",
        _SETTLE,
        "before, self._stands))\n        await before.wait()\n",
        "before, self._stands))\n",
        (f"{_SETTLES}test_no_more_than_one_checkpoint_waits_to_be_written",),
    ),
    Mutation(
        "a run ends before its last checkpoint stands",
        _SETTLE,
        "        async with side_by_side() as tasks:\n            while",
        "        tasks = asyncio.get_running_loop()\n        if True:\n            while",
        (f"{_SETTLES}test_last_checkpoint_stands_when_all_is_settled",),
    ),
    Mutation(
        "rows leave the window before they are settled",
        _SETTLE,
        "        await before.wait()\n        elsewhere = await commit()\n",
        "        await before.wait()\n        for passage in passages:\n            passage.end()\n"
        "        passages = ()\n        elsewhere = await commit()\n",
        (f"{_SETTLES}test_rows_stay_in_the_window_until_their_checkpoint_stands",),
    ),
    Mutation(
        "no bisection of a refused batch",
        _DELIVER,
        "                return await self._bisect(batch, refusal, passage)\n",
        "                return [rejected(refusal.code, refusal.message)] * len(batch.rows)\n",
        (f"{_WALK}::test_exactly_the_bad_rows_become_dead_letters",),
    ),
    Mutation(
        "no jitter between attempts",
        _DELIVER,
        "self.random.uniform(0.0, min(self.patience.cap_s, self.patience.base_s * 2**attempt))",
        "min(self.patience.cap_s, self.patience.base_s * 2**attempt)",
        (f"{_MECHANISMS}::test_two_executors_do_not_try_again_at_the_same_moment",),
    ),
    Mutation(
        "retry in two layers",
        _DELIVER,
        "                return await self.destination.write(self.plan, batch)\n",
        "                try:\n"
        "                    return await self.destination.write(self.plan, batch)\n"
        "                except InDoubt:\n"
        "                    return await self.destination.write(self.plan, batch)\n",
        ("tests/pipeline/test_deliver.py", _INTERRUPTIONS),
    ),
    Mutation(
        "a throttle holds this run alone",
        _DELIVER,
        "        await self.pacer.block(wait_s)\n        self.breaker.heed(throttled, wait_s)\n",
        "        self.breaker.heed(throttled, wait_s)\n",
        (f"{_INTERRUPTIONS}::test_throttled_batch_waits_as_told_and_uses_up_no_attempt",),
    ),
    Mutation(
        "dead letters where credentials are refused",
        "libs/tailrace/connector_kit/answers.py",
        "_CREDENTIALS = frozenset({401, 403, 407})\n_ROW = frozenset({400,",
        "_CREDENTIALS = frozenset({403, 407})\n_ROW = frozenset({401, 400,",
        ("tests/destinations/test_http_answers.py",),
    ),
    Mutation(
        "batches cut by time",
        "libs/tailrace/pipeline/batch.py",
        "        return Room(self.recipe.plan.rows_per_batch, self.recipe.plan.bytes_per_batch)\n",
        "        rows = 1 + __import__('time').monotonic_ns() % self.recipe.plan.rows_per_batch\n"
        "        return Room(rows, self.recipe.plan.bytes_per_batch)\n",
        (f"{_MECHANISMS}::test_resumed_run_sends_what_was_under_way_in_the_same_batches",),
    ),
    Mutation(
        "no look at the lease before bytes leave",
        _DELIVER,
        "            with self.time.scope(), fenced(self.tenure.check):\n",
        "            with self.time.scope():\n",
        (f"{_INTERRUPTIONS}::test_batch_that_is_held_up_until_the_run_is_to_end_does_not_leave",),
    ),
    Mutation(
        "deadline counted from the answer of the store",
        "services/tailrace_executor/ledger.py",
        "self._tenure.renew(until=self._terms.until(stamp))",
        "self._tenure.renew(until=self._terms.until(self._clock.monotonic()))",
        ("tests/executor/test_ledger.py::test_deadline_is_counted_from_before_the_checkpoint_was_asked_for",),
    ),
    Mutation(
        "rows wait in the buffers that they were encoded into",
        "libs/tailrace/core/json_bytes.py",
        '    return b"".join((orjson.dumps(value), b""))\n',
        "    return orjson.dumps(value)\n",
        ("tests/pipeline/test_memory.py::test_window_of_rows_by_a_cursor_is_held_in_little_memory",),
    ),
    Mutation(
        "no window",
        "libs/tailrace/pipeline/window.py",
        "while self._rows_open and (self._rows_open + rows > self.rows or",
        "while self._rows_open and (",
        (f"{_INTERRUPTIONS}::test_no_more_rows_than_the_window_are_on_their_way",),
    ),
    Mutation(
        "no observation before a takeover",
        "services/tailrace_executor/watch.py",
        "_SILENT_HEARTBEATS = 1.5",
        "_SILENT_HEARTBEATS = 0.0",
        ("tests/executor/test_watch.py::test_owner_is_silent_after_one_and_a_half_heartbeats_without_a_change",),
    ),
    Mutation(
        "no end for a run that kills its executors",
        _CARRY_OUT,
        "    if claim.attempts_without_progress > CLAIMS_WITHOUT_PROGRESS:\n",
        "    if claim.attempts_without_progress > 10_000:\n",
        ("tests/executor/test_runs.py",),
    ),
    Mutation(
        "what went to another object counts as delivered",
        _CARRY_OUT,
        "            if await bench.snapshots.forget_other_target(claim.lease, claim.sync_id):\n",
        "            if False:\n",
        (SIMULATION,),
    ),
    Mutation(
        "what an interrupted run settled is not merged before the next",
        _CARRY_OUT,
        "            await bench.snapshots.merge(claim.lease, claim.sync_id)\n\n\nasync def _walk_all",
        "            pass\n\n\nasync def _walk_all",
        ("tests/executor/test_runs.py::test_cancelled_run_keeps_what_it_delivered_and_the_next_goes_on",),
    ),
    Mutation(
        "no delete guard",
        "libs/tailrace/pipeline/mirror.py",
        "    if census.gone <= allowed:\n        return\n",
        "    return\n",
        (
            "tests/pipeline/test_mirror.py::test_too_many_deletes_stop_the_run_before_the_first_and_all_else_is_delivered",
        ),
    ),
    Mutation(
        "no brake",
        "libs/tailrace/pipeline/brake.py",
        "        if not self._are_too_many and not self._are_too_many_in_a_row:\n",
        "        if self._sent >= 0:\n",
        (f"{_INTERRUPTIONS}::test_destination_that_refuses_nearly_everything_stops_the_run_early",),
    ),
    Mutation(
        "what others rejected counts as in a row with rows that were added since",
        "libs/tailrace/pipeline/brake.py",
        "        own = own or self.rejections\n",
        "        own = self.rejections\n",
        ("tests/pipeline/test_brake.py::test_what_others_sent_counts_as_of_when_it_was_asked_for",),
    ),
    Mutation(
        "a row with a key seen before is dropped without a word",
        "libs/tailrace/pipeline/map_fields.py",
        "            return self._duplicate(place, key, body)\n",
        "            return None\n",
        (f"{_WALK}::test_rows_without_key_and_further_rows_of_a_key_are_kept_with_their_reason",),
    ),
    Mutation(
        "a row that left the query keeps its letter",
        "libs/tailrace/pipeline/tally.py",
        "            self.cleared[dedupe_key(change.known.key)] = len(self.letters)\n",
        "            pass\n",
        ("tests/pipeline/test_mirror.py::test_row_that_was_never_delivered_needs_no_delete",),
    ),
    Mutation(
        "a dead row is sent again in each run",
        "libs/tailrace/pipeline/batch.py",
        "    found = await recipe.still_dead(suspects) if suspects else {}\n",
        "    found: Mapping[DedupeKey, bool] = {}\n",
        (f"{_WALK}::test_dead_row_stays_out_while_it_is_unchanged_and_its_letter_is_open",),
    ),
    Mutation(
        "who is sent away before the turn has come takes it all the same",
        "libs/tailrace/pipeline/tenure.py",
        "        while not seats.take() and not await self._got(seats):\n            self.check()\n",
        "        seats.take() or await self._got(seats)\n",
        ("tests/pipeline/test_tenure.py",),
    ),
    Mutation(
        "who was sent away stands in line though a seat is free by now",
        "libs/tailrace/pipeline/tenure.py",
        "        while not seats.take() and not await self._got(seats):\n",
        "        while not await self._got(seats):\n",
        ("tests/pipeline/test_tenure.py",),
    ),
    Mutation(
        "an outage of the store while a slot is given back undoes a delivery",
        "libs/tailrace/pipeline/pace.py",
        "                with suppress(StoreUnavailable):\n",
        "                if True:\n",
        (f"{_MECHANISMS}::test_store_that_fails_as_a_slot_is_given_back_undoes_no_delivery",),
    ),
    Mutation(
        "an end that is asked for as a wait expires is an error",
        "libs/tailrace/pipeline/tenure.py",
        "            if not asked.done():\n",
        "            if True:\n",
        ("tests/pipeline/test_tenure.py::test_end_that_is_asked_for_as_the_lease_runs_out_is_no_error",),
    ),
    Mutation(
        "nobody hears that a run is to end",
        "services/tailrace_executor/handlers.py",
        "                    tenure.stop(StopReason.CANCELLED)\n",
        "                    pass\n",
        ("tests/executor/test_runs.py",),
    ),
    Mutation(
        "an older version is sent behind a newer one",
        "libs/tailrace/pipeline/batch.py",
        " if recipe.by_cursor or not is_done}",
        " if not is_done}",
        (f"{_VERSIONS}test_refused_version_is_not_sent_behind_a_newer_one_that_was_taken",),
    ),
    Mutation(
        "a delivery closes the letter of a later version",
        "libs/tailrace/pipeline/tally.py",
        " if newest.get(name, -1) < at]",
        " if at >= 0]",
        (f"{_VERSIONS}test_refused_version_keeps_its_letter_though_an_older_one_was_taken_in_the_same_checkpoint",),
    ),
    Mutation(
        "a replay sends any version of a row",
        "libs/tailrace/pipeline/walk.py",
        "blocks = newest_of_each(blocks, cursor)\n",
        "pass\n",
        (f"{_VERSIONS}test_replay_sends_the_newest_version_and_no_older_one_follows",),
    ),
    Mutation(
        "a full run by a cursor keeps what it knows of the look-back",
        "libs/tailrace/pipeline/walk.py",
        "begin_anew(forget_rows=is_odd or sends_all)",
        "begin_anew(forget_rows=False)",
        ("tests/pipeline/test_cursor.py::test_newest_version_stays_when_a_full_run_breaks_off_behind_an_older_one",),
    ),
    Mutation(
        "a replay knows nothing of the keys that other rows were sent by",
        "libs/tailrace/pipeline/walk.py",
        "await mapper.heed(_not_read(route))\n",
        "pass\n",
        (
            "tests/pipeline/test_sent_keys.py::test_replay_rejects_a_row_whose_key_another_row_has",
            "tests/pipeline/test_sent_keys.py::test_run_that_goes_on_rejects_a_row_whose_key_one_that_was_settled_has",
        ),
    ),
    Mutation(
        "a replay deletes records that other rows have",
        "services/tailrace_executor/bench.py",
        "return self.snapshots.entries(self.sync_id)\n",
        "return self.entries(after=None)\n",
        (f"{_MAPPED_RUNS}test_replay_of_a_row_that_left_deletes_no_record_that_another_row_has",),
    ),
    Mutation(
        "hashes of rows that were mapped in another way are taken for those of today",
        "libs/tailrace/pipeline/hashing.py",
        "repr(basis).encode(",
        "repr(row_hash).encode(",
        ("tests/pipeline/test_sieve.py::test_rows_are_read_again_and_sent_where_they_are_mapped_in_another_way",),
    ),
    Mutation(
        "the hash of a row leaves a column out",
        "libs/tailrace/connector_kit/postgres_hashes.py",
        "for name in hashing.columns}",
        "for name in hashing.columns[:1]}",
        (f"{_HASHES}test_hash_tells_which_column_holds_what",),
    ),
    Mutation(
        "rows without a version are taken for unchanged",
        "libs/tailrace/connector_kit/mysql_sql.py",
        """or_else="NULL" if len(names) == 1 else "'-'")""",
        """or_else="'-'")""",
        (f"{_MYSQL}TestMySqlWarehouse::test_hash_of_one_column_without_a_value_is_none",),
    ),
    Mutation(
        "lines that MySQL cut off are believed",
        "libs/tailrace/connector_kit/mysql_hashes.py",
        "if any(len(text) != length for",
        "if any(len(text) > length for",
        ("tests/warehouses/test_mysql_hashes.py::test_lines_that_the_server_cuts_off_are_not_believed",),
    ),
    Mutation(
        "a row that was to be deleted counts as unchanged",
        "libs/tailrace/pipeline/sieve.py",
        "says_all = one.delivered is not None and one.dead is None and not one.is_gone\n",
        "says_all = one.delivered is not None\n",
        ("tests/pipeline/test_sieve.py::test_row_that_comes_back_before_it_could_be_deleted_is_read_and_sent",),
    ),
)
