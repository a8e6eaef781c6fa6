"""Syncs in every mode that read in every way, and what changes in their sources."""

from collections import Counter

from tailrace.core.readings import CursorReading, SnapshotReading
from tailrace.core.rows import ColumnKind
from tailrace.core.syncs import FieldMapping, SyncDefinition, SyncMode
from tests.simulation.destination import BAD
from tests.simulation.rows import TICKS_PER_S, SourceRow
from tests.simulation.world import World

MODES = tuple(SyncMode)

_BY_CURSOR = 0.4
_KEYS = 40
_NAMES = ("ann", "bob", "eve", "kim", BAD)


def some_sync(world: World, source: str, destination: str) -> SyncDefinition:
    """A sync in some mode that reads in some way, and the source that it reads."""
    chance = world.chance
    mode = chance.choice(MODES)
    kind = chance.choice((ColumnKind.INTEGER, ColumnKind.TIMESTAMP))
    is_by_cursor = mode is not SyncMode.MIRROR and chance.random() < _BY_CURSOR
    look_back = chance.choice((0, 1, 5, 10)) if is_by_cursor else 0
    world.sources[source], world.kinds[source] = [], kind
    world.lateness[source] = max(0, look_back * TICKS_PER_S - 1)
    in_units = TICKS_PER_S if kind is ColumnKind.INTEGER else 1
    reading = CursorReading(type="cursor", column="at", look_back_s=look_back * in_units)
    tells_when = is_by_cursor or mode is SyncMode.APPEND
    return SyncDefinition(
        source_id=source,
        source_query="SELECT id, name, at FROM people",
        destination_id=destination,
        object_name="people",
        field_mappings=(
            FieldMapping(source="id", destination="id", key=mode is not SyncMode.APPEND or chance.random() < 0.5),
            FieldMapping(source="name", destination="name"),
            *([FieldMapping(source="at", destination="at")] if tells_when else []),
        ),
        sync_mode=mode,
        reading=reading if is_by_cursor else SnapshotReading(),
        max_delete_ratio=1.0,
    )


def change_row(world: World, source: str, *, before: int = 0) -> None:
    """Have a row come, change or go, so many ticks ago."""
    chance = world.chance
    rows, name = world.sources[source], chance.choice(_NAMES)
    key = None if chance.random() < 0.05 else f"k{chance.randrange(_KEYS):02}"
    at = world.tick - before
    roll = chance.random()
    if roll < 0.15 and rows:
        remove_row(world, source, chance.choice(rows).key)
    elif roll < 0.2:
        rows.append(SourceRow(key, name, at))
    else:
        rows[:] = [row for row in rows if row.key != key]
        rows.append(SourceRow(key, name, _moment(world, source, at)))
    for row, times in Counter(rows).items():
        world.ever[source, row] = max(times, world.ever.get((source, row), 0))
    world.changed_at[source] = world.loop.time()


def remove_row(world: World, source: str, key: str | None) -> None:
    """Have the rows of a key go."""
    rows = world.sources[source]
    rows[:] = [row for row in rows if row.key != key]
    world.changed_at[source] = world.loop.time()


def _moment(world: World, source: str, at: int) -> int | None:
    """What a row says of when it was changed: it may be committed late."""
    roll = world.chance.random()
    if roll < 0.03:
        return None
    late = world.chance.randint(0, world.lateness[source])
    return at - late if roll < 0.4 else at
