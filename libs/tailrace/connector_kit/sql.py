"""SQL text: quoted names, and the one statement of a user's query."""

import re

from tailrace.core.errors import Invalid

NAME_LIMIT_BYTES = 63
"""PostgreSQL cuts longer names off silently (https://www.postgresql.org/docs/current/limits.html)."""

_TOKEN = re.compile(
    r"""
      [eE]'(?:[^'\\]|\\.|'')*'          # string with escapes
    | '(?:[^']|'')*'
    | "(?:[^"]|"")*"
    | \$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$
    | --[^\n\r]*
    | (?P<comment>/\*)
    | (?P<end>;)
    | [^\W\d][\w$]*                     # a name: `date'...'` is no escape string, `a$b$` no dollar quote
    | .
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_MARK = re.compile(r"/\*|\*/")
_SORTED_ENCODINGS = frozenset({"UTF8", "LATIN1", "SQL_ASCII"})


def by_code_point(text: str, *, encoding: str) -> str:
    """The SQL of a text that is compared byte by byte, such that it sorts by code point whatever the encoding."""
    return text if encoding in _SORTED_ENCODINGS else f"convert_to({text}, 'UTF8')"


def quote_name(name: str) -> str:
    """A name as an SQL identifier.

    :raises Invalid: a name that PostgreSQL cannot hold: empty, longer than 63 bytes, with a NUL.
    """
    if not name or "\0" in name or len(name.encode(errors="replace")) > NAME_LIMIT_BYTES:
        raise Invalid(f"{name[:80]!r} is no name in PostgreSQL: use 1 to {NAME_LIMIT_BYTES} bytes and no NUL")
    return '"' + name.replace('"', '""') + '"'


def one_statement(query: str) -> str:
    """The query up to its first semicolon outside strings, quoted names and comments.

    To stand in parentheses it needs a line break behind it: it may end in a line comment.
    """
    at = 0
    while at < len(query):
        token = _TOKEN.match(query, at)
        if token is None or token["end"]:
            break
        at = _comment_end(query, token.end()) if token["comment"] else token.end()
    return query[:at]


def _comment_end(query: str, at: int) -> int:
    depth = 1
    while depth:
        mark = _COMMENT_MARK.search(query, at)
        if mark is None:
            return len(query)
        depth += 1 if mark[0] == "/*" else -1
        at = mark.end()
    return at
