"""Keeps a chatty library from filling the log."""

import logging
import time
from collections.abc import Callable


class Seldom(logging.Filter):
    """Lets each message of a logger and its children through once in `every_s`, others always.

    Two records are the same message if their text is before its arguments are put in.
    """

    def __init__(self, name: str, *, every_s: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__(name)
        self._every_s = every_s
        self._monotonic = monotonic
        self._last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        if not super().filter(record):
            return True
        now, text = self._monotonic(), str(record.msg)
        if now - self._last.get(text, float("-inf")) < self._every_s:
            return False
        self._last[text] = now
        return True
