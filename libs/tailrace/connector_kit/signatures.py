"""Signed requests after Standard Webhooks: https://github.com/standard-webhooks/standard-webhooks, version 1.0.0."""

import binascii
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from hmac import digest

_PREFIX = "whsec_"
_KEY_BYTES = range(24, 65)


def signing_key(secret: str) -> bytes:
    """The bytes of a secret such as `whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw`.

    :raises ValueError: it is not base64 of 24 to 64 bytes.
    """
    try:
        key = b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) not in _KEY_BYTES:
        raise ValueError("a signing secret is `whsec_` and the base64 of 24 to 64 random bytes")
    return key


def signature_headers(keys: Sequence[bytes], *, message_id: str, sent_at: datetime, body: bytes) -> Mapping[str, str]:
    """The three headers; several keys sign while the receiver changes from one to the other."""
    timestamp = str(int(sent_at.timestamp()))
    content = f"{message_id}.{timestamp}.".encode() + body
    signatures = (b64encode(digest(key, content, sha256)).decode() for key in keys)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
