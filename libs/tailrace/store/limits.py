"""Limits that all executors share: request tokens and in-flight slots of a scope, decided by the database's clock."""

from datetime import timedelta
from uuid import UUID

from tailrace.store.database import Database

BLOCK_LIMIT_S = 3600.0
"""The longest block."""

_RESERVATIONS_AHEAD = 256
_SPARE_S = 60.0

# A block that was made later than now is from before a backward jump of the clock, and holds nobody.
# The clock is read behind the row's lock. Losing the last grants in a crash of PostgreSQL costs one burst, once;
# waiting for the disk would cost most of the throughput.
_RESERVE = """
INSERT INTO rate_limits AS known (scope, tat)
SELECT $1, clock_timestamp() + $2::interval FROM set_config('synchronous_commit', 'off', true)
ON CONFLICT (scope) DO UPDATE SET tat = greatest(
  clock_timestamp(),
  least(known.tat, clock_timestamp() + $4::interval),
  CASE WHEN known.blocked_at <= clock_timestamp() THEN known.blocked_until END) + $2::interval
RETURNING extract(epoch FROM greatest(
  tat - $3::interval,
  CASE WHEN blocked_at <= clock_timestamp() THEN blocked_until END,
  clock_timestamp()) - clock_timestamp())::float8
"""
_BLOCKED = """
SELECT extract(epoch FROM blocked_until - clock_timestamp())::float8
FROM rate_limits WHERE scope = $1 AND blocked_until > clock_timestamp() AND blocked_at <= clock_timestamp()
"""
_BLOCK = """
INSERT INTO rate_limits AS known (scope, tat, blocked_at, blocked_until)
VALUES ($1, clock_timestamp(), clock_timestamp(), clock_timestamp() + $2::interval)
ON CONFLICT (scope) DO UPDATE SET blocked_at = clock_timestamp(), blocked_until = greatest(
  CASE WHEN known.blocked_at <= clock_timestamp() THEN known.blocked_until END,
  clock_timestamp() + $2::interval)
"""
_HOLD = """
WITH picked AS MATERIALIZED (
  SELECT slot FROM destination_slots
  WHERE scope = $1 AND slot < $4
    AND (lease_token = $2 OR lease_expires_at IS NULL OR lease_expires_at < clock_timestamp()
      OR lease_expires_at > clock_timestamp() + $5::interval)
  ORDER BY lease_token = $2 DESC NULLS LAST, slot LIMIT $3 FOR UPDATE SKIP LOCKED
), freed AS (
  UPDATE destination_slots SET lease_token = NULL, lease_expires_at = NULL
  WHERE scope = $1 AND lease_token = $2 AND slot NOT IN (SELECT slot FROM picked)
)
UPDATE destination_slots SET lease_token = $2, lease_expires_at = clock_timestamp() + $5::interval
WHERE scope = $1 AND slot IN (SELECT slot FROM picked)
"""
_MAKE_SLOTS = """
INSERT INTO destination_slots (scope, slot) SELECT $1, slot FROM generate_series(0, $2 - 1) AS slot
ON CONFLICT DO NOTHING
"""
_RELEASE = """
UPDATE destination_slots SET lease_token = NULL, lease_expires_at = NULL WHERE scope = $1 AND lease_token = $2
"""


class SharedLimits:
    """Request tokens by GCRA, a bucket that needs one timestamp, and slots by lease.

    https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def reserve(self, scope: str, *, tokens: int, rate_per_s: float | None, burst: int) -> float:
        """Seconds to wait until the tokens may be used; they are gone then, used or not, so a crash means under-use.

        In any T seconds all callers together may use `rate_per_s` * T + `burst` at most, if each uses its tokens when
        it may; using them v seconds late adds `rate_per_s` * v. Without a rate, or with 0 tokens, only blocks count.
        Waits stay true while at most 256 callers wait at once; what is further ahead is taken for a jump of the clock.

        :raises ValueError: more tokens than `burst` can never be used at once.
        """
        if rate_per_s is None or not tokens:
            blocked_s: float | None = await self._database.fetchval(_BLOCKED, scope)
            return max(0.0, blocked_s or 0.0)
        if tokens > burst:
            raise ValueError(f"{tokens} tokens do not fit into a burst of {burst}")
        cost, allowance = _span(tokens / rate_per_s), _span(burst / rate_per_s)
        horizon = allowance + _span(_SPARE_S) + _RESERVATIONS_AHEAD * cost
        wait_s: float = await self._database.fetchval(_RESERVE, scope, cost, allowance, horizon)
        return max(0.0, wait_s)

    async def block(self, scope: str, for_s: float) -> None:
        """Let tokens reserved from now on wait for `for_s`, `BLOCK_LIMIT_S` at most; a longer block stays."""
        await self._database.execute(_BLOCK, scope, _span(min(for_s, BLOCK_LIMIT_S)))

    async def hold_slots(self, scope: str, token: UUID, *, wanted: int, max_slots: int, ttl_s: float) -> int:
        """How many slots are held under `token` now, `wanted` at most; what it held beyond that is free again.

        Call again to renew: `ttl_s` after the last call began, the slots may be somebody else's. A slot that is held
        for longer than that, as after a backward jump of the clock, counts as free.
        """
        terms = (scope, token, wanted, max_slots, _span(ttl_s))
        held = await self._database.execute(_HOLD, *terms)
        if held < min(wanted, max_slots) and await self._database.execute(_MAKE_SLOTS, scope, max_slots):
            held = await self._database.execute(_HOLD, *terms)
        return held

    async def release_slots(self, scope: str, token: UUID) -> None:
        """Free every slot held under `token`."""
        await self._database.execute(_RELEASE, scope, token)


def _span(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)
