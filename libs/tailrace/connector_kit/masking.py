"""Secrets that a destination repeats in what it says of rows."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from tailrace.core.rows import DELIVERED, RowOutcome

_MASK = "***"
_LENGTH = 8


def secret_words(words: Iterable[str]) -> list[str]:
    """Those that are long enough to be secrets, the longest first; short ones would be masked everywhere."""
    return sorted({word for word in words if len(word) >= _LENGTH}, key=len, reverse=True)


def masked(outcome: RowOutcome, secrets: Sequence[str]) -> RowOutcome:
    """The outcome without the secrets, which come the longest first."""
    code, message = outcome.code, outcome.message
    for secret in secrets:
        code, message = code.replace(secret, _MASK), message.replace(secret, _MASK)
    if code == outcome.code and message == outcome.message:
        return outcome
    return replace(outcome, code=code, message=message)


def all_masked(outcomes: Iterable[RowOutcome], secrets: Sequence[str]) -> list[RowOutcome]:
    """The outcomes of a batch without the secrets."""
    return [outcome if outcome is DELIVERED else masked(outcome, secrets) for outcome in outcomes]
