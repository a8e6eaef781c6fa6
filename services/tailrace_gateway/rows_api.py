"""Management: what happened to a single row, and which rows a run refused."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal, TypeAlias

import orjson
from pydantic import Field

from tailrace.core.rows import Operation, RowKey
from tailrace.core.settlements import dedupe_key, dedupe_key_of_duplicate
from tailrace.core.snapshots import Entry
from tailrace.core.syncs import SyncDefinition, SyncMode
from tailrace.pipeline.map_fields import DUPLICATE_KEY
from tailrace.store.dead_letters import DeadLetter, LetterFilter
from tailrace.store.runs import RunFilter
from tailrace.store.syncs import Sync
from tailrace.store.tokens import Role
from tailrace_gateway.answers import DeadLetterAttributes
from tailrace_gateway.auth import require_role
from tailrace_gateway.calls import Answer, Call, Route
from tailrace_gateway.envelopes import Count, Item, One, PageMeta, RunWord, Seconds, Told
from tailrace_gateway.listings import paged
from tailrace_gateway.models import NoBody, Query
from tailrace_gateway.paging import PagedQuery
from tailrace_gateway.planasonix_dlq import letter_item
from tailrace_gateway.planning import SAMPLE_LIMIT_BYTES
from tailrace_gateway.problems import Fault, Unprocessable
from tailrace_gateway.row_reading import Comparison, RowNow, fields_of, look_at_source
from tailrace_gateway.row_states import RowState, last_known_delivery, notes_on, notes_on_source, state_of
from tailrace_gateway.run_views import last_run
from tailrace_gateway.standings import standings_of
from tailrace_gateway.stores import Stores
from tailrace_gateway.wire import item, one, seconds

LETTERS_SHOWN = 50
DUPLICATES_LOOKED_FOR = 20

KeyText = Annotated[str, Field(max_length=4096)]


class RowQuery(Query):
    """Which row: the text of its key; for a key of several columns a JSON array of their texts.

    With `compare` the source is asked for the row as it is now: as a query to the warehouse, that is for editors.
    """

    key: KeyText
    compare: bool = False


class RejectedQuery(PagedQuery):
    """Which of the rows that a run refused."""

    key: KeyText | None = None
    code: Annotated[str, Field(min_length=1, max_length=64)] | None = None


class DeliveredVersion(Told):
    """The version that was delivered last.

    `by_run` is the run that delivered it, null where several may have; then it was `by_run_at_latest` or one before.
    Both are null where the row has not been delivered since what is known was imported.
    """

    version: str
    by_run: str | None
    by_run_at_latest: str | None
    last_known_delivery_at: Seconds | None


class RowLetter(DeadLetterAttributes):
    """A dead letter of the row; `version` is null where it does not tell one."""

    id: str
    version: str | None
    duplicate: bool


class RowSource(Told):
    """The row as it would be sent now, beside what was delivered; looked at when the answer was made.

    `sends` is what the next run sends of it: null for nothing, and where a cursor decides. `code` and `message` tell
    why it cannot be sent. `fields` are null where they are too large to show.
    """

    comparison: Annotated[
        Comparison,
        Field(
            description="`not_kept`: what was delivered of the row is not kept; `absent`: the query has no such row."
        ),
    ]
    sends: Operation | None
    version: str | None
    fields: dict[str, Any] | None
    code: str | None
    message: str | None


class RowLastRun(Told):
    """The newest run. `passed` tells whether it has come past this key; null for a replay."""

    id: str
    status: RunWord
    started_at: Seconds | None
    finished_at: Seconds | None
    passed: bool | None


class RowAttributes(Told):
    """What is known of a row, and in `notes` what is not."""

    sync_id: str
    sync_mode: SyncMode
    key: dict[str, str]
    state: Annotated[RowState, Field(description="`unknown`: neither delivered nor refused, as far as is kept.")]
    delivered: DeliveredVersion | None
    letters: list[RowLetter]
    last_run: RowLastRun | None
    source: Annotated[RowSource | None, Field(description="Null where `compare` was not asked for.")]
    notes: list[str]


class RejectedMeta(PageMeta):
    """`rejected` is what the books of the run say: a row that a later run refused again is listed with that run."""

    rejected: Count


class RejectedRows(Told):
    """A page of rows that a run refused."""

    data: list[Item[Literal["reverse_etl_dlq_entry"], DeadLetterAttributes]]
    meta: RejectedMeta


Row: TypeAlias = Item[Literal["row"], RowAttributes]


async def find_row(call: Call[NoBody, RowQuery]) -> Answer:
    """What happened to one row: the version delivered last, its dead letters, and how far the last run got.

    With `compare`, which needs the role editor, also whether what would be sent now is what was delivered last. What
    the destination did with the row after it had accepted it is not known here.
    """
    if call.query.compare:
        require_role(call.identity, Role.EDITOR, for_what="compare")
    stores, workspace_id = call.stores, call.identity.workspace_id
    sync = await call.sync()
    key = row_key(sync.definition, call.query.key)
    known = await _known(stores, sync, key)
    letters = await stores.dead_letters.list(workspace_id, _letters_of(sync, key), limit=LETTERS_SHOWN)
    runs = await stores.runs.list(workspace_id, RunFilter(sync_id=sync.id), limit=1)
    run = runs[0] if runs else None
    passed = None if run is None or sync.definition.cursor else await stores.standings.passed(run, key)
    state = state_of(known, letters)
    found = await _look(stores, sync, key, known) if call.query.compare else None
    attributes = {
        "sync_id": sync.id,
        "sync_mode": sync.definition.sync_mode,
        "key": dict(zip(sync.definition.key_columns, key, strict=True)),
        "state": state,
        "delivered": await _delivered(stores, sync, known, letters),
        "letters": [_letter(letter) for letter in letters],
        "last_run": None if run is None else last_run(run) | {"passed": passed},
        "source": None if found is None else _source(found),
        "notes": [
            *notes_on(state, sync.definition, run, passed=passed),
            *([] if found is None else notes_on_source(found.comparison, sync.definition, run)),
        ],
    }
    return Answer(one(item("row", "/".join(key)[:256], attributes)))


async def list_rejected(call: Call[NoBody, RejectedQuery]) -> Answer:
    """The rows that a run refused last, newest first, by key or code."""
    stores, query, workspace_id = call.stores, call.query, call.identity.workspace_id
    run = await call.run()
    definition = await stores.syncs.definition(run.sync_id, run.sync_version)
    wanted = None if query.key is None else row_key(definition, query.key)
    which = LetterFilter(resolved=None, run_id=run.id, error_code=query.code, row_key=wanted)
    name, find = f"rejected/{run.id}", partial(stores.dead_letters.list, workspace_id, which)
    listed = await paged(call, name, find, place=lambda each: (each.first_seen_at, each.id), shown=letter_item)
    listed["meta"]["rejected"] = run.books.failed
    return Answer(listed)


ROWS = (
    Route(
        "GET",
        "/api/syncs/{sync_id}/row",
        Role.VIEWER,
        find_row,
        "Tell what happened to a row",
        operation_id="findRow",
        answer=One[Row],
        query=RowQuery,
        errors=(403, 424),
    ),
    Route(
        "GET",
        "/api/runs/{run_id}/rejected",
        Role.VIEWER,
        list_rejected,
        "List the rows that a run refused",
        operation_id="listRejectedRows",
        answer=RejectedRows,
        query=RejectedQuery,
    ),
)


def row_key(definition: SyncDefinition, text: str) -> RowKey:
    """The key that a text means for a sync.

    :raises Unprocessable: it has no key columns, or several, and the text is no JSON array of as many texts.
    """
    columns = definition.key_columns
    if not columns:
        raise Unprocessable([Fault.at_parameter("key", "key", "rows of this sync have no key to find them by")])
    if len(columns) == 1:
        return RowKey((text,))
    try:
        parts = orjson.loads(text)
    except orjson.JSONDecodeError:
        parts = None
    if not isinstance(parts, list) or len(parts) != len(columns) or not all(isinstance(part, str) for part in parts):
        detail = f"give a JSON array with the text of each key column: {', '.join(columns)}"
        raise Unprocessable([Fault.at_parameter("key", "key", detail)])
    return RowKey(tuple(parts))


async def _known(stores: Stores, sync: Sync, key: RowKey) -> Entry | None:
    async with standings_of(stores, sync.id) as standings:
        if sync.definition.cursor is not None:
            return await standings.of_row_by_cursor(sync.id, sync.version, key)
        return await standings.of_row(sync.id, key)


def _letters_of(sync: Sync, key: RowKey) -> LetterFilter:
    """The letters of a row: where rows are events or come by a cursor, all that have its key."""
    if sync.definition.cursor is not None or sync.definition.sync_mode is SyncMode.APPEND:
        return LetterFilter(sync.id, resolved=None, row_key=key)
    rows = [dedupe_key(key), *(dedupe_key_of_duplicate(key, at) for at in range(1, DUPLICATES_LOOKED_FOR + 1))]
    return LetterFilter(sync.id, resolved=None, rows=rows)


async def _delivered(
    stores: Stores, sync: Sync, known: Entry | None, letters: Sequence[DeadLetter]
) -> dict[str, Any] | None:
    if known is None or known.delivered is None:
        return None
    by, at_latest = await stores.standings.delivered_by(sync.id, known)
    return {
        "version": known.delivered.hex(),
        "by_run": by,
        "by_run_at_latest": at_latest,
        "last_known_delivery_at": seconds(last_known_delivery(letters)),
    }


async def _look(stores: Stores, sync: Sync, key: RowKey, known: Entry | None) -> RowNow:
    """The row in the source, beside what the next run will know of it."""
    is_kept = await stores.standings.speaks_of(sync.id, sync.version)
    return await look_at_source(stores, sync, key, known if is_kept else None)


def _source(found: RowNow) -> dict[str, Any]:
    mapped = found.mapped
    problem = None if mapped is None else mapped.problem
    is_shown = mapped is not None and len(mapped.row.body) <= SAMPLE_LIMIT_BYTES
    return {
        "comparison": found.comparison,
        "sends": found.sends,
        "version": None if mapped is None else mapped.row.row_hash.hex(),
        "fields": fields_of(mapped.row.body) if mapped is not None and is_shown else None,
        "code": None if problem is None else problem.code,
        "message": None if problem is None else problem.message,
    }


def _letter(letter: DeadLetter) -> dict[str, Any]:
    shown = letter_item(letter)
    version = None if letter.row_hash is None else letter.row_hash.hex()
    duplicate = letter.error_code == DUPLICATE_KEY
    return {"id": letter.id, **shown["attributes"], "version": version, "duplicate": duplicate}
