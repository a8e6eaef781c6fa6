"""Secrets that a destination repeats in what it says of rows."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from tailrace.core.rows import RowOutcome

_MASK = "***"
_LENGTH = 8


def secret_words(words: Iterable[str]) -> list[str]:
    """Those that are long enough to be secrets, the longest first; short ones would be masked everywhere."""
    return sorted({word for word in words if len(word) >= _LENGTH}, key=len, reverse=True)


def masked(outcome: RowOutcome, secrets: Sequence[str]) -> RowOutcome:
    """The outcome without the secrets, which come the longest first."""
    code, message = outcome.code, outcome.message
    if not code and not message:
        return outcome
    for secret in secrets:
        code, message = code.replace(secret, _MASK), message.replace(secret, _MASK)
    return replace(outcome, code=code, message=message)
