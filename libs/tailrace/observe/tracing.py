"""The trace that a piece of work belongs to (W3C `traceparent`), from the border to the events that it causes."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

TRACEPARENT: Final = "traceparent"
"""The name of the header that carries it, over HTTP and Kafka alike."""

_FORM = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_current: ContextVar[str | None] = ContextVar("traceparent", default=None)


def current_traceparent() -> str | None:
    """The traceparent of the work at hand; None where nobody traces it."""
    return _current.get()


@contextmanager
def traced(traceparent: str | None) -> Iterator[None]:
    """Within the scope, work belongs to this trace; what is malformed or None counts as no trace."""
    token = _current.set(readable_traceparent(traceparent))
    try:
        yield
    finally:
        _current.reset(token)


def readable_traceparent(text: str | None) -> str | None:
    """The text if it is a traceparent, None otherwise: a foreign trace is never a reason to refuse work."""
    return text if text is not None and _FORM.fullmatch(text) else None
