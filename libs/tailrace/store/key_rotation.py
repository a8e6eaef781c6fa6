"""Rotation of the secret key: everything that is kept is sealed anew with the first key of the ring.

Answers by Idempotency-Key and previews are not touched: they are gone in a day. Tokens are digests and cannot be made
anew without their text: each moves over when it is used.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from tailrace.core.errors import Invalid
from tailrace.core.settlements import payload_binding
from tailrace.store.audit_chain import AuditChain
from tailrace.store.connections import secrets_binding
from tailrace.store.database import Database, Record
from tailrace.store.secrets import SecretBox

_AT_ONCE = 200

_SECRETS = """
SELECT id, workspace_id, secrets AS sealed FROM connections
WHERE id > $1 AND secrets <> '' AND substring(secrets FROM 2 FOR 4) <> $2
ORDER BY id LIMIT $3 FOR UPDATE
"""
_SET_SECRETS = "UPDATE connections SET secrets = $2 WHERE id = $1"
_PAYLOADS = """
SELECT id, sync_id, dedupe_key, payload AS sealed FROM dead_letters
WHERE id > $1 AND payload IS NOT NULL AND substring(payload FROM 2 FOR 4) <> $2
ORDER BY id LIMIT $3 FOR UPDATE
"""
_SET_PAYLOAD = "UPDATE dead_letters SET payload = $2 WHERE id = $1"
_LEFT_TOKENS = """
SELECT count(*) FROM tokens
WHERE key_id IS DISTINCT FROM $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())
"""
_KEYS_IN_USE = "SELECT key_id FROM connection_keys"
_KEYS_OF_TOKENS = """
SELECT DISTINCT key_id FROM tokens
WHERE key_id IS NOT NULL AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())
"""
_OTHER_KEY = (
    "TAILRACE_SECRET_KEY is not the key that the {} in this database are sealed with: "
    "set the right one, or while rotating put the former one behind it, after a comma"
)


@dataclass(frozen=True, slots=True)
class Rotated:
    """What was sealed anew. `unreadable` names what no key of the ring opens; it stays as it is.

    `tokens_left` were not used since the key was changed, and would open nothing without the former key.
    """

    connections: int
    dead_letters: int
    audit_chains: int
    unreadable: tuple[str, ...]
    tokens_left: int


@dataclass(frozen=True, slots=True)
class _Sealed:
    """Where sealed things are, how one is written back, and what it is bound to."""

    find: str
    write: str
    binding: Callable[[Record], str]


_CONNECTIONS = _Sealed(_SECRETS, _SET_SECRETS, lambda row: secrets_binding(row["workspace_id"], row["id"]))
_LETTERS = _Sealed(_PAYLOADS, _SET_PAYLOAD, lambda row: payload_binding(row["sync_id"], row["dedupe_key"]))


async def check_keys(database: Database, box: SecretBox) -> None:
    """Return if the ring has every key that secrets are sealed with.

    :raises Invalid: it lacks one: with this ring no run could open its connections.
    """
    rows = await database.fetch(_KEYS_IN_USE)
    if not all(box.has_key(row["key_id"]) for row in rows):
        raise Invalid(_OTHER_KEY.format("secrets"), code="SECRET_KEY_UNKNOWN")


async def check_keys_of_tokens(database: Database, box: SecretBox) -> None:
    """Return if the ring has a key that some token is good with, or there is no token yet.

    :raises Invalid: it has none: nobody could be let in.
    """
    rows = await database.fetch(_KEYS_OF_TOKENS)
    if rows and not any(box.has_key(row["key_id"]) for row in rows):
        raise Invalid(_OTHER_KEY.format("tokens"), code="SECRET_KEY_UNKNOWN")


class KeyRotation:
    """Goes on where a rotation before it was killed; services may run meanwhile, with the same ring."""

    def __init__(self, database: Database, box: SecretBox) -> None:
        self._database = database
        self._box = box

    async def rotate(self) -> Rotated:
        """Seal everything with the first key, some at a time, each in its own transaction."""
        unreadable: list[str] = []
        connections = await self._all(_CONNECTIONS, unreadable)
        letters = await self._all(_LETTERS, unreadable)
        chains = await AuditChain(self._database, self._box).reseal()
        tokens_left = await self._database.fetchval(_LEFT_TOKENS, self._box.sealing_id)
        return Rotated(connections, letters, chains, tuple(unreadable), tokens_left)

    async def _all(self, these: _Sealed, unreadable: list[str]) -> int:
        done = 0
        async for anew, spoilt in self._batches(these):
            done += anew
            unreadable += spoilt
        return done

    async def _batches(self, these: _Sealed) -> AsyncIterator[tuple[int, list[str]]]:
        last_id, is_more = "", True
        while is_more:
            async with self._database.transaction() as connection:
                rows = await connection.fetch(these.find, last_id, self._box.sealing_id, _AT_ONCE)
                opened = {row["id"]: self._anew(row["sealed"], these.binding(row)) for row in rows}
                anew = [(row_id, sealed) for row_id, sealed in opened.items() if sealed is not None]
                await connection.executemany(these.write, anew)
            is_more = len(rows) == _AT_ONCE
            last_id = rows[-1]["id"] if rows else last_id
            yield len(anew), [row_id for row_id, sealed in opened.items() if sealed is None]

    def _anew(self, sealed: bytes, binding: str) -> bytes | None:
        try:
            return self._box.seal(self._box.open(sealed, bound_to=binding), bound_to=binding)
        except Invalid:
            return None
