"""What must hold, told from what the ends of a story have seen."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import orjson

from tailrace.core.ids import RunId
from tailrace.core.rows import RowKey
from tailrace.core.runs import RunKind, RunStatus
from tailrace.core.settlements import dedupe_key
from tailrace.core.snapshots import hash_row
from tailrace.core.syncs import SyncDefinition, SyncMode
from tailrace.events.models import BatchCompleted, RunFinished
from tailrace.store.dead_letters import SKIPPED
from tests.simulation.cast import WINDOW_ROWS
from tests.simulation.destination import is_bad
from tests.simulation.loop import START
from tests.simulation.rows import SourceRow, value_of
from tests.simulation.tables import LetterRecord, RunRecord, SyncRecord
from tests.simulation.world import SLOWEST_CALL_S, Request, Sent, World

TOKEN_KEPT_S = 1.0
"""How long a token may lie before it is used."""

_LONG_AGO = 1_000_000


def body_of(world: World, definition: SyncDefinition, row: SourceRow) -> bytes:
    """A row as the destination is to have it."""
    values = {"id": row.key, "name": row.name, "at": value_of(world.kinds[definition.source_id], row.at)}
    return orjson.dumps(
        {
            field.destination: values[field.source] if field.source else field.value
            for field in definition.field_mappings
        }
    )


def place_of(definition: SyncDefinition) -> str:
    """The table that a sync writes to."""
    return f"{definition.destination_id}.{definition.object_name}"


def first_rows(world: World, definition: SyncDefinition) -> dict[str, SourceRow]:
    """The row of each key that counts: the first of several, by a cursor the first of those with the latest moment."""
    rows: dict[str, SourceRow] = {}
    for row in sorted(world.sources[definition.source_id], key=lambda row: row.tie):
        if row.key is None or (definition.cursor and row.at is None):
            continue
        known = rows.setdefault(row.key, row)
        if definition.cursor and _moment(row) > _moment(known):
            rows[row.key] = row
    return rows


def sends_all(world: World, request: Request) -> bool:
    """Whether it is of a sync that sends all rows in each run."""
    return request.tells_events and not world.definition_of(request.run_id).cursor


def _moment(row: SourceRow) -> int:
    return -_LONG_AGO if row.at is None else row.at


def check_end(world: World, run: RunRecord) -> None:
    """What must hold at the moment at which a run succeeds: nothing is lost, the books balance."""
    left = [shard.number for shard in run.shards if shard.state != "done"]
    if left:
        world.breach(f"ends: {run.id} has ended as {run.status}, its shards {left} have not")
    if run.status is not RunStatus.SUCCEEDED:
        return
    definition = world.definition_of(run.id)
    if not run.books.balance:
        world.breach(f"books: {run.id} does not balance: {run.books}")
    queued_s = (run.queued_at - START - world.database_ahead).total_seconds()
    if run.kind is RunKind.REPLAY or world.changed_at.get(definition.source_id, 0.0) >= queued_s or world.has_jumped:
        return
    if not definition.cursor and run.books.read != len(world.sources[definition.source_id]):
        world.breach(f"books: {run.id} read {run.books.read} rows of {len(world.sources[definition.source_id])}")
    lost = _lost_events if definition.sync_mode is SyncMode.APPEND else _lost
    for told in lost(world, run, definition):
        world.breach(f"lost: {run.id} succeeded, {told}")


def _lost(world: World, run: RunRecord, definition: SyncDefinition) -> Iterator[str]:
    came = {(sent.key, sent.body) for request in world.requests for sent in _taken(request, definition)}
    keys = {key for key, _ in came}
    buried = _buried(world, run, definition)
    dead = {letter.dedupe_key for letter in buried}
    versions = {_event(letter.payload) for letter in buried} if definition.cursor else set()
    for key, row in first_rows(world, definition).items():
        body = body_of(world, definition, row)
        is_once = definition.sync_mode in {SyncMode.INSERT, SyncMode.DELETE}
        has_come = key in keys if is_once else (key, body) in came
        is_dead = _event(body) in versions if definition.cursor else dedupe_key(RowKey((key,))) in dead
        if not has_come and not is_dead:
            yield f"and {row} neither came nor is it a dead letter"


def _lost_events(world: World, run: RunRecord, definition: SyncDefinition) -> Iterator[str]:
    """Each event has come as often as it is there: by a cursor in this run or before, otherwise in this run."""
    came = Counter(
        _event(sent.body)
        for request in world.requests
        if definition.cursor or request.run_id == run.id
        for sent in _taken(request, definition)
    )
    dead = Counter(_event(letter.payload) for letter in _buried(world, run, definition))
    rows = world.sources[definition.source_id]
    if definition.key_columns and not definition.cursor:
        rows = list(first_rows(world, definition).values())
    elif definition.key_columns:
        rows = [*{(row.key, row.at): row for row in sorted(rows, key=lambda row: row.tie, reverse=True)}.values()]
    wanted = Counter(
        _event(body_of(world, definition, row))
        for row in rows
        if (row.key is not None or not definition.key_columns) and (row.at is not None or not definition.cursor)
    )
    for event, times in wanted.items():
        if came[event] + dead[event] < times:
            yield f"and {event} came {came[event]} times of {times}"


def _event(body: bytes) -> tuple[object, ...]:
    """What an event is known by, whichever version of the sync sent it."""
    row = orjson.loads(body)
    return row["id"], row["name"], row["at"]


def _buried(world: World, run: RunRecord, definition: SyncDefinition) -> Sequence[LetterRecord]:
    """Letters that account for a row; by a cursor also those that somebody closed: the row is not read again."""
    return [
        letter
        for letter in world.store.tables.letters
        if letter.sync_id == run.sync_id
        and (
            definition.cursor
            or letter.resolved_at is None
            or letter.resolved_at >= run.queued_at
            or letter.resolution == SKIPPED
        )
    ]


def _taken(request: Request, definition: SyncDefinition) -> Sequence[Sent]:
    return request.applied if request.place == place_of(definition) else ()


def check_all(world: World) -> None:
    """What must hold of all that was ever sent and written."""
    by_run: dict[RunId, list[Request]] = {run_id: [] for run_id in world.store.tables.runs}
    for request in world.requests:
        by_run[request.run_id].append(request)
    for run in world.store.tables.runs.values():
        sent = by_run[run.id]
        for told in (*_repeats(world, run, sent), *_books(world, run, sent), *_out_of_order(world, run, sent)):
            world.breach(told)
    for told in (*_invented(world), *_zombies(world), *_early(world), *_events(world), *_limits(world)):
        world.breach(told)


def _repeats(world: World, run: RunRecord, requests: Sequence[Request]) -> Iterator[str]:
    definition = world.definition_of(run.id)
    taken = Counter(sent for request in requests for sent in request.applied)
    alike = Counter[bytes]()
    if not definition.key_columns:
        for (source, row), times in world.ever.items():
            if source == definition.source_id:
                alike[body_of(world, definition, row)] = times
    repeated = sum(max(0, times - max(1, alike[sent.body])) for sent, times in taken.items())
    doubtful = sum(len(request.rows) for request in requests if request.is_in_doubt)
    epochs = [shard.epoch for shard in run.shards]
    allowed = sum(max(0, epoch - 1) for epoch in epochs) * WINDOW_ROWS + doubtful
    if repeated > allowed:
        yield f"repeats: {repeated} rows of {run.id} came again, {allowed} may (epochs {epochs}, in doubt {doubtful})"


def _out_of_order(world: World, run: RunRecord, requests: Sequence[Request]) -> Iterator[str]:
    """Versions of a key come in the order of the cursor, as far as they come for the first time."""
    definition = world.definition_of(run.id)
    if not definition.cursor or not definition.key_columns or run.kind is RunKind.REPLAY:
        return
    newest: dict[str, object] = {}
    seen: set[Sent] = set()
    for request in sorted(requests, key=lambda request: request.ended_at or 0.0):
        for sent in request.applied:
            at = orjson.loads(sent.body)["at"]
            if sent not in seen and sent.key in newest and at < newest[sent.key]:
                yield f"order: {run.id} sent {sent} behind {newest[sent.key]}"
            seen.add(sent)
            newest[sent.key] = max(at, newest.get(sent.key, at))


def _books(world: World, run: RunRecord, requests: Sequence[Request]) -> Iterator[str]:
    definition = world.definition_of(run.id)
    sent_rows = [sent for request in requests for sent in request.applied]
    # Rows without a key may be alike, and by a cursor so are the deletes of several versions.
    may_be_alike = not definition.key_columns or (definition.cursor and definition.sync_mode is SyncMode.DELETE)
    came = sent_rows if may_be_alike else {*sent_rows}
    if run.books.delivered > len(came):
        yield f"books: {run.id} counts {run.books.delivered} delivered, {len(came)} rows came"
    if not run.status.is_terminal:
        yield f"ends: {run.id} is {run.status} at the end"


def _invented(world: World) -> Iterator[str]:
    sources = {
        (place_of(definition), definition.source_id)
        for sync in world.store.tables.syncs.values()
        for definition in sync.versions.values()
    }
    source_of = dict(sources)
    known = {(source, row.key, row.name) for source, row in world.ever}
    for request in world.requests:
        for sent in request.applied:
            row = orjson.loads(sent.body)
            if row == {"id": sent.key}:
                continue
            is_keyed = bool(world.definition_of(request.run_id).key_columns)
            if (source_of[request.place], row["id"], row["name"]) not in known or (is_keyed and row["id"] != sent.key):
                yield f"invented: {sent} came to {request.place} and never was in its source"


def _zombies(world: World) -> Iterator[str]:
    """The database's clock decides whom the lease belongs to; where it jumps, the one overtaken may not know yet."""
    if world.has_jumped:
        return
    for request in world.requests:
        if not request.is_current:
            yield f"fencing: a request of {request.run_id} left under epoch {request.epoch}, which was over"


def _early(world: World) -> Iterator[str]:
    """A row that one executor does not see may be another's."""
    for request in world.requests:
        if request.is_early:
            yield f"deletes: {request.run_id} deleted before all of its shards were read"


def _events(world: World) -> Iterator[str]:
    progress: dict[str, list[BatchCompleted]] = {}
    ends: dict[str, list[RunFinished]] = {}
    for told in world.store.tables.outbox:
        if told.event.type == BatchCompleted.type:
            completed = BatchCompleted.model_validate_json(told.event.data)
            progress.setdefault(completed.run_id, []).append(completed)
        elif told.event.type == RunFinished.type:
            finished = RunFinished.model_validate_json(told.event.data)
            ends.setdefault(finished.run_id, []).append(finished)
    for run in world.store.tables.runs.values():
        parts = progress.get(run.id, [])
        for shard in run.shards:
            told_of = [part.seq for part in parts if part.shard == shard.number]
            if told_of != list(range(1, shard.checkpoint_seq + 1)):
                yield f"events: {run.id}/{shard.number} has {shard.checkpoint_seq} checkpoints, told of are {told_of}"
        if sum(part.read for part in parts) != run.books.read:
            yield f"events: {run.id} read {run.books.read} rows, events tell of {sum(part.read for part in parts)}"
        if [(end.read, end.delivered) for end in ends.get(run.id, ())] != [(run.books.read, run.books.delivered)]:
            yield f"events: {run.id} is {run.status} with {run.books}, and its end was told as {ends.get(run.id)}"


def _limits(world: World) -> Iterator[str]:
    """A process that was frozen uses its tokens late, and a clock that jumps gives more."""
    if world.has_jumped or world.freezes:
        return
    bounds = world.bounds
    for place, (rate, most) in bounds.items():
        sent = [request for request in world.requests if request.place.startswith(f"{place}.")]
        if rate is not None:
            yield from _too_fast([request.at for request in sent], rate)
        if most is not None:
            yield from _too_many(sent, most)


def _too_fast(times: Sequence[float], rate: float) -> Iterator[str]:
    burst = max(1, int(rate / 4)) + rate * (TOKEN_KEPT_S + SLOWEST_CALL_S)
    for at, begin in enumerate(times):
        for until in range(at, min(at + 40, len(times))):
            if until - at + 1 > rate * (times[until] - begin) + burst:
                yield f"limits: {until - at + 1} requests in {times[until] - begin:.3f} s, {rate} a second may leave"
                return


def _too_many(sent: Sequence[Request], most: int) -> Iterator[str]:
    begins = [(request.at, 1) for request in sent]
    ends = [(request.ended_at, -1) for request in sent if request.ended_at is not None]
    in_flight = 0
    for at, move in sorted(begins + ends):
        in_flight += move
        if in_flight > most:
            yield f"limits: {in_flight} requests in flight at {at:.3f} s, {most} may be"
            return


def is_unknown(world: World, place: str, key: str) -> bool:
    """Whether the version that the destination holds came by a request that no checkpoint tells of.

    If the row changed back, or left the query, before it was read again, nobody can know that it is to be sent.
    """
    came = [one for one in world.requests if one.place == place and any(sent.key == key for sent in one.applied)]
    if not came:
        return False
    run = world.store.tables.runs[came[-1].run_id]
    return run.shards[came[-1].shard].epoch > came[-1].epoch or run.status is not RunStatus.SUCCEEDED


def misplaced(world: World, sync: SyncRecord, left_out: Mapping[str, str]) -> Iterator[str]:
    """How the destination differs from the projection of the source, after a run that nothing disturbed."""
    definition = sync.versions[sync.version]
    table = world.holds.get(place_of(definition), {})
    rows = {
        key: row
        for key, row in first_rows(world, definition).items()
        if not is_bad(row.name) and key not in left_out and not _stays_dead(world, sync, row)
    }
    for key, row in rows.items():
        wanted, has = body_of(world, definition, row), table.get(key)
        if not definition.cursor and is_unknown(world, place_of(definition), key):
            continue
        match definition.sync_mode:
            case SyncMode.DELETE if has is not None:
                yield f"misplaced: {key} is still there"
            case SyncMode.INSERT if has is None:
                yield f"misplaced: {key} is missing"
            case SyncMode.UPSERT | SyncMode.UPDATE | SyncMode.MIRROR if has != wanted:
                yield f"misplaced: {key} is {has!r}, not {wanted!r}"
    if definition.sync_mode is SyncMode.MIRROR:
        yield from _leftovers(world, sync, table)


def _stays_dead(world: World, sync: SyncRecord, row: SourceRow) -> bool:
    """Whether its letter was closed by somebody and nothing else brings it back: no run reads it again."""
    definition = sync.versions[sync.version]
    if not definition.cursor:
        return False
    version = _event(body_of(world, definition, row))
    letters = (letter for letter in world.store.tables.letters if letter.sync_id == sync.id)
    return any(_event(letter.payload) == version for letter in letters)


def _leftovers(world: World, sync: SyncRecord, table: Mapping[str, bytes]) -> Iterator[str]:
    """Rows that are gone from the source; what nobody knows to have been delivered, nobody can delete."""
    rows = first_rows(world, sync.versions[sync.version])
    for key, body in table.items():
        is_known = not is_unknown(world, place_of(sync.versions[sync.version]), key)
        if is_known and key not in rows and (sync.id, RowKey((key,)), hash_row(body)) in world.store.tables.settled:
            yield f"misplaced: {key} left the source and is still there"
