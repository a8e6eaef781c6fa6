"""Changes of a page lie above its entries, in the same row, while they are few: they are written, and not the page.

How many entries a page has, and how many of them were delivered and are gone, is always said with what lies above it.
What that was before is told by what lay above, and where that says nothing of a key by the page's body, which is read.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

from tailrace.core.entry_columns import EntryColumns, Told
from tailrace.core.ids import SyncId
from tailrace.core.pages import ENTRIES_PER_PAGE, looked_up, pack_above, unpack, unpack_above
from tailrace.core.rows import RowKey
from tailrace.core.snapshots import ALGORITHM, Entry
from tailrace.store.database import Connection, Record

Share: TypeAlias = tuple[list[str] | None, EntryColumns]
"""The first key of a base page, None where there is no page yet, and the entries that it gets."""

_Start: TypeAlias = tuple[str, ...]

_PAGE_TO_CHANGES = 8
"""So many times as many entries as lie above it a page has at least."""

_OF_STARTS = """
FROM snapshot_pages WHERE sync_id = $1 AND level = 0 AND first_key BETWEEN $2 AND $3 AND first_key IN (
  SELECT ARRAY(SELECT jsonb_array_elements_text(parts)) COLLATE "C" FROM jsonb_array_elements($4::jsonb) AS parts)
ORDER BY first_key
"""
_LOOK = f"SELECT first_key, last_key, entries, delivered, gone, algorithm, above {_OF_STARTS}"
_READ = f"SELECT first_key, body, algorithm, above {_OF_STARTS}"
# The body is not named, so that it stays where it is.
_LAY = """
UPDATE snapshot_pages AS page
SET above = laid.above, algorithm = -abs(algorithm), entries = laid.entries, delivered = laid.delivered,
  gone = laid.gone
FROM (
  SELECT ARRAY(SELECT jsonb_array_elements_text(parts)) COLLATE "C" AS first_key, above, entries, delivered, gone
  FROM ROWS FROM (jsonb_array_elements($4::jsonb), unnest($5::bytea[]), unnest($6::int[]), unnest($7::int[]),
    unnest($8::int[])) AS page (parts, above, entries, delivered, gone)
) AS laid
WHERE page.sync_id = $1 AND page.level = 0 AND page.first_key BETWEEN $2 AND $3 AND page.first_key = laid.first_key
"""


class Session(Protocol):
    """Where pages can be asked for."""

    async def fetch(self, query: str, /, *arguments: object) -> Sequence[Record]:
        """All rows of one statement."""
        ...


class _Layer(NamedTuple):
    """What a page gets, all that will lie above it then, and what was told of the keys that it gets there before."""

    page: Record
    share: EntryColumns
    above: EntryColumns
    before: list[Told | None]

    @property
    def start(self) -> _Start:
        """The first key of the page."""
        return _start(self.page)

    @property
    def unknown(self) -> list[int]:
        """The places of the keys of which only the page itself can tell what it knew."""
        return [at for at, told in enumerate(self.before) if told is None]

    @property
    def counts(self) -> list[int]:
        """How many entries the page has with what it gets, how many of them were delivered, and how many are gone."""
        less, more = _sums(self.before), _sums(self.share.told)
        stood = (self.page["entries"], self.page["delivered"], self.page["gone"])
        return [count - minus + plus for count, minus, plus in zip(stood, less, more, strict=True)]


async def lay(connection: Connection, sync_id: SyncId, shares: Sequence[Share]) -> list[Share]:
    """Lay entries above pages of the base, which are in order; gives those whose pages have to be written anew."""
    few = {tuple(start): share for start, share in shares if start is not None and _are_few(share, ENTRIES_PER_PAGE)}
    if not few:
        return list(shares)
    found = await _of_pages(connection, _LOOK, sync_id, [*few])
    layers = [layer for page in found if (layer := _layer(page, few[_start(page)]))]
    await _ask_pages(connection, sync_id, [layer for layer in layers if layer.unknown])
    layers = [layer for layer in layers if 0 < layer.counts[0] <= ENTRIES_PER_PAGE]
    if layers:
        await connection.execute(_LAY, sync_id, layers[0].start, layers[-1].start, *_columns(layers))
    laid = {layer.start for layer in layers}
    return [(start, share) for start, share in shares if start is None or tuple(start) not in laid]


async def gone_of(session: Session, sync_id: SyncId, found: Sequence[Record]) -> EntryColumns:
    """The gone entries of pages, which are in order. Most lie above: bodies are read only where not all do."""
    gone = {_start(page): unpack_above(page["above"]).gone() for page in found if page["above"] is not None}
    unread = [start for page in found if len(gone.get(start := _start(page), ())) < page["gone"]]
    for page in await _of_pages(session, _READ, sync_id, unread) if unread else ():
        gone[_start(page)] = unpack(page["body"], page["algorithm"], page["above"]).gone()
    return EntryColumns.of([entry for page in found for entry in gone.get(_start(page), ())])


def _layer(page: Record, share: EntryColumns) -> _Layer | None:
    """What is to lie above a page; None where it is worth a new one, or its keys lie elsewhere."""
    is_counted = page["delivered"] is not None and abs(page["algorithm"]) >= ALGORITHM
    first, last = (RowKey(tuple(page[name])) for name in ("first_key", "last_key"))
    is_within = first <= share.keys[0] and share.keys[-1] <= last
    if not is_counted or not is_within:
        return None
    before = EntryColumns.of([]) if page["above"] is None else unpack_above(page["above"])
    above = before.stacked(share)
    return _Layer(page, share, above, before.looked_up(share.keys)) if _are_few(above, page["entries"]) else None


async def _of_pages(session: Session, query: str, sync_id: SyncId, starts: Sequence[_Start]) -> Sequence[Record]:
    return await session.fetch(query, sync_id, starts[0], starts[-1], starts)


async def _ask_pages(connection: Connection, sync_id: SyncId, layers: Sequence[_Layer]) -> None:
    """Have pages tell what they knew of keys of which nothing above them told."""
    if not layers:
        return
    rows = await _of_pages(connection, _READ, sync_id, [layer.start for layer in layers])
    for layer, row in zip(layers, rows, strict=True):
        places = layer.unknown
        told = looked_up(row["body"], abs(row["algorithm"]), [layer.share.keys[at] for at in places])
        for at, one in zip(places, told, strict=True):
            layer.before[at] = one


def _start(page: Record) -> _Start:
    return tuple(page["first_key"])


def _columns(layers: Sequence[_Layer]) -> Iterator[list[Any]]:
    yield [layer.start for layer in layers]
    yield [pack_above(layer.above) for layer in layers]
    yield from map(list, zip(*(layer.counts for layer in layers), strict=True))


def _sums(told: Iterable[Told | None]) -> tuple[int, int, int]:
    """How many entries, of them delivered and gone, are told of."""
    entries = plain = delivered = gone = 0
    for one in told:
        if isinstance(one, Entry):
            entries += not one.is_tombstone
            delivered += one.delivered is not None
            gone += one.is_gone
        elif one is not None:
            plain += 1
    return plain + entries, plain + delivered, gone


def _are_few(entries: EntryColumns, of: int) -> bool:
    return len(entries) * _PAGE_TO_CHANGES <= of
