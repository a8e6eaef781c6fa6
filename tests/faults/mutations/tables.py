"""Snapshots in a table of the warehouse without one of their mechanisms."""

from tests.faults.mutations.mutation import Mutation

_TABLE = "libs/tailrace/connector_kit/postgres_snapshots.py"
_TABLED = "libs/tailrace/store/tabled_snapshots.py"
_CONTRACT = "tests/warehouses/test_postgres_snapshots.py::TestPostgresSnapshots::"
_MOVES = "tests/executor/test_snapshot_moves.py::"
_RUNS = "tests/executor/test_tabled_snapshots.py::"

MUTATIONS = (
    Mutation(
        "an earlier fence writes to the table",
        _TABLE,
        "WHERE sync_id = $1 AND fence = $2 FOR UPDATE",
        "WHERE sync_id = $1 AND $2::bigint > 0 FOR UPDATE",
        (f"{_CONTRACT}test_earlier_fence_writes_nothing_once_a_later_one_has_the_table",),
    ),
    Mutation(
        "rows of the table are not counted",
        _TABLE,
        '        if state["counted"] != state["entries"]:\n',
        "        if False:\n",
        (f"{_CONTRACT}test_table_that_lacks_a_row_is_seen_by_a_check",),
    ),
    Mutation(
        "a run takes the table as it is",
        "services/tailrace_executor/carry_out.py",
        "        await bench.snapshots.check(claim.sync_id)\n",
        "        pass\n",
        (f"{_RUNS}test_table_that_somebody_spoilt_fails_the_run_and_sends_nothing",),
    ),
    Mutation(
        "the table may be of an earlier time",
        _TABLED,
        "        if before is not None and state.writes < before.writes:\n",
        "        if False:\n",
        (f"{_RUNS}test_table_from_an_earlier_backup_fails_the_run",),
    ),
    Mutation(
        "the table may be ahead of our store",
        _TABLED,
        "        if after is not None and state.fence > after.fence:\n",
        "        if False:\n",
        (f"{_RUNS}test_state_store_that_was_set_back_sends_nothing_by_a_later_table",),
    ),
    Mutation(
        "who was overtaken forgets what was settled",
        _TABLED,
        "                await hold(connection, lease)\n                await connection.execute(_FORGET_SETTLED",
        "                await connection.execute(_FORGET_SETTLED",
        (f"{_RUNS}test_executor_that_is_overtaken_while_it_writes_forgets_nothing",),
    ),
    Mutation(
        "what was settled is forgotten and not written",
        _TABLED,
        "await self._table.write(fence, list(entries.values()))",
        "await self._table.write(fence, list(entries.values())[:1])",
        (f"{_RUNS}test_mirror_finds_its_deletes_by_the_table",),
    ),
    Mutation(
        "a move counts though a run came meanwhile",
        "libs/tailrace/store/snapshot_moves.py",
        "        await lock(connection, sync, since=copied.begun.began_at)\n",
        "",
        (f"{_MOVES}test_move_is_refused_while_a_run_is_active_and_where_one_came_meanwhile",),
    ),
)
