"""The table of a sync in PostgreSQL: `"<schema>"."<sync id>"`, a row for each key, beside it a list of all such tables.

Each write is one statement that holds the sync's line in the list for as long as it takes, and writes nothing where the
line bears another fence. So a writer that was deposed is through before its successor begins, or comes too late.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from tailrace.connector_kit.postgres_calls import PostgresCalls
from tailrace.connector_kit.sql import quote_name
from tailrace.core.errors import SourceInvalid
from tailrace.core.rows import RowHash, RowKey, SourceHash
from tailrace.core.snapshot_tables import TABLE_LOST, SnapshotTable, TableState, table_lost
from tailrace.core.snapshots import Entry

LIST = "tailrace_snapshots"
"""The list's name in the schema."""

RIGHTS = """
SELECT pg_catalog.current_setting('server_encoding') AS encoding, nspname,
  pg_catalog.has_schema_privilege(oid, 'USAGE') AND pg_catalog.has_schema_privilege(oid, 'CREATE') AS may_create
FROM (SELECT $1::text AS wanted) AS asked LEFT JOIN pg_catalog.pg_namespace ON nspname = wanted
"""
"""Whether there is a schema of a name, and the role may make tables there."""

_MAKE_LIST = """
CREATE TABLE IF NOT EXISTS {list} (sync_id text PRIMARY KEY, fence bigint NOT NULL, writes bigint NOT NULL DEFAULT 0,
  entries bigint NOT NULL DEFAULT 0, written_at timestamptz NOT NULL DEFAULT now())
"""
_ENTER = """
INSERT INTO {list} AS known (sync_id, fence) VALUES ($1, $2)
ON CONFLICT (sync_id) DO UPDATE SET fence = excluded.fence, writes = known.writes + 1, entries = 0, written_at = now()
WHERE known.fence <= excluded.fence RETURNING fence
"""
_DROP = "DROP TABLE IF EXISTS {table}"
_MAKE = """
CREATE TABLE {table} (key text[] COLLATE "C" PRIMARY KEY, delivered bytea, dead bytea, gone boolean NOT NULL,
  written text, source bigint NOT NULL)
"""
_INDEX = "CREATE INDEX ON {table} (key) WHERE gone"
_STRIKE = "DELETE FROM {list} WHERE sync_id = $1"
_TAKE = "UPDATE {list} SET fence = $2 WHERE sync_id = $1 AND fence <= $2 RETURNING fence"
_CHECK = "SELECT fence, writes, entries, (SELECT count(*) FROM {table}) AS counted FROM {list} WHERE sync_id = $1"
# The line is locked before a row is written: rows are written for each that the lock gives, and that is one or none.
_HELD = "WITH held AS MATERIALIZED (SELECT sync_id FROM {list} WHERE sync_id = $1 AND fence = $2 FOR UPDATE)"
_WRITE = """{held}, removed AS (
  DELETE FROM {table} AS known USING held, unnest({dead}) AS fresh ({parts}) WHERE known.key = ARRAY[{parts}]
  RETURNING 1
), put AS (
  INSERT INTO {table} AS known (key, delivered, dead, gone, written, source)
  SELECT ARRAY[{parts}], delivered, dead, gone, written, source
  FROM held, unnest({live}, {columns}) AS fresh ({parts}, delivered, dead, gone, written, source)
  ON CONFLICT (key) DO UPDATE SET delivered = excluded.delivered, dead = excluded.dead, gone = excluded.gone,
    written = excluded.written, source = excluded.source
  RETURNING xmax = 0 AS is_new
)
UPDATE {list} AS known SET writes = writes + 1, written_at = now(), entries = entries
  + (SELECT count(*) FROM put WHERE is_new) - (SELECT count(*) FROM removed)
FROM held WHERE known.sync_id = held.sync_id RETURNING known.fence, writes, entries
"""
_FORGET = """{held}, removed AS (
  DELETE FROM {table} USING held WHERE $3::text IS NULL OR key < ARRAY[$3] RETURNING 1
)
UPDATE {list} AS known SET writes = writes + 1, written_at = now(), entries = entries - (SELECT count(*) FROM removed)
FROM held WHERE known.sync_id = held.sync_id RETURNING known.fence, writes, entries
"""
_COLUMNS = "key, delivered, dead, gone, written, source"
_ENTRIES = (
    f"SELECT {_COLUMNS}"  # noqa: S608 - names of our own
    """ FROM {table}
WHERE ($1::text[] IS NULL OR key > $1) AND ($2::text[] IS NULL OR key <= $2) {gone} ORDER BY key LIMIT $3
"""
)
_ENTRIES_OF = (
    f"SELECT {_COLUMNS}"  # noqa: S608 - names of our own
    """ FROM {table} JOIN unnest({places}) AS wanted ({parts}) ON key = ARRAY[{parts}] ORDER BY key
"""
)
_CENSUS = "SELECT count(delivered) AS delivered, count(*) FILTER (WHERE gone) AS gone FROM {table}"
_CUTS = """
SELECT max(key) AS key FROM (SELECT key, ntile($1) OVER (ORDER BY key) AS part FROM {table}) AS parted
GROUP BY part ORDER BY part
"""


class PostgresSnapshot(SnapshotTable):
    """The table of one sync."""

    def __init__(self, calls: PostgresCalls, schema: str, sync_id: str) -> None:
        self._calls = calls
        self._sync_id = sync_id
        self._schema = schema
        names = {"list": f"{quote_name(schema)}.{quote_name(LIST)}"}
        names["table"] = f"{quote_name(schema)}.{quote_name(sync_id)}"
        self._names = names | {"held": _HELD.format(**names)}

    async def make(self, fence: int) -> bool:
        [rights] = await self._calls.ask(RIGHTS, (self._schema,))
        require_rights(self._schema, rights)
        a_list = self._sql(_MAKE_LIST), ()
        entered = self._sql(_ENTER), (self._sync_id, fence)
        with suppress(SourceInvalid):  # it may be made for another sync just now
            await self._calls.do_all([a_list])
        made = [(self._sql(each), ()) for each in (_DROP, _MAKE, _INDEX)]
        try:
            return await self._calls.do_all([a_list, entered, *made])
        except SourceInvalid as error:
            if error.code != TABLE_LOST:
                raise
            told = f"the server makes no table for snapshots in {self._schema}: {error.__cause__}"
            raise SourceInvalid(told, code="SNAPSHOT_SCHEMA") from error

    async def take(self, fence: int) -> bool:
        return bool(await self._calls.ask(self._sql(_TAKE), (self._sync_id, fence)))

    async def check(self) -> TableState:
        found = await self._calls.ask(self._sql(_CHECK), (self._sync_id,))
        if not found:
            raise table_lost(f"it is not in {self._schema}.{LIST}")
        [state] = found
        if state["counted"] != state["entries"]:
            raise table_lost(f"it has {state['counted']} rows, and {state['entries']} were written")
        return TableState(state["fence"], state["writes"], state["entries"])

    async def write(self, fence: int, entries: Sequence[Entry]) -> TableState | None:
        live = [entry for entry in entries if not entry.is_tombstone]
        dead = [entry for entry in entries if entry.is_tombstone]
        width = len(entries[0].key)
        at = 3
        sql = self._sql(
            _WRITE,
            parts=_parts(width),
            dead=_places(at, ["text"] * width),
            live=_places(at + width, ["text"] * width),
            columns=_places(at + 2 * width, ["bytea", "bytea", "boolean", "text", "bigint"]),
        )
        columns = (
            [entry.delivered for entry in live],
            [entry.dead for entry in live],
            [entry.is_gone for entry in live],
            [None if entry.written is None else entry.written.decode() for entry in live],
            [entry.source for entry in live],
        )
        arguments = (self._sync_id, fence, *_columns_of(dead, width), *_columns_of(live, width), *columns)
        return _state(await self._calls.ask(sql, arguments))

    async def forget(self, fence: int, *, before: str | None = None) -> TableState | None:
        return _state(await self._calls.ask(self._sql(_FORGET), (self._sync_id, fence, before)))

    async def entries(self, *, after: RowKey | None, until: RowKey | None, gone: bool, most: int) -> Sequence[Entry]:
        bounds = [None if key is None else list(key) for key in (after, until)]
        sql = self._sql(_ENTRIES, gone="AND gone" if gone else "")
        return [_entry(record) for record in await self._calls.ask(sql, (*bounds, most))]

    async def entries_of(self, keys: Sequence[RowKey]) -> Sequence[Entry]:
        if not keys:
            return []
        width = len(keys[0])
        sql = self._sql(_ENTRIES_OF, parts=_parts(width), places=_places(1, ["text"] * width))
        columns = tuple([key[part] for key in keys] for part in range(width))
        return [_entry(record) for record in await self._calls.ask(sql, columns)]

    async def census(self) -> tuple[int, int]:
        [counted] = await self._calls.ask(self._sql(_CENSUS), ())
        return counted["delivered"], counted["gone"]

    async def cuts(self, parts: int) -> Sequence[RowKey]:
        found = await self._calls.ask(self._sql(_CUTS), (parts,))
        return [RowKey(tuple(record["key"])) for record in found[:-1]]

    async def drop(self) -> None:
        await self._calls.ask(self._sql(_DROP), ())
        with suppress(SourceInvalid):  # there is no list where no table ever was
            await self._calls.ask(self._sql(_STRIKE), (self._sync_id,))

    def _sql(self, template: str, **names: str) -> str:
        return template.format(**self._names, **names)


def require_schema(schema: str | None) -> str:
    """The schema that the settings name.

    :raises SourceInvalid: `SNAPSHOT_SCHEMA`: they name none.
    """
    if schema is None:
        told = "the source names no snapshot_schema: set it to a schema where its role may make tables"
        raise SourceInvalid(told, code="SNAPSHOT_SCHEMA")
    return schema


def require_rights(schema: str, rights: Any) -> None:  # noqa: ANN401 - a record of the driver
    """Return if tables for snapshots can be made.

    :raises SourceInvalid: `SNAPSHOT_SCHEMA`, with what to do about it.
    """
    name = quote_name(schema)
    if rights["nspname"] is None:
        told = f"there is no schema {schema}: CREATE SCHEMA {name}, and GRANT USAGE, CREATE ON it to the source's role"
    elif not rights["may_create"]:
        told = f"the role may make no tables in {schema}: GRANT USAGE, CREATE ON SCHEMA {name} TO the source's role"
    elif rights["encoding"] != "UTF8":
        told = f"the database is encoded in {rights['encoding']}: snapshots are kept in databases of UTF8 alone"
    else:
        return
    raise SourceInvalid(told, code="SNAPSHOT_SCHEMA")


def _entry(record: Any) -> Entry:  # noqa: ANN401 - a record of the driver
    key, delivered, dead, gone, written, source = record
    return Entry(
        RowKey(tuple(key)),
        None if delivered is None else RowHash(delivered),
        None if dead is None else RowHash(dead),
        gone,
        None if written is None else written.encode(),
        SourceHash(source),
    )


def _state(found: Sequence[Any]) -> TableState | None:
    return TableState(*found[0]) if found else None


def _columns_of(entries: Sequence[Entry], width: int) -> tuple[list[str], ...]:
    return tuple([entry.key[part] for entry in entries] for part in range(width))


def _parts(width: int) -> str:
    return ", ".join(f"part{number}" for number in range(width))


def _places(first: int, types: Sequence[str]) -> str:
    return ", ".join(f"${number}::{name}[]" for number, name in enumerate(types, first))
