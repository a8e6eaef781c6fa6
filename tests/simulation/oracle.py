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
from tests.simulation.ends import in_order, is_bad
from tests.simulation.loop import START
from tests.simulation.tables import RunRecord, SyncRecord
from tests.simulation.world import SLOWEST_CALL_S, Request, Sent, World

TOKEN_KEPT_S = 1.0
"""How long a token may lie before it is used."""


def body_of(definition: SyncDefinition, key: str, name: str) -> bytes:
    """A row as the destination is to have it."""
    values = {"id": key, "name": name}
    return orjson.dumps(
        {
            field.destination: values[field.source] if field.source else field.value
            for field in definition.field_mappings
        }
    )


def place_of(definition: SyncDefinition) -> str:
    """The table that a sync writes to."""
    return f"{definition.destination_id}.{definition.object_name}"


def first_rows(world: World, definition: SyncDefinition) -> dict[str, str]:
    """The name of each key: of several rows with it, the first one counts."""
    rows: dict[str, str] = {}
    for key, name in in_order(world.sources[definition.source_id]):
        if key is not None:
            rows.setdefault(key, name)
    return rows


def check_end(world: World, run: RunRecord) -> None:
    """What must hold at the moment at which a run succeeds: nothing is lost, the books balance."""
    if run.status is not RunStatus.SUCCEEDED:
        return
    definition = world.store.tables.syncs[run.sync_id].versions[run.version]
    if not run.books.balance:
        world.breach(f"books: {run.id} does not balance: {run.books}")
    queued_s = (run.queued_at - START - world.database_ahead).total_seconds()
    if run.kind is RunKind.REPLAY or world.changed_at.get(definition.source_id, 0.0) >= queued_s or world.has_jumped:
        return
    if run.books.read != len(world.sources[definition.source_id]):
        world.breach(f"books: {run.id} read {run.books.read} rows of {len(world.sources[definition.source_id])}")
    for told in _lost(world, run, definition):
        world.breach(f"lost: {run.id} succeeded, {told}")


def _lost(world: World, run: RunRecord, definition: SyncDefinition) -> Iterator[str]:
    came = {(sent.key, sent.body) for request in world.requests for sent in _taken(request, definition)}
    keys = {key for key, _ in came}
    letters = world.store.tables.letters
    dead = {
        letter.dedupe_key
        for letter in letters
        if letter.sync_id == run.sync_id
        and (letter.resolved_at is None or letter.resolved_at >= run.queued_at or letter.resolution == SKIPPED)
    }
    for key, name in first_rows(world, definition).items():
        is_once = definition.sync_mode in {SyncMode.INSERT, SyncMode.DELETE}
        has_come = key in keys if is_once else (key, body_of(definition, key, name)) in came
        if not has_come and dedupe_key(RowKey((key,))) not in dead:
            yield f"and {key} neither came nor is it a dead letter"


def _taken(request: Request, definition: SyncDefinition) -> Sequence[Sent]:
    return request.applied if request.place == place_of(definition) else ()


def check_all(world: World) -> None:
    """What must hold of all that was ever sent and written."""
    by_run: dict[RunId, list[Request]] = {run_id: [] for run_id in world.store.tables.runs}
    for request in world.requests:
        by_run[request.run_id].append(request)
    for run in world.store.tables.runs.values():
        for told in (*_repeats(run, by_run[run.id]), *_books(run, by_run[run.id])):
            world.breach(told)
    for told in (*_invented(world), *_zombies(world), *_events(world), *_limits(world)):
        world.breach(told)


def _repeats(run: RunRecord, requests: Sequence[Request]) -> Iterator[str]:
    taken = Counter(sent for request in requests for sent in request.applied)
    repeated = taken.total() - len(taken)
    doubtful = sum(len(request.rows) for request in requests if request.is_in_doubt)
    allowed = max(0, run.epoch - 1) * WINDOW_ROWS + doubtful
    if repeated > allowed:
        yield f"repeats: {repeated} rows of {run.id} came again, {allowed} may (epoch {run.epoch}, in doubt {doubtful})"


def _books(run: RunRecord, requests: Sequence[Request]) -> Iterator[str]:
    came = {sent for request in requests for sent in request.applied}
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
    for request in world.requests:
        for sent in request.applied:
            row = orjson.loads(sent.body)
            if row == {"id": sent.key}:
                continue
            if (source_of[request.place], row["id"], row["name"]) not in world.ever or row["id"] != sent.key:
                yield f"invented: {sent} came to {request.place} and never was in its source"


def _zombies(world: World) -> Iterator[str]:
    """The database's clock decides whom the lease belongs to; where it jumps, the one overtaken may not know yet."""
    if world.has_jumped:
        return
    for request in world.requests:
        if not request.is_current:
            yield f"fencing: a request of {request.run_id} left under epoch {request.epoch}, which was over"


def _events(world: World) -> Iterator[str]:
    progress: dict[str, list[BatchCompleted]] = {}
    ends: Counter[str] = Counter()
    for told in world.store.tables.outbox:
        if told.event.type == BatchCompleted.type:
            completed = BatchCompleted.model_validate_json(told.event.data)
            progress.setdefault(completed.run_id, []).append(completed)
        elif told.event.type == RunFinished.type:
            ends[RunFinished.model_validate_json(told.event.data).run_id] += 1
    for run in world.store.tables.runs.values():
        parts = progress.get(run.id, [])
        told_of = [part.seq for part in parts]
        if told_of != list(range(1, run.checkpoint_seq + 1)):
            yield f"events: {run.id} has {run.checkpoint_seq} checkpoints, events tell of {told_of}"
        if sum(part.read for part in parts) != run.books.read:
            yield f"events: {run.id} read {run.books.read} rows, events tell of {sum(part.read for part in parts)}"
        if ends[run.id] != run.status.is_terminal:
            yield f"events: {run.id} is {run.status} and ended {ends[run.id]} times"


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
    return run.epoch > came[-1].epoch or run.status is not RunStatus.SUCCEEDED


def misplaced(world: World, sync: SyncRecord, left_out: Mapping[str, str]) -> Iterator[str]:
    """How the destination differs from the projection of the source, after a run that nothing disturbed."""
    definition = sync.versions[sync.version]
    table = world.holds.get(place_of(definition), {})
    rows = {
        key: name for key, name in first_rows(world, definition).items() if not is_bad(name) and key not in left_out
    }
    for key, name in rows.items():
        wanted, has = body_of(definition, key, name), table.get(key)
        if is_unknown(world, place_of(definition), key):
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


def _leftovers(world: World, sync: SyncRecord, table: Mapping[str, bytes]) -> Iterator[str]:
    """Rows that are gone from the source; what nobody knows to have been delivered, nobody can delete."""
    rows = first_rows(world, sync.versions[sync.version])
    for key, body in table.items():
        is_known = not is_unknown(world, place_of(sync.versions[sync.version]), key)
        if is_known and key not in rows and (sync.id, RowKey((key,)), hash_row(body)) in world.store.tables.settled:
            yield f"misplaced: {key} left the source and is still there"
