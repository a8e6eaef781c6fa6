"""What errors of a PostgreSQL server mean to a sync that reads there; no word of a row comes along."""

from collections.abc import Iterator
from contextlib import contextmanager

from tailrace.connector_kit.postgres_reading import ROWS
from tailrace.connector_kit.warehouse import TOO_SLOW
from tailrace.core.errors import SourceInvalid, SourceUnavailable, TailraceError

_QUERY_STATES = frozenset({"0A", "25", "3F", "42", "54"})
_ROW_STATES = frozenset({"21", "22", "23", "38", "39", "44", "P0"})


def classified(error: Exception) -> TailraceError:
    """The error that a run or a caller is told."""
    state = getattr(error, "sqlstate", None) or ""
    what = f"{type(error).__name__.removesuffix('Error')} ({state})"
    if state == "57014":
        return SourceUnavailable(TOO_SLOW, code="SOURCE_TIMEOUT")
    if state == "3D000":
        return SourceInvalid(f"the warehouse says: {error}")
    if state[:2] in _QUERY_STATES:
        return SourceInvalid(f"the warehouse refuses the query: {error}{_place(error)}", code="SOURCE_QUERY")
    if is_about_a_row(error):
        return SourceInvalid(f"the query fails on a value of a row: {what}", code="SOURCE_QUERY")
    return SourceUnavailable(f"the warehouse cannot answer now: {what}")


def is_about_a_row(error: Exception) -> bool:
    """Whether its words may hold a value of a row."""
    return (getattr(error, "sqlstate", None) or "")[:2] in _ROW_STATES


@contextmanager
def reached(host: str, port: int) -> Iterator[None]:
    """Say where nobody answers."""
    try:
        yield
    except (OSError, TimeoutError) as error:
        raise SourceUnavailable(
            f"no PostgreSQL answers at {host}:{port} ({type(error).__name__}): check the source's address and network"
        ) from error


def _place(error: Exception) -> str:
    query, position = getattr(error, "query", None), getattr(error, "position", None)
    if not query or not position or ROWS in query:
        return ""
    before = query[: int(position) - 1]
    return f" (line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))})"
