"""What `tailrace.store.limits` does, in memory."""

from datetime import datetime, timedelta
from uuid import UUID

from tests.simulation.store import MemoryStore

_SPARE_S = 60.0
_RESERVATIONS_AHEAD = 256


def reserve(store: MemoryStore, scope: str, *, tokens: int, rate_per_s: float | None, burst: int) -> float:
    """Seconds until the tokens may be used."""
    now, tables = store.now(), store.tables
    blocked = _blocked(store, scope, now)
    if rate_per_s is None or not tokens:
        return max(0.0, (blocked - now).total_seconds())
    cost, allowance = timedelta(seconds=tokens / rate_per_s), timedelta(seconds=burst / rate_per_s)
    horizon = allowance + timedelta(seconds=_SPARE_S) + _RESERVATIONS_AHEAD * cost
    tat = max(now, min(tables.tats.get(scope, now), now + horizon), blocked) + cost
    tables.tats[scope] = tat
    return max(0.0, (max(tat - allowance, blocked, now) - now).total_seconds())


def block(store: MemoryStore, scope: str, for_s: float) -> None:
    """Let nobody have tokens for a while."""
    now = store.now()
    until = now + min(timedelta(seconds=for_s), store.longest_block)
    store.tables.blocks[scope] = max(_blocked(store, scope, now), until)


def hold_slots(store: MemoryStore, scope: str, token: UUID, *, wanted: int, max_slots: int, ttl_s: float) -> int:
    """How many slots are held now."""
    now, slots = store.now(), store.tables.slots.setdefault(scope, {})
    mine = [slot for slot in range(max_slots) if slot in slots and slots[slot][0] == token]
    free = [slot for slot in range(max_slots) if slot not in mine and _is_free(slots.get(slot), now, ttl_s)]
    picked = (mine + free)[:wanted]
    for slot in mine:
        del slots[slot]
    slots.update((slot, (token, now + timedelta(seconds=ttl_s))) for slot in picked)
    return len(picked)


def release_slots(store: MemoryStore, scope: str, token: UUID) -> None:
    """Free every slot held under the token."""
    slots = store.tables.slots.get(scope, {})
    store.tables.slots[scope] = {slot: held for slot, held in slots.items() if held[0] != token}


def _blocked(store: MemoryStore, scope: str, now: datetime) -> datetime:
    """Until when; one that reaches too far is left from before a jump of the clock."""
    until = store.tables.blocks.get(scope, now)
    return until if until <= now + store.longest_block else now


def _is_free(held: tuple[UUID, datetime] | None, now: datetime, ttl_s: float) -> bool:
    return held is None or held[1] < now or held[1] > now + timedelta(seconds=ttl_s)
