"""Outages, takeovers and cursors without one of their mechanisms."""

from tests.faults.mutations.mutation import Mutation

_BREAKER = "libs/tailrace/pipeline/breaker.py"
_SHARDS = "libs/tailrace/store/shards.py"
_TALLY = "libs/tailrace/pipeline/tally.py"
_BREAKERS = "tests/pipeline/test_breaker.py::"
_OUTAGES = "tests/executor/test_outages.py::"
_CURSORS = "tests/pipeline/test_cursor.py::"

MUTATIONS = (
    Mutation(
        "failures do not open the breaker",
        _BREAKER,
        "failures > self._terms.ratio * len(self._seen):\n",
        "failures > 2 * len(self._seen):\n",
        (f"{_BREAKERS}test_nearly_nothing_but_failures_open_it",),
    ),
    Mutation(
        "repeats without a budget",
        _BREAKER,
        "            self._credit -= self._terms.answers_per_repeat\n",
        "            pass\n",
        (f"{_BREAKERS}test_repeats_are_at_most_ten_and_a_tenth_of_the_requests",),
    ),
    Mutation(
        "an open breaker lets everything through",
        _BREAKER,
        "        return self._opened_at is None or (not self._is_probing and not self.silence_s)\n",
        "        return True\n",
        (f"{_BREAKERS}test_open_it_lets_one_probe_through_when_its_time_comes",),
    ),
    Mutation(
        "a run that waits is claimed at once",
        _SHARDS,
        "shards.not_before IS NULL OR shards.not_before <= clock_timestamp()\n",
        "shards.not_before IS NULL OR shards.not_before <= 'infinity'\n",
        ("tests/simulation/test_store_contract.py::TestPostgresStore::test_paused_run_waits_and_counts_its_pauses",),
    ),
    Mutation(
        "a wait that the clock left far ahead is waited for",
        _SHARDS,
        "      OR shards.not_before > clock_timestamp() + $9::interval))\n",
        "      OR shards.not_before > clock_timestamp() + 1000 * $9::interval))\n",
        (f"{_OUTAGES}test_wait_of_a_clock_that_jumped_back_is_no_wait",),
    ),
    Mutation(
        "pauses do not grow",
        "services/tailrace_executor/pauses.py",
        "self.first_s * 2 ** min(pauses, 32)",
        "self.first_s",
        (f"{_OUTAGES}test_pauses_grow_until_a_row_gets_through",),
    ),
    Mutation(
        "a run waits for its destination for ever",
        "services/tailrace_executor/pauses.py",
        "        if left_s <= 0:\n            return None\n",
        "        left_s = max(left_s, self.first_s)\n",
        (f"{_OUTAGES}test_run_fails_when_it_has_waited_for_long_enough",),
    ),
    Mutation(
        "the client does not look before bytes leave",
        "libs/tailrace/runtime/http.py",
        "        pass_fence()\n",
        "        pass\n",
        ("tests/runtime/test_http.py::test_request_that_may_not_leave_any_more_does_not",),
    ),
    Mutation(
        "the watermark passes rows that were read and not settled",
        "libs/tailrace/pipeline/batch.py",
        "            cut.add(change, dead)\n",
        "            cut.add(change, dead)\n"
        "            cut.decided.reached = _place(some[-1])[0] if recipe.by_cursor else None\n",
        (f"{_CURSORS}test_watermark_does_not_pass_a_row_that_was_not_settled",),
    ),
    Mutation(
        "a value of the future hides the rows to come",
        _TALLY,
        "min(self.reached, self.terms.latest)",
        "self.reached",
        ("tests/executor/test_modes.py::test_value_of_the_future_hides_no_rows_to_come",),
    ),
    Mutation(
        "no look-back",
        "libs/tailrace/core/watermarks.py",
        "    if kind is not ColumnKind.TIMESTAMP:\n        number = _number(text)\n",
        "    by = 0.0\n    if kind is not ColumnKind.TIMESTAMP:\n        number = _number(text)\n",
        (f"{_CURSORS}test_row_that_was_committed_late_is_found_within_the_look_back",),
    ),
    Mutation(
        "the watermark falls",
        "libs/tailrace/store/snapshots.py",
        "SET watermark = greatest(watermark, $2)",
        "SET watermark = $2",
        ("tests/store/test_watermarks.py::test_watermark_never_falls_by_what_is_settled",),
    ),
)
