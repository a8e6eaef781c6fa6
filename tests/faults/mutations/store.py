"""The store without one of its mechanisms."""

from tests.faults.mutations.mutation import Mutation

_SHARDS = "libs/tailrace/store/shards.py"
_CHECKPOINTS = "libs/tailrace/store/checkpoints.py"
_LIMITS = "libs/tailrace/store/limits.py"
_OUTBOX = "libs/tailrace/store/outbox.py"
_SCHEMA = "libs/tailrace/store/migrations/0001_core.expand.sql"
_CONTRACT = "tests/simulation/test_store_contract.py::TestPostgresStore::"
_MECHANISMS = "tests/store/test_mechanisms.py::"
_ANY_HISTORY = "tests/store/test_page_layers.py::test_any_history_of_runs_comes_to_the_same_as_a_dict"

MUTATIONS = (
    Mutation(
        "no unique index over active runs",
        _SCHEMA,
        "CREATE UNIQUE INDEX runs_one_active ON runs (sync_id) WHERE",
        "CREATE UNIQUE INDEX runs_one_active ON runs (sync_id, id) WHERE",
        ("tests/store/test_shards.py::test_only_one_of_many_starts_gets_a_run",),
    ),
    Mutation(
        "no token check in a heartbeat",
        _SHARDS,
        "SET heartbeat_seq = heartbeat_seq + 1, lease_expires_at = clock_timestamp() + $4::interval\n"
        "WHERE run_id = $1 AND shard = $2 AND lease_token = $3 AND state = 'running'\n",
        "SET heartbeat_seq = heartbeat_seq + 1, lease_expires_at = clock_timestamp() + $4::interval\n"
        "WHERE run_id = $1 AND shard = $2 AND $3::uuid IS NOT NULL AND state = 'running'\n",
        (f"{_CONTRACT}test_overtaken_owner_can_do_nothing",),
    ),
    Mutation(
        "no token check in a checkpoint",
        _CHECKPOINTS,
        "AND lease_token = $3 AND state = 'running' AND checkpoint_seq = $4\n",
        "AND $3::uuid IS NOT NULL AND state = 'running' AND checkpoint_seq = $4\n",
        (f"{_CONTRACT}test_overtaken_owner_can_do_nothing",),
    ),
    Mutation(
        "no token check at the end of a run",
        _SHARDS,
        '"SELECT 1 FROM run_shards WHERE run_id = $1 AND shard = $2 AND lease_token = $3 AND state',
        '"SELECT 1 FROM run_shards WHERE run_id = $1 AND shard = $2 AND $3::uuid IS NOT NULL AND state',
        (f"{_CONTRACT}test_overtaken_owner_can_do_nothing",),
    ),
    Mutation(
        "no compare-and-set of the checkpoint's number",
        _CHECKPOINTS,
        "AND state = 'running' AND checkpoint_seq = $4\n",
        "AND state = 'running' AND $4::bigint IS NOT NULL\n",
        (f"{_CONTRACT}test_checkpoint_written_again_counts_once[plain]",),
    ),
    Mutation(
        "letters of a checkpoint that stands are written again",
        _CHECKPOINTS,
        "            if is_odd and await _is_written(connection, place):\n                return None\n",
        "",
        ("tests/store/test_checkpoints.py::test_a_checkpoint_whose_answer_got_lost_is_written_once",),
    ),
    Mutation(
        "dead letters outside of the checkpoint's transaction",
        _CHECKPOINTS,
        "            letters = await _settle_odd(connection, place, prepared) if is_odd else {}\n",
        "            async with self._database.transaction() as apart:\n"
        "                letters = await _settle_odd(apart, place, prepared) if is_odd else {}\n",
        (f"{_MECHANISMS}test_checkpoint_that_breaks_off_leaves_nothing",),
    ),
    Mutation(
        "lease from the beginning of the transaction",
        _CHECKPOINTS,
        "    lease_expires_at = clock_timestamp() + $7::interval,\n",
        "    lease_expires_at = now() + $7::interval,\n",
        (f"{_MECHANISMS}test_lease_lasts_from_when_it_was_written_however_long_that_took",),
    ),
    Mutation(
        "no grace before a takeover",
        _SHARDS,
        "shards.lease_expires_at < clock_timestamp() - $3::interval",
        "shards.lease_expires_at < clock_timestamp() - 0 * $3::interval",
        (f"{_CONTRACT}test_lease_that_ended_a_moment_ago_is_left_alone_for_the_grace",),
    ),
    Mutation(
        "a takeover from an owner nobody has watched",
        _SHARDS,
        "          = (shards.run_id, shards.shard, shards.lease_token, shards.heartbeat_seq)\n",
        "          = (shards.run_id, shards.shard, shards.lease_token, seen.heartbeat_seq)\n",
        (f"{_CONTRACT}test_heartbeat_is_seen",),
    ),
    Mutation(
        "a lease that seems endless is left to the dead",
        _SHARDS,
        "          OR (seen.for_long AND shards.lease_expires_at",
        "          OR (false AND seen.for_long AND shards.lease_expires_at",
        (f"{_CONTRACT}test_lease_that_ends_later_than_any_can_is_taken_from_an_owner_long_silent",),
    ),
    Mutation(
        "an end can become another",
        _SCHEMA,
        "  WHEN (OLD.status IN ('succeeded', 'failed', 'cancelled') AND NEW.status IS DISTINCT FROM OLD.status)\n",
        "  WHEN (false)\n",
        (f"{_MECHANISMS}test_run_that_has_ended_cannot_become_anything_else",),
    ),
    Mutation(
        "payloads of dead letters as jsonb",
        _SCHEMA,
        "  payload bytea,\n",
        "  payload jsonb,\n",
        ("tests/store/test_dead_letters.py",),
    ),
    Mutation(
        "payloads of dead letters in clear",
        "libs/tailrace/store/new_letters.py",
        "        return sealed\n",
        "        return [letter.payload for letter in letters]\n",
        ("tests/store/test_checkpoints.py",),
    ),
    Mutation(
        "payloads that are sealed together have one nonce",
        "libs/tailrace/store/secrets.py",
        "[drawn[at : at + _NONCE_SIZE_BYTES] for at in",
        "[drawn[:_NONCE_SIZE_BYTES] for _ in",
        ("tests/store/test_secrets.py::test_many_sealed_at_once_are_sealed_as_one_by_one",),
    ),
    Mutation(
        "the relay deletes up to the last event that it sent",
        _OUTBOX,
        " AND id = ANY ($3))\n",
        ")\n",
        (f"{_MECHANISMS}test_event_committed_late_is_not_deleted_with_those_that_were_sent",),
    ),
    Mutation(
        "a shard of the outbox that seems taken for ever",
        _OUTBOX,
        "    OR free.lease_expires_at > clock_timestamp() + make_interval(secs => $2)\n",
        "",
        ("tests/store/test_outbox.py::test_shard_of_a_relay_that_died_before_the_clock_jumped_back_comes_free",),
    ),
    Mutation(
        "tokens cost nothing",
        _LIMITS,
        "THEN known.blocked_until END) + $2::interval\n",
        "THEN known.blocked_until END) + 0 * $2::interval\n",
        ("tests/store/test_limits.py::test_many_callers_together_keep_the_rate_in_every_window",),
    ),
    Mutation(
        "tokens of requests that failed are refunded",
        "libs/tailrace/pipeline/pace.py",
        "    async def __aexit__(self, *_: object) -> None:\n        await self._pacer.end()\n",
        "    async def __aexit__(self, kind: object, *_: object) -> None:\n"
        "        self._pacer._tokens._left += kind is not None\n        await self._pacer.end()\n",
        ("tests/pipeline/test_pace.py::test_request_that_failed_has_used_its_token_up",),
    ),
    Mutation(
        "the budget is not clamped after a jump of the clock",
        _LIMITS,
        "  least(known.tat, clock_timestamp() + $4::interval),\n",
        "  coalesce(known.tat, clock_timestamp() + $4::interval),\n",
        ("tests/store/test_limits.py::test_clock_that_jumps_back_starves_no_scope",),
    ),
    Mutation(
        "slots beyond the most",
        _LIMITS,
        "  WHERE scope = $1 AND slot < $4\n",
        "  WHERE scope = $1 AND slot < $4 + 1\n",
        ("tests/store/test_limits.py::test_lowered_most_is_kept_at_the_next_renewal",),
    ),
    Mutation(
        "no workspace filter for a run",
        "libs/tailrace/store/runs.py",
        "FROM runs {_BOOKS} WHERE workspace_id = $1 AND id = $2",
        "FROM runs {_BOOKS} WHERE $1::text IS NOT NULL AND id = $2",
        (f"{_MECHANISMS}test_run_of_another_workspace_is_not_found",),
    ),
    Mutation(
        "waiting for a connection without an end",
        "libs/tailrace/store/database.py",
        "self._pool.acquire(timeout=self._waits.acquire_s)",
        "self._pool.acquire()",
        ("tests/architecture/test_house.py::test_every_module_keeps_the_rule[waiting for a connection has a timeout]",),
    ),
    Mutation(
        "a cancel is lost where the connection breaks at the same moment",
        "libs/tailrace/store/database.py",
        "            if _cancels() > cancels:\n",
        "            if False:\n",
        ("tests/store/test_database.py::test_cancel_that_comes_as_the_connection_breaks_is_no_outage",),
    ),
    Mutation(
        "tombstones do not forget",
        "libs/tailrace/core/entry_columns.py",
        "            moves += [(at, at + 1, nth, nth)] if is_known else ()\n",
        "            pass\n",
        (f"{_CONTRACT}test_later_settlement_replaces_and_forgets",),
    ),
    Mutation(
        "the older layer of a snapshot wins",
        "libs/tailrace/core/entry_columns.py",
        "            hits.append((at, nth))\n",
        "            pass\n",
        (f"{_CONTRACT}test_later_settlement_replaces_and_forgets",),
    ),
    Mutation(
        "what lies above a page forgets which entries it removes",
        "libs/tailrace/core/entry_columns.py",
        "_places(self.keys, above, forgets=False)",
        "_places(self.keys, above, forgets=True)",
        ("tests/core/test_snapshots.py::test_layers_that_are_stacked_lie_above_a_third_as_one", _ANY_HISTORY),
    ),
    Mutation(
        "a page does not say that it is to be read with what lies above it",
        "libs/tailrace/store/page_layers.py",
        "algorithm = -abs(algorithm)",
        "algorithm = abs(algorithm)",
        ("tests/store/test_page_layers.py::test_few_changes_leave_bodies_as_they_are_and_many_do_not",),
    ),
    Mutation(
        "what was known of changed keys is counted twice",
        "libs/tailrace/store/page_layers.py",
        "            layer.before[at] = one\n",
        "            pass\n",
        (_ANY_HISTORY,),
    ),
    Mutation(
        "letters of a replay stay in its hands when it ends",
        _SHARDS,
        "            await end_replay(connection, lease.run_id)\n",
        "",
        (f"{_CONTRACT}test_replay_has_its_keys_until_it_ends",),
    ),
    Mutation(
        "who was overtaken closes letters",
        "libs/tailrace/store/dead_letters.py",
        "shard = $5 AND lease_token = $6\n",
        "shard = $5 AND $6::uuid IS NOT NULL\n",
        (f"{_CONTRACT}test_letters_that_a_run_has_not_come_across_are_closed_by_its_owner_alone",),
    ),
    Mutation(
        "a page that is laid over twice loses its keys",
        "libs/tailrace/core/entry_columns.py",
        "array=orjson.dumps(texts) if moves else self.array)",
        "array=orjson.dumps(texts) if moves else None)",
        (
            "tests/core/test_snapshots.py::test_page_that_something_lies_above_is_overlaid_again",
            "tests/store/test_page_layers.py::test_any_history_of_runs_comes_to_the_same_as_a_dict",
        ),
    ),
)
