"""The Planasonix contract: dead letters, listed, counted, resolved, replayed."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field, field_validator

from tailrace.core.ids import DeadLetterId, RunId, SyncId
from tailrace.events.run_events import run_queued
from tailrace.store.database import Connection
from tailrace.store.dead_letters import OWN_WORDS, DeadLetter, LetterFilter, LetterState, Resolution
from tailrace.store.replays import ReplayRequest
from tailrace.store.tokens import Role
from tailrace_gateway.answers import DeadLetter as LetterAnswer
from tailrace_gateway.answers import DeadLetterStats, ResolvedLetters
from tailrace_gateway.calls import Answer, Call, Change, Route
from tailrace_gateway.envelopes import One, Page
from tailrace_gateway.listings import paged
from tailrace_gateway.models import Body, Moment, NoBody, NoQuery, Query
from tailrace_gateway.paging import After, PagedQuery
from tailrace_gateway.problems import Fault, Unprocessable
from tailrace_gateway.repeats import once_by_key
from tailrace_gateway.sync_bodies import Id
from tailrace_gateway.wire import Item, item, one, seconds

LETTERS_AT_ONCE = 1000

_DLQ = "/api/reverse-etl/dlq"


class LettersQuery(PagedQuery):
    """Which dead letters to list."""

    sync_id: Id | None = None
    resolved: bool = False


class StatsQuery(Query):
    """Which dead letters to count."""

    sync_id: Id | None = None
    since: Moment | None = None


class ResolveLetters(Body):
    """Dead letters that need no more attention, or that a run is to try again."""

    entry_ids: Annotated[tuple[Id, ...], Field(min_length=1, max_length=LETTERS_AT_ONCE)]
    resolution: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9_.-]{1,64}$",
            description="`skipped` leaves the row out until it changes, or the letter is past its 90 days; "
            "by any other word the next run sends it again",
        ),
    ]
    replay: bool | None = False

    @field_validator("resolution")
    @classmethod
    def _is_not_ours(cls, word: str) -> str:
        if word in OWN_WORDS:
            raise ValueError("is a word of Tailrace's own: say why in another one, such as fixed_upstream or skipped")
        return word


async def list_letters(call: Call[NoBody, LettersQuery]) -> Answer:
    """The workspace's dead letters, newest first."""

    async def find(*, after: After | None, limit: int) -> Sequence[DeadLetter]:
        which = LetterFilter(await _known_sync(call, call.query.sync_id), call.query.resolved)
        return await call.stores.dead_letters.list(call.identity.workspace_id, which, after=after, limit=limit)

    return Answer(await paged(call, "dlq", find, place=lambda each: (each.first_seen_at, each.id), shown=letter_item))


async def letter_stats(call: Call[NoBody, StatsQuery]) -> Answer:
    """How many dead letters there are, the open ones by code."""
    sync_id = await _known_sync(call, call.query.sync_id)
    stats = await call.stores.dead_letters.stats(call.identity.workspace_id, sync_id=sync_id, since=call.query.since)
    attributes = {
        "open_count": stats.open_count,
        "resolved_count": stats.resolved_count,
        "by_error_code": dict(stats.by_error_code),
        "computed_at": seconds(stats.computed_at),
    }
    return Answer(one(item("reverse_etl_dlq_stats", None, attributes)))


async def resolve_letters(call: Call[ResolveLetters, NoQuery]) -> Answer:
    """Resolve all of the letters or none; with `replay`, hand them to a run of each sync, whose deliveries do."""
    ids = [DeadLetterId(entry_id) for entry_id in call.body.entry_ids]
    if len(set(ids)) < len(ids):
        raise Unprocessable([Fault("/entryIds", "repeated", "names an entry more than once")])
    act = _replay if call.body.replay else _resolve

    async def act_on_all(connection: Connection) -> Answer:
        outcome, change = await act(call, connection, ids)
        return Answer(one(item("reverse_etl_dlq_resolve", None, outcome)), change=change)

    return await once_by_key(call, act_on_all)


DEAD_LETTERS = (
    Route(
        "GET",
        _DLQ,
        Role.VIEWER,
        list_letters,
        "List dead letters",
        operation_id="listDeadLetters",
        answer=Page[LetterAnswer],
        query=LettersQuery,
    ),
    Route(
        "GET",
        f"{_DLQ}/stats",
        Role.VIEWER,
        letter_stats,
        "Count dead letters",
        operation_id="countDeadLetters",
        answer=One[DeadLetterStats],
        query=StatsQuery,
    ),
    Route(
        "POST",
        f"{_DLQ}/resolve",
        Role.EDITOR,
        resolve_letters,
        "Resolve dead letters",
        operation_id="resolveDeadLetters",
        answer=One[ResolvedLetters],
        body=ResolveLetters,
    ),
)


async def _resolve(
    call: Call[ResolveLetters, NoQuery], connection: Connection, ids: list[DeadLetterId]
) -> tuple[dict[str, Any], Change | None]:
    resolution = Resolution(call.body.resolution, call.identity.name)
    resolved, at = await call.stores.dead_letters.resolve(connection, call.identity.workspace_id, ids, resolution)
    did = _dealt_with(list(resolved), [], seconds(at)) | {"resolution": resolution.reason}
    return _dealt_with(ids, [], seconds(at)), Change(resolved[0], None, did) if resolved else None


async def _replay(
    call: Call[ResolveLetters, NoQuery], connection: Connection, ids: list[DeadLetterId]
) -> tuple[dict[str, Any], Change]:
    request = ReplayRequest(call.identity.workspace_id, ids, call.identity.name)
    runs = await call.stores.replays.start(connection, request, run_queued)
    outcome = _dealt_with(ids, [run.run_id for run in runs], seconds(runs[0].queued_at))
    return outcome, Change(runs[0].run_id, None, outcome | {"resolution": call.body.resolution})


def _dealt_with(ids: list[DeadLetterId], run_ids: list[RunId], moment: str | None) -> dict[str, Any]:
    return {
        "resolved_ids": ids,
        "replaying_ids": ids if run_ids else [],
        "replay_run_id": run_ids[0] if run_ids else None,
        "replay_run_ids": run_ids,
        "resolved_at": moment,
    }


async def _known_sync(call: Call[Any, Any], sync_id: str | None) -> SyncId | None:
    if sync_id is None:
        return None
    await call.stores.syncs.require_known(call.identity.workspace_id, sync_id)
    return SyncId(sync_id)


def letter_item(letter: DeadLetter) -> Item:
    """A dead letter in the contract's envelope."""
    attributes = {
        "sync_id": letter.sync_id,
        "run_id": letter.run_id,
        "error_code": letter.error_code,
        "message": letter.message,
        "record_keys": dict(letter.record_keys),
        "attempts": letter.attempts,
        "first_seen_at": seconds(letter.first_seen_at),
        "last_seen_at": seconds(letter.last_seen_at),
        "resolved": letter.state is LetterState.RESOLVED,
        "state": letter.state,
        "resolution": letter.resolution,
        "resolved_at": seconds(letter.resolved_at),
        "replay_run_id": letter.replay_run_id,
    }
    return item("reverse_etl_dlq_entry", letter.id, attributes)
