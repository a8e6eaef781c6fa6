"""The rows of a request, and which of them an answer speaks of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tailrace.connector_kit.manifest.parts import MISSING, look_up
from tailrace.core.errors import BatchRefused, InDoubt
from tailrace.core.rows import RowOutcome


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent of a row that an answer can point at: its key as the vendor compares it, and its trace id.

    Where answers name the vendor's own id, that stands for the key. `aliases` is what else the vendor knows it by.
    """

    key: str
    trace: str
    aliases: frozenset[str] = frozenset()


def entries_at(document: object, path: str) -> Sequence[object]:
    """The list at a path; none where there is nothing, or null.

    :raises InDoubt: something else stands there.
    """
    if not isinstance(document, dict if path else list):
        raise InDoubt(f"the answer is no JSON {'object' if path else 'list'}")
    found = look_up(document, path)
    if found is MISSING or found is None:
        return ()
    if not isinstance(found, list):
        raise InDoubt(f"the answer's {path!r} is no list")
    return found


def by_row(named: Mapping[str, RowOutcome], sent: Sequence[Sent]) -> Mapping[str, RowOutcome]:
    """The outcomes by the keys of their rows, which may be named by an alias.

    :raises InDoubt: a name was not sent.
    :raises BatchRefused: several rows go by a name.
    """
    keys = {row.key for row in sent}
    failed = {name: outcome for name, outcome in named.items() if name in keys}
    for name in named.keys() - keys:
        rows = [row.key for row in sent if name in row.aliases]
        if not rows:
            raise InDoubt("the answer names a key that was not sent")
        if len(rows) > 1:
            raise BatchRefused("the answer names a row by what several rows have")
        failed.setdefault(rows[0], named[name])
    return failed


def place_of(told: object, sent: Sequence[Sent]) -> int:
    """The place of a row in the batch.

    :raises InDoubt: no row has it.
    """
    if not isinstance(told, int) or isinstance(told, bool) or not 0 <= told < len(sent):
        raise InDoubt(f"an error of the answer names no row of the {len(sent)} sent")
    return told
