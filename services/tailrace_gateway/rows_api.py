"""Management: what happened to a single row, and which rows a run refused."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias

import orjson
from pydantic import Field

from tailrace.core.ids import RunId
from tailrace.core.rows import RowKey
from tailrace.core.settlements import dedupe_key, dedupe_key_of_duplicate
from tailrace.core.syncs import SyncDefinition, SyncMode
from tailrace.pipeline.map_fields import DUPLICATE_KEY
from tailrace.store.dead_letters import DeadLetter, LetterFilter
from tailrace.store.runs import Run, RunFilter
from tailrace.store.standings import Standing
from tailrace.store.syncs import Sync
from tailrace.store.tokens import Role
from tailrace_gateway.answers import DeadLetterAttributes
from tailrace_gateway.calls import Answer, Call, Route
from tailrace_gateway.envelopes import Count, Item, One, PageMeta, RunWord, Seconds, Told
from tailrace_gateway.models import NoBody, Query
from tailrace_gateway.paging import Listing, PagedQuery
from tailrace_gateway.planasonix_dlq import letter_item
from tailrace_gateway.problems import Fault, Unprocessable
from tailrace_gateway.row_states import RowState, last_known_delivery, notes_on, state_of
from tailrace_gateway.run_views import last_run
from tailrace_gateway.stores import Stores
from tailrace_gateway.wire import item, one, page, seconds

LETTERS_SHOWN = 50
DUPLICATES_LOOKED_FOR = 20

KeyText = Annotated[str, Field(min_length=1, max_length=4096)]


class RowQuery(Query):
    """Which row: the text of its key; for a key of several columns a JSON array of their texts."""

    key: KeyText


class RejectedQuery(PagedQuery):
    """Which of the rows that a run refused."""

    key: KeyText | None = None
    code: Annotated[str, Field(min_length=1, max_length=64)] | None = None


class DeliveredVersion(Told):
    """The version that was delivered last. `by_run` where a run has settled it since the last merge, else null."""

    version: str
    by_run: str | None
    last_known_delivery_at: Seconds | None


class RowLetter(DeadLetterAttributes):
    """A dead letter of the row; `version` is null where it does not tell one."""

    id: str
    version: str | None
    duplicate: bool


class RowLastRun(Told):
    """The newest run. `passed` tells whether it has settled all rows up to this key; null for a replay."""

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

    The destination is not asked; what it did with the row after it had accepted it is not known here.
    """
    stores, workspace_id = call.stores, call.identity.workspace_id
    sync = await stores.syncs.get(workspace_id, call.path["sync_id"])
    key = row_key(sync.definition, call.query.key)
    standing = await _standing(stores, sync, key)
    letters = await stores.dead_letters.list(workspace_id, _letters_of(sync, key), limit=LETTERS_SHOWN)
    runs = await stores.runs.list(workspace_id, RunFilter(sync_id=sync.id), limit=1)
    run = runs[0] if runs else None
    passed = None if run is None or sync.definition.cursor else await stores.standings.passed(run, key)
    state = state_of(standing, letters)
    attributes = {
        "sync_id": sync.id,
        "sync_mode": sync.definition.sync_mode,
        "key": dict(zip(sync.definition.key_columns, key, strict=True)),
        "state": state,
        "delivered": _delivered(standing, letters, run),
        "letters": [_letter(letter) for letter in letters],
        "last_run": None if run is None else last_run(run) | {"passed": passed},
        "notes": notes_on(state, sync.definition, run, passed=passed),
    }
    return Answer(one(item("row", "/".join(key)[:256], attributes)))


async def list_rejected(call: Call[NoBody, RejectedQuery]) -> Answer:
    """The rows that a run refused last, newest first, by key or code."""
    stores, query, workspace_id = call.stores, call.query, call.identity.workspace_id
    run = await stores.runs.get(workspace_id, RunId(call.path["run_id"]))
    definition = await stores.syncs.definition(run.sync_id, run.sync_version)
    wanted = None if query.key is None else row_key(definition, query.key)
    listing = Listing(f"rejected/{run.id}", workspace_id, query)
    after = stores.cursors.after(listing)
    which = LetterFilter(resolved=None, run_id=run.id, error_code=query.code, row_key=wanted)
    found = await stores.dead_letters.list(workspace_id, which, after=after, limit=query.limit + 1)
    shown = found[: query.limit]
    seen = [(letter.first_seen_at, letter.id) for letter in shown]
    cursor = stores.cursors.next(listing, seen, more=len(found) > query.limit)
    answer = page([letter_item(letter) for letter in shown], limit=query.limit, cursor=cursor)
    answer["meta"]["rejected"] = run.books.failed
    return Answer(answer)


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


async def _standing(stores: Stores, sync: Sync, key: RowKey) -> Standing | None:
    if sync.definition.cursor is not None:
        return await stores.standings.of_row_by_cursor(sync.id, sync.version, key)
    return await stores.standings.of_row(sync.id, key)


def _letters_of(sync: Sync, key: RowKey) -> LetterFilter:
    """The letters of a row: where rows are events or come by a cursor, all that have its key."""
    if sync.definition.cursor is not None or sync.definition.sync_mode is SyncMode.APPEND:
        return LetterFilter(sync.id, resolved=None, row_key=key)
    rows = [dedupe_key(key), *(dedupe_key_of_duplicate(key, at) for at in range(1, DUPLICATES_LOOKED_FOR + 1))]
    return LetterFilter(sync.id, resolved=None, rows=rows)


def _delivered(standing: Standing | None, letters: Sequence[DeadLetter], run: Run | None) -> dict[str, Any] | None:
    if standing is None or standing.entry.delivered is None:
        return None
    return {
        "version": standing.entry.delivered.hex(),
        "by_run": run.id if run is not None and standing.is_fresh else None,
        "last_known_delivery_at": seconds(last_known_delivery(letters)),
    }


def _letter(letter: DeadLetter) -> dict[str, Any]:
    shown = letter_item(letter)
    version = None if letter.row_hash is None else letter.row_hash.hex()
    duplicate = letter.error_code == DUPLICATE_KEY
    return {"id": letter.id, **shown["attributes"], "version": version, "duplicate": duplicate}
