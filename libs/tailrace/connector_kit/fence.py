"""The last look before bytes leave, whether a request may still be made.

The engine asks when it hands a batch to a destination; between that and the socket lie a pool, a name to resolve, a
connection to make. Whoever writes to the network asks once more, as late as it can.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar


def _may_always() -> None:
    return


_check: ContextVar[Callable[[], None]] = ContextVar("fence", default=_may_always)


@contextmanager
def fenced(check: Callable[[], None]) -> Iterator[None]:
    """Let `check` raise before any request that is made inside, in tasks started there too."""
    outer = _check.set(check)
    try:
        yield
    finally:
        _check.reset(outer)


def pass_fence() -> None:
    """Return if a request may leave now; raises what the engine has to say against it, and nothing was sent then."""
    _check.get()()
