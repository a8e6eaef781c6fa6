"""Seals what must not be readable in the database: AES-256-GCM by a keyring, bound to the row it lies in."""

import base64
import binascii
import hashlib
import os
from collections.abc import Sequence
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tailrace.core.errors import Invalid

_KEY_SIZE_BYTES = 32
_KEY_ID_SIZE_BYTES = 4
_NONCE_SIZE_BYTES = 12
_VERSION = b"\x01"
_HEAD_SIZE_BYTES = len(_VERSION) + _KEY_ID_SIZE_BYTES + _NONCE_SIZE_BYTES
_WHAT_TO_DO = (
    "TAILRACE_SECRET_KEY must be 32 random bytes in base64 (several, separated by commas, while rotating: "
    "the first seals, all open); make one with: openssl rand -base64 32"
)


class SecretBox:
    """A keyring: the first key seals, every key opens. A sealed blob names its key, for rotation."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) != _KEY_SIZE_BYTES for key in keys):
            raise Invalid(_WHAT_TO_DO, code="SECRET_KEY_INVALID")
        self._roots = tuple(keys)
        self._derived: dict[str, tuple[bytes, ...]] = {}
        self._ciphers = {_key_id(key): AESGCM(_derive(key, "seal")) for key in keys}
        self._sealing = _key_id(keys[0])

    @classmethod
    def from_setting(cls, value: str) -> Self:
        """The box for the setting's text.

        :raises Invalid: a key is missing, not base64 or of a wrong length; the message says how to make one.
        """
        try:
            keys = [base64.b64decode(part.strip(), validate=True) for part in value.split(",")]
        except (binascii.Error, ValueError):
            raise Invalid(_WHAT_TO_DO, code="SECRET_KEY_INVALID") from None
        return cls(keys)

    def seal(self, plain: bytes, *, bound_to: str) -> bytes:
        """An unreadable blob that opens only for the same `bound_to`."""
        [sealed] = self.seal_all([plain], bound_to=[bound_to])
        return sealed

    def seal_all(self, plains: Sequence[bytes], *, bound_to: Sequence[str]) -> list[bytes]:
        """Each of them as `seal` does it, with a nonce of its own."""
        cipher, head = self._ciphers[self._sealing], _VERSION + self._sealing
        drawn = os.urandom(_NONCE_SIZE_BYTES * len(plains))
        nonces = [drawn[at : at + _NONCE_SIZE_BYTES] for at in range(0, len(drawn), _NONCE_SIZE_BYTES)]
        return [
            b"".join((head, nonce, cipher.encrypt(nonce, plain, _associated(self._sealing, place))))
            for nonce, plain, place in zip(nonces, plains, bound_to, strict=True)
        ]

    def open(self, sealed: bytes, *, bound_to: str) -> bytes:
        """What was sealed.

        :raises Invalid: sealed by a key that is not in the ring, for something else, or altered.
        """
        key_id, nonce = sealed[1 : 1 + _KEY_ID_SIZE_BYTES], sealed[1 + _KEY_ID_SIZE_BYTES : _HEAD_SIZE_BYTES]
        cipher = self._ciphers.get(key_id)
        if cipher is None or not sealed.startswith(_VERSION):
            raise Invalid(
                "TAILRACE_SECRET_KEY lacks the key that sealed a stored secret; add it behind the first",
                code="SECRET_KEY_UNKNOWN",
            )
        try:
            return cipher.decrypt(nonce, sealed[_HEAD_SIZE_BYTES:], _associated(key_id, bound_to))
        except InvalidTag:
            raise Invalid(
                "a stored secret was altered or belongs to another row; enter it anew", code="SECRET_ALTERED"
            ) from None

    @property
    def sealing_id(self) -> bytes:
        """Names the first key; a sealed blob holds the name of its key from its second byte on."""
        return self._sealing

    def has_key(self, key_id: bytes) -> bool:
        """Whether the ring opens what the key of that name has sealed."""
        return key_id in self._ciphers

    @property
    def pepper(self) -> bytes:
        """What token digests are keyed with."""
        return self.derive("token pepper")[0]

    def derive(self, purpose: str) -> tuple[bytes, ...]:
        """A key for another purpose from each key of the ring: make with the first, check with all."""
        if purpose not in self._derived:
            self._derived[purpose] = tuple(_derive(root, purpose) for root in self._roots)
        return self._derived[purpose]


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(_derive(key, "key id")).digest()[:_KEY_ID_SIZE_BYTES]


def _derive(key: bytes, purpose: str) -> bytes:
    info = f"tailrace {purpose} v1".encode()
    return HKDF(algorithm=SHA256(), length=_KEY_SIZE_BYTES, salt=None, info=info).derive(key)


def _associated(key_id: bytes, bound_to: str) -> bytes:
    return key_id + bound_to.encode()
