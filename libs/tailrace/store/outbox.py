"""The outbox: events are committed with what they tell of, and stay until the bus has them."""

import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from tailrace.core.errors import Invalid
from tailrace.core.outgoing import MAX_EVENT_BYTES, OutgoingEvent, TakenShards, WaitingEvent
from tailrace.observe.tracing import current_traceparent
from tailrace.store.announcements import announce
from tailrace.store.database import Connection, Database, Record

SHARDS = 16
"""As many relays can work at once; the schema holds a lease for each."""

_ENQUEUE = """
INSERT INTO outbox (shard, topic, key, event_id, body, traceparent)
SELECT shard, topic, key, event_id, body, ${5}::text
FROM {of} CROSS JOIN unnest(${0}::smallint[], ${1}::text[], ${2}::text[], ${3}::text[], ${4}::bytea[])
  WITH ORDINALITY AS event (shard, topic, key, event_id, body, place)
ORDER BY place
ON CONFLICT (event_id) DO NOTHING
"""
# A lease or a deletion that a crash of the server forgets only sends events again.
_LIGHTLY = "WITH lightly AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))"
# Least recently released first, so that a busy shard starves no other. After a backward jump of the clock a lease seems
# to last for longer than any does; two relays on a shard only send events twice.
_TAKE = f"""
{_LIGHTLY}, leased AS (
  UPDATE outbox_shards SET lease_token = $1, lease_expires_at = clock_timestamp() + make_interval(secs => $2)
  FROM lightly WHERE shard = ANY (ARRAY (
    SELECT free.shard FROM outbox_shards AS free
      CROSS JOIN LATERAL (SELECT FROM outbox WHERE outbox.shard = free.shard ORDER BY outbox.id LIMIT 1) AS oldest
    WHERE ($3::smallint[] IS NULL OR free.shard = ANY ($3)) AND (
      free.lease_expires_at IS NULL OR free.lease_expires_at <= clock_timestamp()
      OR free.lease_expires_at > clock_timestamp() + make_interval(secs => $2)
    )
    ORDER BY free.lease_expires_at NULLS FIRST FOR UPDATE OF free SKIP LOCKED
    LIMIT coalesce(cardinality($3::smallint[]), 1)))
  RETURNING shard)
SELECT shard, event.* FROM leased CROSS JOIN LATERAL (
  SELECT id, topic, key, event_id, body, traceparent, created_at FROM outbox
  WHERE outbox.shard = leased.shard ORDER BY id LIMIT $4) AS event
ORDER BY id LIMIT $4
"""  # noqa: S608 - a constant
# The range keeps to the head of the shard's index; within it a late commit may have put an event that was not sent.
_SETTLE = f"""
{_LIGHTLY}, sent AS (
  DELETE FROM outbox
  WHERE shard = ANY ($1::smallint[]) AND id <= (SELECT max(place) FROM unnest($3::bigint[]) AS place) AND id = ANY ($3))
UPDATE outbox_shards SET lease_token = NULL, lease_expires_at = clock_timestamp()
FROM lightly WHERE lease_token = $2
"""  # noqa: S608 - a constant
_BACKLOG = """
SELECT count(*) AS pending,
  coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float8 AS oldest_s
FROM outbox
"""


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many events wait, and the age of the oldest in seconds."""

    pending: int
    oldest_s: float


async def enqueue(connection: Connection, events: Sequence[OutgoingEvent]) -> None:
    """Write events in the caller's transaction; one that is there already, by its id, stays as it is.

    They leave right after the commit, by a relay of this process. Whoever writes events of one key from several
    transactions serialises these, or the key has no order.

    :raises Invalid: an event is larger than `MAX_EVENT_BYTES`.
    """
    await connection.execute(enqueueing("(SELECT) AS always", first=1), *enqueued(events))
    announce(shard_of(event.key) for event in events)


def enqueueing(of: str, *, first: int) -> str:
    """SQL that writes events for each row of a query that its statement names in `WITH`: that saves a trip.

    Its arguments are what `enqueued` gives, the first of them `$first`. They leave at the next look of any relay, or
    right after the commit where one is told to `urge` it.
    """
    return _ENQUEUE.format(*range(first, first + 6), of=of)


def enqueued(events: Sequence[OutgoingEvent]) -> tuple[object, ...]:
    """Events as arguments.

    :raises Invalid: an event is larger than `MAX_EVENT_BYTES`.
    """
    for event in events:
        _check_size(event)
    return (
        [shard_of(event.key) for event in events],
        [event.type for event in events],
        [event.key for event in events],
        [event.event_id for event in events],
        [event.data for event in events],
        current_traceparent(),
    )


def urge(event: OutgoingEvent) -> None:
    """Have an event leave right after the commit of the transaction that has written it."""
    announce([shard_of(event.key)])


def shard_of(key: str) -> int:
    """The shard that every event of the key waits in."""
    return zlib.crc32(key.encode()) % SHARDS


class Outbox:
    """What relays do: take shards with their oldest events, and settle those that the bus has acknowledged."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(
        self, token: UUID, *, ttl_s: float, at_most: int, among: Collection[int] | None = None
    ) -> TakenShards | None:
        """The shards, of those asked for, that hold events and that no relay has, or None; if all may be, one of them.

        After `ttl_s` another may take it.
        """
        rows = await self._database.fetch(_TAKE, token, ttl_s, among, at_most)
        return TakenShards({row["shard"] for row in rows}, [_waiting(row) for row in rows]) if rows else None

    async def settle(self, shards: Collection[int], token: UUID, sent: Sequence[int]) -> None:
        """Delete what was sent, by place, and give back what is still held under the token."""
        await self._database.execute(_SETTLE, shards, token, sent)

    async def backlog(self) -> Backlog:
        """What waits in all shards."""
        row = await self._database.fetchrow(_BACKLOG)
        return Backlog(row["pending"], row["oldest_s"]) if row else Backlog(0, 0.0)


def _check_size(event: OutgoingEvent) -> None:
    if len(event.data) > MAX_EVENT_BYTES:
        raise Invalid(
            f"{event.type} has {len(event.data)} bytes, {MAX_EVENT_BYTES} at most: send ids, not content",
            code="EVENT_TOO_LARGE",
        )


def _waiting(row: Record) -> WaitingEvent:
    event = OutgoingEvent(row["topic"], row["key"], row["body"], row["event_id"])
    return WaitingEvent(row["id"], event, row["created_at"], row["traceparent"])
