"""A query looked at by the tokens of its dialect, for servers that know no transactions that only read."""

import re
from collections.abc import Container, Sequence
from typing import TypeAlias

from tailrace.core.errors import SourceInvalid

Tokens: TypeAlias = Sequence["re.Match[str]"]


def tokens_of(query: str, token: "re.Pattern[str]") -> Tokens:
    """All but blanks and comments: those are of the group `blank`, others may be of `word` or `sign`."""
    return [each for each in token.finditer(query) if each["blank"] is None]


def require_beginning(tokens: Tokens, words: Container[str]) -> None:
    """Return if the first word, behind parentheses, is one of these, which are in small letters.

    :raises SourceInvalid: `SOURCE_QUERY`.
    """
    first = next((each["word"] for each in tokens if each["sign"] != "("), None)
    if first is None or first.lower() not in words:
        raise SourceInvalid("the query must be one SELECT that only reads", code="SOURCE_QUERY")


def without_semicolon(query: str, tokens: Tokens) -> str:
    """The query without a semicolon at its end.

    :raises SourceInvalid: `SOURCE_QUERY`, something follows it.
    """
    end = next((at for at, each in enumerate(tokens) if each["sign"] == ";"), len(tokens))
    if tokens[end + 1 :]:
        raise SourceInvalid("the query must be one SELECT: another statement follows it", code="SOURCE_QUERY")
    return query[: tokens[end].start()] if end < len(tokens) else query
