"""Texts kept in a file, for a warehouse that gives one thing at a time over its one view."""

from collections.abc import Iterator
from typing import IO

MOST_BYTES = 1 << 30
"""Of keys and hashes, some 30 million rows."""

_LENGTH_BYTES = 8


class KeptTexts:
    """Texts in the order in which they came; behind what has room stands an empty one, if there is more."""

    def __init__(self, file: IO[bytes], most_bytes: int = MOST_BYTES) -> None:
        self._file = file
        self._left = most_bytes

    def keep(self, text: bytes) -> bool:
        """Keep one; whether there was room for it."""
        self._left -= len(text)
        has_room = self._left >= 0
        kept = text if has_room else b""
        self._file.write(len(kept).to_bytes(_LENGTH_BYTES) + kept)
        return has_room

    def texts(self) -> Iterator[bytes]:
        """All that was kept; one pass."""
        self._file.seek(0)
        while length := self._file.read(_LENGTH_BYTES):
            yield self._file.read(int.from_bytes(length))
