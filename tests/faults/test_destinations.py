"""The destination answers wrongly, half, too late, too much or not at all: no row is lost or taken for delivered."""

import resource
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest
from aiohttp import web

from tailrace.core.runs import RunStatus
from tests.faults.behaviours import (
    Behaviour,
    a_page,
    bombs,
    breaks_off,
    cut_in_half,
    drips,
    floods,
    hangs_up,
    of_unknown_status,
    one_result_more,
    one_result_short,
    says,
    stays_silent,
    told_as,
)
from tests.faults.kills import BURST_S
from tests.faults.oracle import over_limit
from tests.faults.sink import open_sink
from tests.faults.trial import ROWS, Trial
from tests.fixtures.trials import Count, Outcome

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

AT = (3, 7, 30)
"""The requests that are answered so."""
ROWS_PER_BATCH = 20
REQUEST_S = 4.0
_MEBIBYTE = 1 << 20


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(hangs_up, id="connection broken after the rows were taken"),
        pytest.param(breaks_off, id="connection broken in the answer"),
        pytest.param(stays_silent, id="no answer"),
        pytest.param(drips, id="a byte a second"),
        pytest.param(floods, id="a gigabyte"),
        pytest.param(bombs, id="gzip bomb"),
        pytest.param(told_as(a_page, "text/html"), id="a page for people"),
        pytest.param(told_as(cut_in_half), id="half of the JSON"),
        pytest.param(told_as(one_result_short), id="a result short"),
        pytest.param(told_as(one_result_more), id="a result more"),
        pytest.param(told_as(of_unknown_status), id="unknown words"),
        pytest.param(told_as(lambda _: b""), id="empty"),
        pytest.param(says(500), id="500 after the rows were taken"),
    ],
)
async def test_answer_that_leaves_rows_in_doubt_has_them_sent_again_and_no_others(
    trial: Trial, behaviour: Behaviour, count: Count
) -> None:
    trial.sink.script = dict.fromkeys(AT, behaviour)
    before = _memory_bytes()

    async with trial.yard.executor(request_timeout_s=REQUEST_S, window_rows=100):
        run = await trial.run()
        trial.sink.script = {}
        facts = await trial.facts(run, lost_rows=len(AT) * ROWS_PER_BATCH)
        breaches = await trial.breaches_after(run, lost_rows=len(AT) * ROWS_PER_BATCH)

    assert breaches == []
    assert 0 < facts.repeated <= len(AT) * ROWS_PER_BATCH
    assert facts.takeovers == 0
    assert _memory_bytes() - before < 128 * _MEBIBYTE
    count([Outcome("destination in doubt", 0.0, facts.repeated, facts.repeats_allowed)])


def _memory_bytes() -> int:
    """The most that this process, which is executor and sink at once, ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_short_outage_costs_no_row_and_repeats_none(trial: Trial, status: int, count: Count) -> None:
    trial.sink.script = dict.fromkeys(AT, says(status))
    trial.sink.unheard = AT

    async with trial.yard.executor(window_rows=100):
        run = await trial.run()
        breaches = await trial.breaches_after(run)

    assert breaches == []
    assert (await trial.facts(run)).takeovers == 0
    count([Outcome("destination out of order")])


@pytest.mark.parametrize("is_date", [False, True], ids=["seconds", "date"])
async def test_destination_that_wants_silence_gets_it(trial: Trial, *, is_date: bool, count: Count) -> None:
    silent_s, number = 3, 10
    await trial.limit(max_in_flight=1)

    async def asks_for_silence(_request: web.Request, _right: bytes) -> web.StreamResponse:
        until = format_datetime(datetime.now(UTC) + timedelta(seconds=silent_s + 1), usegmt=True)
        return web.Response(status=429, headers={"Retry-After": until if is_date else str(silent_s)})

    trial.sink.script = {number: asks_for_silence}
    trial.sink.unheard = [number]
    async with trial.yard.executor(window_rows=100):
        run = await trial.run()
        pauses = [later - earlier for earlier, later in pairwise(trial.sink.asked)]
        breaches = await trial.breaches_after(run)

    assert pauses[number - 1] >= silent_s - 0.1
    assert trial.sink.most_at_once == 1
    assert breaches == []
    count([Outcome("destination throttles")])


async def test_throttling_uses_up_no_attempt(trial: Trial) -> None:
    times = range(5, 20)
    trial.sink.script = dict.fromkeys(times, says(429, {"Retry-After": "0"}))
    trial.sink.unheard = times

    async with trial.yard.executor(window_rows=100):
        run = await trial.run()
        breaches = await trial.breaches_after(run)

    assert breaches == []


async def test_limits_hold_over_every_span_while_two_executors_send(trial: Trial, count: Count) -> None:
    requests_per_s = 40.0
    await trial.limit(requests_per_s, max_in_flight=3)

    async with trial.yard.executor(window_rows=100), trial.yard.executor(window_rows=100):
        run = await trial.run()
        asked = list(trial.sink.asked)
        breaches = await trial.breaches_after(run)

    assert over_limit(asked, requests_per_s=requests_per_s, burst=requests_per_s * BURST_S) == []
    assert trial.sink.most_at_once <= 3
    assert breaches == []
    count([Outcome("limits watched")])


async def test_rows_that_spoil_their_batch_are_found_and_the_others_go(trial: Trial, count: Count) -> None:
    poison = {5, 333, 334}
    trial.sink.poison = poison
    trial.sink.refused_each = 10**9

    async with trial.yard.executor(window_rows=100):
        run = await trial.run()

    facts = await trial.facts(run)
    assert run.status is RunStatus.SUCCEEDED
    assert set(facts.dead) == poison
    assert facts.repeated == 0
    assert {person for person, _ in facts.arrived} == set(range(1, ROWS + 1)) - poison
    # Twice the depth of halving for each bad row, at most.
    assert trial.sink.requests <= ROWS // ROWS_PER_BATCH + len(poison) * 2 * 5
    count([Outcome("poison rows")])


async def test_redirect_is_not_followed_and_buries_no_row(trial: Trial, count: Count) -> None:
    async with open_sink() as elsewhere:
        trial.sink.script = {number: says(307, {"Location": elsewhere.url}) for number in range(5, 200)}
        trial.sink.unheard = range(5, 200)
        async with trial.yard.executor(window_rows=100):
            stopped = await trial.run()
            dead = {row for row in (await trial.facts(stopped)).dead if not trial.sink.is_refused(row)}
            trial.sink.script, trial.sink.unheard = {}, ()
            following = await trial.run()

    assert (stopped.status, stopped.error_code) == (RunStatus.FAILED, "DESTINATION_INVALID")
    assert dead == set()
    assert elsewhere.asked == []
    assert following.status is RunStatus.SUCCEEDED
    assert Counter(dict.fromkeys(trial.sink.rows(), 1)) == trial.sink.rows()
    assert len(trial.sink.rows()) == ROWS - ROWS // trial.sink.refused_each
    count([Outcome("destination redirects")])


@pytest.mark.parametrize("status", [401, 403])
async def test_refused_credentials_stop_the_run_and_bury_no_row(trial: Trial, status: int, count: Count) -> None:
    trial.sink.script = {number: says(status) for number in range(5, 200)}
    trial.sink.unheard = range(5, 200)

    async with trial.yard.executor(window_rows=100):
        stopped = await trial.run()
        asked = trial.sink.requests
        dead = {row for row in (await trial.facts(stopped)).dead if not trial.sink.is_refused(row)}
        trial.sink.script, trial.sink.unheard = {}, ()
        following = await trial.run()

    assert (stopped.status, stopped.error_code) == (RunStatus.FAILED, "CREDENTIALS_REFUSED")
    assert dead == set()
    assert asked <= 5 + 100 // ROWS_PER_BATCH
    assert following.status is RunStatus.SUCCEEDED
    assert Counter(dict.fromkeys(trial.sink.rows(), 1)) == trial.sink.rows()
    assert len(trial.sink.rows()) == ROWS - ROWS // trial.sink.refused_each
    count([Outcome("credentials refused")])
