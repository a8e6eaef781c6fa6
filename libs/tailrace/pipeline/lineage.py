"""The names of batches, by which a destination tells that one is sent once more."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from tailrace.core.batches import hashes_of
from tailrace.core.rows import Operation, Row
from tailrace.core.settlements import Position

_KEY_BYTES = 16


@dataclass(frozen=True, slots=True)
class Lineage:
    """Within which the same rows are the same batch, whoever sends it, and however often.

    A run is one: after a crash it sends the same rows from the same places on. What another run sends it means anew,
    though it be the same: a value that changed back, a row that returned, all rows to a destination that lost them.
    Only what must not be done twice, whichever run does it, has a `name` beyond runs, and no places.
    """

    name: str
    has_places: bool = True

    def key_of(self, sent: Operation, rows: Sequence[Row], begins: Position, nth: int) -> str:
        """The idempotency key of the `nth` batch that begins behind a position; a row's hash covers its key."""
        place = (begins.after, begins.null_rows, begins.phase, nth) if self.has_places else ()
        digest = blake2b(f"{self.name}:{sent}:{place}".encode(errors="surrogatepass"), digest_size=_KEY_BYTES)
        digest.update(b"".join(hashes_of(rows)))
        return digest.hexdigest()


def key_of_part(whole: str, indexes: Sequence[int]) -> str:
    """The idempotency key of some rows of a batch, which is not that of others, though they be alike."""
    return blake2b(whole.encode() + array("I", indexes).tobytes(), digest_size=_KEY_BYTES).hexdigest()
