"""A plan of faults of every kind, drawn from a seed: what is done to a world, in which order and how soon."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from tailrace.core.syncs import SyncMode
from tests.faults.behaviours import (
    Behaviour,
    a_page,
    breaks_off,
    cut_in_half,
    hangs_up,
    one_result_short,
    says,
    stays_silent,
    told_as,
)

MODES = (SyncMode.UPSERT, SyncMode.INSERT, SyncMode.UPDATE, SyncMode.DELETE, SyncMode.MIRROR)
SYNCS = 3

_ONE_MORE = 2
_SOON_S = (0.2, 1.8)
_REQUESTS = (1, 2, 3)
_ROWS_PER_SHARD = 400
_JUMPS = ("1 hour", "-1 hour")
_PLACES = (
    "exec.after_claim",
    "exec.mid_read",
    "exec.after_map",
    "exec.before_send",
    "exec.after_send_before_response",
    "exec.after_response_before_checkpoint",
    "exec.ckpt_after_dlq_insert",
    "exec.ckpt_after_run_update_before_commit",
    "exec.ckpt_after_commit",
    "exec.before_finish",
)


class Deed(StrEnum):
    """What is done."""

    KILL = "a service is killed"
    PLANT = "an executor is killed, and the next one dies at"
    FREEZE = "an executor is frozen for longer than its lease"
    STOP = "an executor is told to stop"
    RESTART = "PostgreSQL is restarted"
    CRASH = "PostgreSQL crashes"
    CUT = "connections are cut in commits until the next fault"
    JUMP = "the clock of the database jumps by"
    ANSWER = "a destination answers by"
    CANCEL = "a run is cancelled"
    LOSE = "connections to a source break"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a destination does instead of answering, and whether it has taken the rows by then."""

    behaviour: Behaviour
    takes_rows: bool = True


REPLIES: Mapping[str, Reply] = {
    "503": Reply(says(503), takes_rows=False),
    "429, and wants a second of silence": Reply(says(429, {"Retry-After": "1"}), takes_rows=False),
    "500 after it took the rows": Reply(says(500)),
    "hanging up": Reply(hangs_up),
    "breaking off": Reply(breaks_off),
    "silence": Reply(stays_silent),
    "a page for people": Reply(told_as(a_page, "text/html")),
    "half of the JSON": Reply(told_as(cut_in_half)),
    "a result too few": Reply(told_as(one_result_short)),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is done so long after the one before; `pick` chooses among those whom it may befall then."""

    deed: Deed
    after_s: float
    pick: int
    detail: str
    times: int

    def __str__(self) -> str:
        return f"after {self.after_s:.1f} s {self.deed} {self.detail}".rstrip() + f" (pick {self.pick})"


@dataclass(frozen=True, slots=True)
class Plan:
    """The same for the same seed. With `rows_per_shard` executors share the runs."""

    seed: int
    modes: Sequence[SyncMode]
    faults: Sequence[Fault]
    rows_per_shard: int

    def __str__(self) -> str:
        shards = f" in shards of {self.rows_per_shard} rows" if self.rows_per_shard else ""
        return "\n  ".join((f"seed {self.seed}, {', '.join(self.modes)}{shards}:", *map(str, self.faults)))


def draw(seed: int) -> Plan:
    """Every deed once and some once more, in any order; runs are shared in every other plan."""
    chance = Random(seed)
    deeds = [*Deed, *chance.choices(list(Deed), k=_ONE_MORE)]
    chance.shuffle(deeds)
    modes, faults = chance.sample(MODES, SYNCS), [_fault(deed, chance) for deed in deeds]
    return Plan(seed, modes, faults, _ROWS_PER_SHARD if seed % 2 else 0)


def _fault(deed: Deed, chance: Random) -> Fault:
    match deed:
        case Deed.PLANT:
            detail = f"{chance.choice(_PLACES)}:{chance.randint(1, 12)}"
        case Deed.JUMP:
            detail = chance.choice(_JUMPS)
        case Deed.ANSWER:
            detail = chance.choice(list(REPLIES))
        case _:
            detail = ""
    return Fault(deed, chance.uniform(*_SOON_S), chance.randrange(SYNCS * 4), detail, chance.choice(_REQUESTS))
