"""Changes of one run on local disk: first in, first out, compressed, and sealed with a key that ends with the run."""

import pickle
import zlib
from collections import deque
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from enum import StrEnum
from io import FileIO
from typing import NamedTuple, TypeAlias, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tailrace.core.errors import SourceUnavailable
from tailrace.core.row_columns import RowColumns
from tailrace.core.rows import Change
from tailrace.core.snapshots import is_old
from tailrace.pipeline.plain import PlainChanges, PlainUpdates, RowChange
from tailrace.pipeline.spools import Spools

Changes: TypeAlias = Sequence[RowChange]

_COMPRESSION_LEVEL = 1
_KEY_BITS = 256
_NONCE_BYTES = 12
_LEFT_OUT = b""


class Refusal(StrEnum):
    """Why changes do not go to disk."""

    RUN_FULL = "run_full"
    PROCESS_FULL = "process_full"
    DISK = "disk"


class _Chunk(NamedTuple):
    number: int
    at: int
    size_bytes: int


class Spool:
    """A file of chunks. Of changes that send nothing it keeps all but the bodies, which nobody asks for any more."""

    def __init__(self, spools: Spools, sends: Collection[Change]) -> None:
        self._spools = spools
        self._sends = sends
        self._cipher = AESGCM(AESGCM.generate_key(_KEY_BITS))
        self._chunks: deque[_Chunk] = deque()
        self._sealed = 0
        self.size_bytes = 0
        self._file: FileIO | None = None

    def __len__(self) -> int:
        return len(self._chunks)

    async def write(self, changes: Sequence[Changes]) -> Refusal | None:
        """Add a chunk; where it is refused, nothing was."""
        number, at = self._sealed, self.size_bytes
        self._sealed += 1
        sealed = await self._spools.run(self._seal, number, changes)
        if at + len(sealed) > self._spools.terms.run_bytes:
            return Refusal.RUN_FULL
        if not self._spools.take(len(sealed)):
            return Refusal.PROCESS_FULL
        self.size_bytes += len(sealed)
        try:
            await self._spools.run(self._write, at, sealed)
        except OSError:
            self.size_bytes -= len(sealed)
            self._spools.give_back(len(sealed))
            return Refusal.DISK
        self._chunks.append(_Chunk(number, at, len(sealed)))
        return None

    async def read(self) -> Sequence[Changes]:
        """Take the oldest chunk out.

        :raises SourceUnavailable: it cannot be had from the disk, so that it has to be read from the source again.
        """
        chunk = self._chunks.popleft()
        try:
            return await self._spools.run(self._read, chunk)
        except (OSError, InvalidTag) as error:
            raise SourceUnavailable(
                f"rows cannot be read back from local disk ({type(error).__name__}): they are read again"
            ) from error

    def empty(self) -> None:
        """Begin anew at the start of the file."""
        self._chunks.clear()
        self._spools.give_back(self.size_bytes)
        self.size_bytes = 0
        self._spools.run_later(self._truncate)

    def close(self) -> None:
        """Leave nothing behind; what is still being done with the file is done before."""
        self._spools.give_back(self.size_bytes)
        self.size_bytes = 0
        # Most spools never come to have a file; the first work would start the thread.
        if self._sealed:
            self._spools.run_later(self._close)

    def _seal(self, number: int, changes: Sequence[Changes]) -> bytes:
        lean = [without_bodies(some, self._sends) for some in changes]
        packed = zlib.compress(pickle.dumps(lean, pickle.HIGHEST_PROTOCOL), _COMPRESSION_LEVEL)
        return self._cipher.encrypt(_nonce(number), packed, None)

    def _write(self, at: int, sealed: bytes) -> None:
        if self._file is None:
            self._file = self._spools.open_file()
        try:
            self._file.seek(at)
            rest = memoryview(sealed)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            with suppress(OSError):
                self._file.truncate(at)
            raise

    def _read(self, chunk: _Chunk) -> Sequence[Changes]:
        if self._file is None:
            raise FileNotFoundError
        self._file.seek(chunk.at)
        sealed = self._file.read(chunk.size_bytes)
        packed = self._cipher.decrypt(_nonce(chunk.number), sealed, None)
        # Nobody without our key can have made it.
        return cast("Sequence[Changes]", pickle.loads(zlib.decompress(packed)))  # noqa: S301 - decrypted by our key

    def _truncate(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.truncate(0)

    def _close(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.close()


def without_bodies(changes: Changes, sends: Collection[Change]) -> Changes:
    """The same changes, where nothing is sent for one without its body."""
    if isinstance(changes, PlainUpdates):
        learnt = _without_bodies(changes.learnt)
        return PlainUpdates(
            list(changes.keys), changes.places, changes.changed, changes.delivered, changes.learnt_at, learnt
        )
    if not isinstance(changes, PlainChanges):
        return [_without_body(change) if _sends_nothing(change, sends) else change for change in changes]
    if changes.change in sends:
        return changes
    return PlainChanges(changes.change, _without_bodies(changes.columns), changes.delivered)


def _without_bodies(columns: RowColumns) -> RowColumns:
    return RowColumns(columns.keys, [_LEFT_OUT] * len(columns), columns.hashes, columns.sources)


def _sends_nothing(change: RowChange, sends: Collection[Change]) -> bool:
    """Whether nobody will look at the body: an old hash would have to be made of it anew."""
    if change.change is None or change.change in sends:
        return False
    return change.known is None or not (is_old(change.known.delivered) or is_old(change.known.dead))


def _without_body(change: RowChange) -> RowChange:
    if change.mapped is None:
        return change
    return change._replace(mapped=change.mapped._replace(row=replace(change.mapped.row, body=_LEFT_OUT)))


def _nonce(number: int) -> bytes:
    """No two chunks of a spool share one, and none opens in the place of another."""
    return number.to_bytes(_NONCE_BYTES, "big")
