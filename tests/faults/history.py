"""What the state store went through, written down by the store itself: how runs changed, and who owned them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from tailrace.core.runs import RunStatus
from tailrace.events.models import Event
from tailrace.store.database import Database

_KEEP = """
CREATE TABLE history (
  place bigserial PRIMARY KEY, run_id text NOT NULL, sync_id text, status text, shard int, epoch bigint,
  token uuid, seq bigint);
CREATE TABLE told (event_id text PRIMARY KEY, type text NOT NULL, key text NOT NULL);
CREATE FUNCTION keep_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO history (run_id, sync_id, status) VALUES (NEW.id, NEW.sync_id, NEW.status);
  RETURN NULL;
END $$;
CREATE FUNCTION keep_shard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO history (run_id, shard, epoch, token, seq)
  VALUES (NEW.run_id, NEW.shard, NEW.lease_epoch, NEW.lease_token, NEW.checkpoint_seq);
  RETURN NULL;
END $$;
CREATE FUNCTION keep_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO told (event_id, type, key) VALUES (NEW.event_id, NEW.topic, NEW.key);
  RETURN NULL;
END $$;
CREATE TRIGGER keep_event AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION keep_event();
CREATE TRIGGER keep_run AFTER INSERT OR UPDATE ON runs FOR EACH ROW EXECUTE FUNCTION keep_run();
CREATE TRIGGER keep_shard AFTER INSERT OR UPDATE ON run_shards FOR EACH ROW EXECUTE FUNCTION keep_shard();
"""
_STATES = "SELECT run_id, sync_id, status FROM history WHERE status IS NOT NULL ORDER BY place"
_TENURES = """
SELECT run_id, shard, epoch, token::text, seq FROM history WHERE epoch IS NOT NULL ORDER BY run_id, shard, place
"""
_TOLD = "SELECT event_id, key FROM told WHERE type = $1"


@dataclass(frozen=True, slots=True)
class State:
    """A run came to this status."""

    run_id: str
    sync_id: str
    status: RunStatus


@dataclass(frozen=True, slots=True)
class Tenure:
    """A shard of a run was written under this epoch and token, at this checkpoint."""

    run_id: str
    shard: int
    epoch: int
    token: str | None
    seq: int


@dataclass(frozen=True, slots=True)
class History:
    """All states in the order of their coming, and all tenures in the order of each shard."""

    states: Sequence[State]
    tenures: Sequence[Tenure]

    def breaches(self) -> Iterator[str]:
        """What must never have been, at any time."""
        yield from _two_at_once(self.states)
        yield from _changed_ends(self.states)
        for _, tenures in groupby(self.tenures, lambda tenure: (tenure.run_id, tenure.shard)):
            yield from _steps_back(list(tenures))


async def keep_history(database: Database) -> None:
    """Have a fresh state store write its history from now on."""
    async with database.transaction() as connection:
        await connection.execute(_KEEP)


async def history_of(database: Database) -> History:
    """What was written so far."""
    states = await database.fetch(_STATES)
    tenures = await database.fetch(_TENURES)
    return History(
        [State(row["run_id"], row["sync_id"], RunStatus(row["status"])) for row in states],
        [Tenure(row["run_id"], row["shard"], row["epoch"], row["token"], row["seq"]) for row in tenures],
    )


async def told_of(database: Database, event: type[Event]) -> dict[str, str]:
    """The key of each event of that kind that was ever to be told, by event id."""
    return {row["event_id"]: row["key"] for row in await database.fetch(_TOLD, event.type)}


def _two_at_once(states: Sequence[State]) -> Iterator[str]:
    active: dict[str, str] = {}
    for state in states:
        holder = active.setdefault(state.sync_id, state.run_id)
        if holder != state.run_id and not state.status.is_terminal:
            yield f"one run at a time: {state.run_id} came while {holder} was active"
        if state.status.is_terminal and holder == state.run_id:
            del active[state.sync_id]


def _changed_ends(states: Sequence[State]) -> Iterator[str]:
    ended: dict[str, RunStatus] = {}
    for state in states:
        known = ended.get(state.run_id)
        if known is not None and known is not state.status:
            yield f"an end is an end: {state.run_id} was {known} and then {state.status}"
        if state.status.is_terminal:
            ended[state.run_id] = state.status


def _steps_back(tenures: Sequence[Tenure]) -> Iterator[str]:
    for earlier, later in pairwise(tenures):
        if later.epoch < earlier.epoch or later.seq < earlier.seq:
            yield f"one owner: {later} was written after {earlier}"
        if later.seq > earlier.seq + 1 or (later.seq > earlier.seq and later.token != earlier.token):
            yield f"one checkpoint after the other: {later} was written after {earlier}"
        if later.epoch == earlier.epoch and later.token and earlier.token and later.token != earlier.token:
            yield f"one owner: two tokens of one epoch, {earlier} and {later}"
