"""What each service may do to each table, where it logs in as a role of its own.

`upgrade` gives the roles that exist exactly this. A role that is not named here keeps what it was given.
"""

from collections.abc import Iterator, Mapping

import asyncpg

ROLES = {name: f"tailrace_{name}" for name in ("gateway", "scheduler", "executor", "dlq")}
"""The role of each service."""

_WORDS = {"S": "SELECT", "I": "INSERT", "U": "UPDATE", "D": "DELETE"}
_EVERY = tuple(ROLES)
_SEQUENCES = ("outbox_id_seq", "run_moments_id_seq")

# Each service sends its own events, hence the outbox. A moment of a run is noted by a trigger on its shards.
GRANTS: Mapping[str, Mapping[str, str]] = {
    "audit_heads": {"gateway": "SIU"},
    "audit_records": {"gateway": "SI"},
    "audit_waiting": {"gateway": "SID"},
    "connection_keys": dict.fromkeys(_EVERY, "S"),
    "connections": {"gateway": "SIU", "executor": "S"},
    "dead_letters": {"gateway": "SU", "scheduler": "SU", "executor": "SIU", "dlq": "SUD"},
    "destination_slots": {"gateway": "SIU", "executor": "SIU"},
    "idempotency_keys": {"gateway": "SIUD"},
    "inbox": {"scheduler": "SID"},
    "models": {"gateway": "SIU"},
    "outbox": dict.fromkeys(_EVERY, "SID"),
    "outbox_shards": dict.fromkeys(_EVERY, "SU"),
    "previews": {"gateway": "SID"},
    "rate_limits": {"gateway": "SIU", "executor": "SIU"},
    "run_moments": {"gateway": "SI", "scheduler": "SI", "executor": "SI"},
    "run_shards": {"gateway": "SIU", "scheduler": "SIU", "executor": "SIU"},
    "runs": {"gateway": "SIU", "scheduler": "SIU", "executor": "SU"},
    "schedule_ticks": {"scheduler": "SIUD"},
    "schema_migrations": dict.fromkeys(_EVERY, "S"),
    "snapshot_pages": {"gateway": "S", "executor": "SIUD"},
    "snapshot_targets": {"gateway": "S", "executor": "SIU"},
    "sync_links": {"gateway": "SIU"},
    "sync_versions": {"gateway": "SI", "executor": "S"},
    "syncs": {"gateway": "SIU", "scheduler": "SU", "executor": "S"},
    "tokens": {"gateway": "SIU"},
    "workspaces": {"gateway": "SIU"},
}
"""By table: the services that may do anything, and what, by first letters."""


COLUMNS: Mapping[str, Mapping[str, str]] = {"connections": {"executor": "secrets"}}
"""By table: the one column that a service may change; an executor keeps the refresh tokens that vendors rotate."""


def privileges_of(service: str) -> dict[str, set[str]]:
    """By table, what a service may do to it."""
    return {table: {_WORDS[letter] for letter in to.get(service, "")} for table, to in GRANTS.items()}


async def grant(connection: asyncpg.Connection) -> None:
    """Give each service's role, if there is one, what it needs and no more."""
    rows = await connection.fetch("SELECT rolname FROM pg_roles WHERE rolname = ANY ($1)", list(ROLES.values()))
    there = {row["rolname"] for row in rows}
    async with connection.transaction():
        for service in [service for service, role in ROLES.items() if role in there]:
            await connection.execute(";\n".join(_statements(service)))


def _statements(service: str) -> Iterator[str]:
    role = ROLES[service]
    yield f"GRANT USAGE ON {', '.join(_SEQUENCES)} TO {role}"
    for table, words in privileges_of(service).items():
        yield f"REVOKE ALL ON {table} FROM {role}"
        if words:
            yield f"GRANT {', '.join(sorted(words))} ON {table} TO {role}"
        if column := COLUMNS.get(table, {}).get(service):
            yield f"GRANT UPDATE ({column}) ON {table} TO {role}"
