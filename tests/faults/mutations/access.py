"""Workspaces and the record of changes without one of their mechanisms."""

from tests.faults.mutations.mutation import Mutation

_ROW_SECURITY = "libs/tailrace/store/migrations/0007_row_security.contract.sql"
_CHAIN = "libs/tailrace/store/audit_chain.py"
_ISOLATION = "tests/store/test_isolation.py::"
_AUDIT = "tests/store/test_audit.py::"

MUTATIONS = (
    Mutation(
        "runs of all workspaces are in sight",
        _ROW_SECURITY,
        "CREATE POLICY in_sight ON runs\n  USING ((SELECT current_setting('app.workspace_id', true)) IN",
        "CREATE POLICY in_sight ON runs\n  USING (true OR (SELECT current_setting('app.workspace_id', true)) IN",
        (f"{_ISOLATION}test_query_without_a_filter_shows_nothing_of_others",),
    ),
    Mutation(
        "row security does not bind the owner of the tables",
        _ROW_SECURITY,
        "ALTER TABLE tokens ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;",
        "ALTER TABLE tokens ENABLE ROW LEVEL SECURITY;",
        (f"{_ISOLATION}test_every_table_has_a_policy_or_a_reason",),
    ),
    Mutation(
        "the sight of a transaction outlasts it",
        "libs/tailrace/store/isolation.py",
        "set_config('app.workspace_id', $1, true)",
        "set_config('app.workspace_id', $1, false)",
        (f"{_ISOLATION}test_setting_ends_with_its_transaction",),
    ),
    Mutation(
        "a changed record is not noticed",
        _CHAIN,
        "if _digest(digest, tuple(row.values())[:-1]) != row",
        'if row["digest"] != row',
        (f"{_AUDIT}test_forgery_is_found",),
    ),
    Mutation(
        "a record that is gone is not noticed",
        _CHAIN,
        '                    if row["number"] != number + 1:\n',
        '                    if row["number"] < number:\n',
        (f"{_AUDIT}test_forgery_is_found",),
    ),
    Mutation(
        "the end of the chain without a seal",
        _CHAIN,
        ' == (head["number"], head["digest"]) and self._is_sealed(head)\n',
        ' == (head["number"], head["digest"])\n',
        (f"{_AUDIT}test_forgery_is_found",),
    ),
    Mutation(
        "records can be changed",
        "libs/tailrace/store/migrations/0009_audit.expand.sql",
        "BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_records\n",
        "BEFORE TRUNCATE ON audit_records\n",
        (f"{_AUDIT}test_records_cannot_be_changed",),
    ),
)
