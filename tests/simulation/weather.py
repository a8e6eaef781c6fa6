"""How often what goes wrong."""

from dataclasses import dataclass, fields
from random import Random

_WORST = {
    "store_refuses": 0.08,
    "store_in_doubt": 0.05,
    "store_slow": 0.05,
    "crash": 0.008,
    "freeze": 0.008,
    "source_lost": 0.1,
    "source_refuses": 0.01,
    "down": 0.15,
    "throttled": 0.12,
    "in_doubt": 0.12,
    "hangs": 0.04,
    "refuses_batch": 0.3,
    "asks_again": 0.2,
    "unsure": 0.1,
    "skips": 0.1,
    "locks_us_out": 0.005,
    "event_lost": 0.5,
    "event_repeated": 0.3,
    "event_late": 0.3,
}
_ABSENT = 0.5


@dataclass(frozen=True, slots=True)
class Weather:
    """The chance of each mishap, a call, a request or an event."""

    store_refuses: float = 0.0
    store_in_doubt: float = 0.0
    store_slow: float = 0.0
    crash: float = 0.0
    freeze: float = 0.0
    source_lost: float = 0.0
    source_refuses: float = 0.0
    down: float = 0.0
    throttled: float = 0.0
    in_doubt: float = 0.0
    hangs: float = 0.0
    refuses_batch: float = 0.0
    asks_again: float = 0.0
    unsure: float = 0.0
    skips: float = 0.0
    locks_us_out: float = 0.0
    event_lost: float = 0.0
    event_repeated: float = 0.0
    event_late: float = 0.0


CALM = Weather()


def some_weather(chance: Random) -> Weather:
    """Each mishap is absent in half of all stories, so that no one hides another."""
    return Weather(
        **{
            entry.name: 0.0 if chance.random() < _ABSENT else chance.uniform(0.0, _WORST[entry.name])
            for entry in fields(Weather)
        }
    )
