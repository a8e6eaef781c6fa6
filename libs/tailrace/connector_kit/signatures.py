"""Signed requests: after Standard Webhooks, and as vendors sign with a key of their own."""

import binascii
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from hmac import digest
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from tailrace.connector_kit.header_rules import HeaderName

_PREFIX = "whsec_"
_KEY_BYTES = range(24, 65)


class HmacSignature(BaseModel):
    """A header with the HMAC of the body, or of a timestamp, a dot and the body.

    `prefix` stands before it, such as `sha256=`. The key is the secret as it is, in UTF-8.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    header: HeaderName
    algorithm: Literal["sha256", "sha512", "sha1"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = Field(default="", pattern=r"^[\x21-\x7e]{0,40}$")
    timestamp_header: HeaderName | None = Field(
        default=None, description="a header with the seconds since 1970, which are signed too, before a dot"
    )

    def headers(self, secret: str, *, sent_at: datetime, body: bytes) -> Mapping[str, str]:
        """The signature, and the timestamp if it is signed."""
        timestamp = str(int(sent_at.timestamp()))
        content = body if self.timestamp_header is None else f"{timestamp}.".encode() + body
        signed = digest(secret.encode(), content, self.algorithm)
        told = signed.hex() if self.encoding == "hex" else b64encode(signed).decode()
        times = {} if self.timestamp_header is None else {self.timestamp_header: timestamp}
        return {self.header: self.prefix + told, **times}


def signing_key(secret: str) -> bytes:
    """The bytes of a Standard Webhooks secret such as `whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw`.

    :raises ValueError: it is not base64 of 24 to 64 bytes.
    """
    try:
        key = b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) not in _KEY_BYTES:
        raise ValueError("a signing secret is `whsec_` and the base64 of 24 to 64 random bytes")
    return key


def _key(secret: SecretStr) -> SecretStr:
    signing_key(secret.get_secret_value())
    return secret


SigningSecret = Annotated[SecretStr, AfterValidator(_key)]
"""A secret of Standard Webhooks."""


def signature_headers(keys: Sequence[bytes], *, message_id: str, sent_at: datetime, body: bytes) -> Mapping[str, str]:
    """The three headers of Standard Webhooks, https://github.com/standard-webhooks/standard-webhooks, version 1.0.0.

    Several keys sign while the receiver changes from one to the other.
    """
    timestamp = str(int(sent_at.timestamp()))
    content = f"{message_id}.{timestamp}.".encode() + body
    signatures = (b64encode(digest(key, content, sha256)).decode() for key in keys)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
