"""Outages and silences of minutes and hours, in virtual time and with the product's own settings."""

from collections import Counter

import pytest

from tailrace.core.errors import DestinationUnavailable, Throttled
from tailrace.core.runs import RunStatus
from tests.simulation.trial import Trial, is_well, play, setting

pytestmark = pytest.mark.timeout(400)

PEOPLE = 40
ROWS_PER_REQUEST = 4
ANSWERED = 4
"""So many requests are answered before the trouble begins."""
MINUTES_S = 600.0
HOUR_S = 3600.0
PROBES_AT_MOST = 60
"""Of ten minutes: those under way, ten repeats, probes for half a minute, and one or two after each pause."""
_ANSWER_S = 0.6
"""Longest way of a request to the destination and back."""


class Trouble:
    """What the destination says after its first answers: nothing but this, for so long."""

    def __init__(self, trial: Trial, for_s: float) -> None:
        self.trial = trial
        self.for_s = for_s
        self.since = 0.0

    @property
    def until(self) -> float:
        """When it is over."""
        return self.since + self.for_s

    @property
    def is_on(self) -> bool:
        """Whether the destination is in it."""
        if not self.since and len(self.trial.requests) > ANSWERED:
            self.since = self.trial.now_s
        return bool(self.since) and self.trial.now_s < self.until

    def down(self) -> DestinationUnavailable | None:
        """Out of order."""
        return DestinationUnavailable("HTTP 503") if self.is_on else None

    def throttled(self) -> Throttled | None:
        """Wants to be left alone until it is over."""
        return Throttled("HTTP 429", retry_after_s=self.until - self.trial.now_s) if self.is_on else None


def times_taken(trial: Trial) -> Counter[str]:
    """How often each row was taken."""
    return Counter(row.key for request in trial.requests for row in request.applied)


def asked_between(trial: Trial, first_s: float, last_s: float) -> list[float]:
    """When requests left, as far as it was then."""
    return [request.at for request in trial.requests if first_s <= request.at <= last_s]


def test_silence_of_an_hour_is_kept_by_all_and_holds_no_executor() -> None:
    found: list[tuple[Trouble, float]] = []

    async def an_hour(trial: Trial) -> None:
        trouble = Trouble(trial, HOUR_S)
        trial.world.refusal = trouble.throttled
        trial.start()
        await trial.until(lambda: trial.shard.pauses > 0)
        found.append((trouble, trial.now_s))
        await trial.until(lambda: trial.shard.epoch > 1, within_s=2 * HOUR_S)
        claimed_s = trial.now_s
        await trial.ended()
        found.append((trouble, claimed_s))

    trial = play(an_hour, people=PEOPLE)

    [(trouble, paused_s), (_, claimed_s)] = found
    after = [request for request in trial.requests if request.at > paused_s]
    assert is_well(trial.run)
    assert trial.world.store.tables.letters == []
    assert paused_s - trouble.since < _ANSWER_S + 1.0
    assert claimed_s >= trouble.until
    assert asked_between(trial, paused_s, trouble.until) == []
    assert after[1].at >= (after[0].ended_at or 0.0)
    assert times_taken(trial) == dict.fromkeys(times_taken(trial), 1)
    assert len(times_taken(trial)) == PEOPLE


def test_throttling_without_end_ends_the_run_at_the_limit_and_buries_no_row() -> None:
    async def for_ever(trial: Trial) -> None:
        trial.world.refusal = lambda: Throttled("HTTP 429")
        trial.start()
        await trial.ended(within_s=5 * HOUR_S)

    trial = play(for_ever, people=PEOPLE)

    assert (trial.run.status, trial.run.error_code) == (RunStatus.FAILED, "DESTINATION_UNAVAILABLE")
    assert trial.world.store.tables.letters == []
    assert setting("outage_limit_s") <= trial.now_s <= setting("outage_limit_s") + 1000.0


def test_outage_of_ten_minutes_costs_a_few_probes_and_no_row() -> None:
    found: list[Trouble] = []

    async def ten_minutes(trial: Trial) -> None:
        trouble = Trouble(trial, MINUTES_S)
        found.append(trouble)
        trial.world.refusal = trouble.down
        trial.start()
        await trial.ended(within_s=2 * HOUR_S)

    trial = play(ten_minutes, people=PEOPLE)

    [trouble] = found
    assert is_well(trial.run)
    assert trial.world.store.tables.letters == []
    assert len(asked_between(trial, trouble.since, trouble.until)) <= PROBES_AT_MOST
    assert times_taken(trial) == dict.fromkeys(times_taken(trial), 1)
    assert len(times_taken(trial)) == PEOPLE


def test_outage_without_end_fails_the_run_and_the_next_goes_on_from_its_checkpoint() -> None:
    async def for_ever(trial: Trial) -> None:
        trouble = Trouble(trial, 100 * HOUR_S)
        trial.world.refusal = trouble.down
        trial.start()
        await trial.ended(within_s=5 * HOUR_S)
        assert (trial.run.status, trial.run.error_code) == (RunStatus.FAILED, "DESTINATION_UNAVAILABLE")
        assert trial.now_s >= setting("outage_limit_s")
        trial.world.refusal = lambda: None
        trial.start()
        await trial.ended()

    trial = play(for_ever, people=PEOPLE)

    failed, following = trial.world.store.tables.runs.values()
    assert trial.world.store.tables.letters == []
    assert failed.books.delivered == ANSWERED * ROWS_PER_REQUEST
    assert is_well(following)
    assert following.books.delivered == PEOPLE - failed.books.delivered
    assert times_taken(trial) == dict.fromkeys(times_taken(trial), 1)
