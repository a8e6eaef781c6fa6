"""The last look before bytes leave, whether a request may still be made.

The engine asks when it hands a batch to a destination; between that and the socket lie a pool, a name to resolve, a
connection to make. Whoever writes to the network asks once more, as late as it can.
"""

from collections.abc import Callable
from contextvars import ContextVar


def _may_always() -> None:
    return


_check: ContextVar[Callable[[], None]] = ContextVar("fence", default=_may_always)


def fenced(check: Callable[[], None]) -> "_Fence":
    """Let `check` raise before any request that is made inside, in tasks started there too."""
    return _Fence(check)


def pass_fence() -> None:
    """Return if a request may leave now; raises what the engine has to say against it, and nothing was sent then."""
    _check.get()()


class _Fence:
    __slots__ = ("_asked", "_outer")

    def __init__(self, check: Callable[[], None]) -> None:
        self._asked = check

    def __enter__(self) -> None:
        self._outer = _check.set(self._asked)

    def __exit__(self, *_: object) -> None:
        _check.reset(self._outer)
