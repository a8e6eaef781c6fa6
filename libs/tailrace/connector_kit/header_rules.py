"""What a header that users name may be called, and what it may hold."""

import re
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, SecretStr

HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?")
"""Printable ASCII without spaces at its ends."""

OWN_HEADERS = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "expect",
        "host",
        "idempotency-key",
        "transfer-encoding",
        "upgrade",
        "webhook-id",
        "webhook-signature",
        "webhook-timestamp",
    }
)
"""Those that Tailrace sets itself, in small letters."""


_OF_THE_TRANSPORT = OWN_HEADERS - {"idempotency-key", "webhook-id", "webhook-signature", "webhook-timestamp"}


def _value(secret: SecretStr) -> SecretStr:
    if not HEADER_VALUE.fullmatch(secret.get_secret_value()):
        raise ValueError("must be printable ASCII without spaces at its ends")
    return secret


SecretHeader = Annotated[SecretStr, AfterValidator(_value)]
"""The value of a header that proves who we are."""


def _name(name: str) -> str:
    check_header_names([name], taken=_OF_THE_TRANSPORT)
    return name


HeaderName = Annotated[str, AfterValidator(_name)]
"""A header that is Tailrace's for this connection, such as that of a key or a signature."""


def check_header_names(names: Iterable[str], *, taken: frozenset[str] = OWN_HEADERS) -> None:
    """Return if users may name headers so.

    :raises ValueError: with the names that they may not.
    """
    names = list(names)
    if not all(HEADER_NAME.fullmatch(name) for name in names):
        raise ValueError("a header's name holds a character that HTTP does not allow")
    refused = sorted(name for name in names if name.lower() in taken)
    if refused:
        raise ValueError(f"these headers are set by Tailrace: {', '.join(refused)}")
