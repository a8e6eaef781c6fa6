"""API tokens: shown once, kept as keyed digests.

A token reads `trc_<id, 8>_<secret, 43><checksum, 6>`, all base62. The secret is 256 random bits, so one HMAC
is enough; prefix and checksum let scanners find leaked tokens, and refuse mistyped ones without a look-up.
"""

import hashlib
import hmac
import secrets
import string
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tailrace.core.errors import NotFound
from tailrace.core.ids import TokenId, WorkspaceId
from tailrace.store.database import Database, Record
from tailrace.store.secrets import SecretBox

_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_PREFIX = "trc_"
_ID_DIGITS = 8
_SECRET_DIGITS = 43
_CHECKSUM_DIGITS = 6
_LENGTH = len(_PREFIX) + _ID_DIGITS + 1 + _SECRET_DIGITS + _CHECKSUM_DIGITS
_SECRET_BITS = 256
_USE_NOTED_EVERY_S = 60.0

_CREATE = """
INSERT INTO tokens (id, workspace_id, name, role, secret_hmac, expires_at, key_id)
SELECT $1, id, $3, $4, $5, $6, $7 FROM workspaces WHERE id = $2
RETURNING id, workspace_id, name, role, created_at, expires_at, revoked_at, last_used_at
"""
_VERIFY = """
SELECT id, workspace_id, role, secret_hmac, key_id IS DISTINCT FROM $3 OR last_used_at IS NULL
  OR last_used_at < clock_timestamp() - make_interval(secs => $2) AS is_use_news FROM tokens
WHERE id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())
"""
_OPENS = """
SELECT true FROM tokens
WHERE id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())
"""
_LIST = """
SELECT id, workspace_id, name, role, created_at, expires_at, revoked_at, last_used_at FROM tokens
WHERE workspace_id = $1 ORDER BY created_at, id LIMIT $2
"""
_NOTE_USE = "UPDATE tokens SET last_used_at = clock_timestamp(), secret_hmac = $2, key_id = $3 WHERE id = $1"
_REVOKE = """
UPDATE tokens SET revoked_at = coalesce(old.revoked_at, clock_timestamp())
FROM (SELECT id, revoked_at FROM tokens WHERE workspace_id = $1 AND id = $2 FOR UPDATE) AS old
WHERE tokens.id = old.id RETURNING old.revoked_at IS NULL
"""


class Role(StrEnum):
    """What a token may do. Each role may do all that the ones before it may."""

    VIEWER = "viewer"
    EDITOR = "editor"
    ADMIN = "admin"

    def covers(self, needed: "Role") -> bool:
        """Whether this role may do what `needed` may."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls: a token that was checked."""

    token_id: TokenId
    workspace_id: WorkspaceId
    role: Role

    @property
    def name(self) -> str:
        """How runs and changes remember who asked for them."""
        return f"token:{self.token_id}"


@dataclass(frozen=True, slots=True)
class NewToken:
    """What a token is made from; it never expires where `expires_at` is None."""

    workspace_id: WorkspaceId
    name: str
    role: Role
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it may be shown."""

    id: TokenId
    workspace_id: WorkspaceId
    name: str
    role: Role
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class Tokens:
    """The tokens of all workspaces."""

    def __init__(self, database: Database, box: SecretBox) -> None:
        self._database = database
        self._peppers = box.derive("token pepper")
        self._key_id = box.sealing_id

    async def create(self, new: NewToken) -> tuple[Token, str]:
        """A new token, and the only sight of its text.

        :raises NotFound: there is no such workspace.
        """
        token_id, text = _draw()
        digest = _digest(self._peppers[0], text)
        row = await self._database.fetchrow(
            _CREATE, token_id, new.workspace_id, new.name, new.role, digest, new.expires_at, self._key_id
        )
        if row is None:
            raise NotFound("no such workspace", code="WORKSPACE_NOT_FOUND")
        return _token(row), text

    async def verify(self, text: str) -> Identity | None:
        """Who the token stands for; None if it is malformed, unknown, expired or revoked.

        A malformed token costs no look-up, and an unknown id as much time as a wrong secret. The use of a token is
        noted once a minute at most, and moves it to the first key of the ring.
        """
        if not _is_well_formed(text):
            return None
        token_id = text[len(_PREFIX) : len(_PREFIX) + _ID_DIGITS]
        row = await self._database.fetchrow(_VERIFY, token_id, _USE_NOTED_EVERY_S, self._key_id)
        stored = row["secret_hmac"] if row else bytes(hashlib.sha256().digest_size)
        matches = [hmac.compare_digest(stored, _digest(pepper, text)) for pepper in self._peppers]
        if row is None or not any(matches):
            return None
        if row["is_use_news"]:
            await self._database.execute(_NOTE_USE, token_id, _digest(self._peppers[0], text), self._key_id)
        return Identity(TokenId(row["id"]), WorkspaceId(row["workspace_id"]), Role(row["role"]))

    async def opens(self, token_id: TokenId) -> bool:
        """Whether a token that was verified once still opens something."""
        return bool(await self._database.fetchval(_OPENS, token_id))

    async def list(self, workspace_id: WorkspaceId, *, limit: int = 1000) -> Sequence[Token]:
        """The tokens of a workspace, revoked ones too, oldest first."""
        return [_token(row) for row in await self._database.fetch(_LIST, workspace_id, limit)]

    async def revoke(self, workspace_id: WorkspaceId, token_id: TokenId) -> bool:
        """The token opens nothing from now on; False where it was revoked before.

        :raises NotFound: the workspace has no such token.
        """
        is_news: bool | None = await self._database.fetchval(_REVOKE, workspace_id, token_id)
        if is_news is None:
            raise NotFound("no such token", code="TOKEN_NOT_FOUND")
        return is_news


def _draw() -> tuple[TokenId, str]:
    token_id = "".join(secrets.choice(_BASE62) for _ in range(_ID_DIGITS))
    unchecked = f"{_PREFIX}{token_id}_{_base62(secrets.randbits(_SECRET_BITS), _SECRET_DIGITS)}"
    return TokenId(token_id), unchecked + _checksum(unchecked)


def _is_well_formed(text: str) -> bool:
    if len(text) != _LENGTH or not text.isascii() or not text.startswith(_PREFIX):
        return False
    return hmac.compare_digest(text[-_CHECKSUM_DIGITS:], _checksum(text[:-_CHECKSUM_DIGITS]))


def _digest(pepper: bytes, text: str) -> bytes:
    return hmac.digest(pepper, text.encode(), "sha256")


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode()), _CHECKSUM_DIGITS)


def _base62(number: int, digits: int) -> str:
    return "".join(_BASE62[number // 62**place % 62] for place in reversed(range(digits)))


def _token(row: Record) -> Token:
    return Token(
        TokenId(row["id"]),
        WorkspaceId(row["workspace_id"]),
        row["name"],
        Role(row["role"]),
        row["created_at"],
        row["expires_at"],
        row["revoked_at"],
        row["last_used_at"],
    )
