from datetime import UTC, datetime

import pytest

from tailrace.connector_kit.http import HttpResponse
from tailrace.connector_kit.manifest.throttles import (
    AnyThrottle,
    InBody,
    NamedInHeader,
    NothingLeft,
    ResetAt,
    ResetIn,
    RetryAfter,
    SaysNothing,
    TooManyAtOnce,
    UsedOfMost,
    wait_of,
)
from tailrace.testing.fake_http import answer

NOW = datetime(2026, 11, 22, tzinfo=UTC)
EPOCH = int(NOW.timestamp())
USED = UsedOfMost(header="Sforce-Limit-Info", then_s=600)
QUOTAS = NamedInHeader(header="X-Quotas", name="left_min", unit="min")


def quotas(told: str) -> dict[str, str]:
    return {"x-quotas": told}


@pytest.mark.parametrize(
    ("signal", "told", "wait_s"),
    [
        (RetryAfter(), answer(429, headers={"retry-after": "7"}), 7),
        (RetryAfter(), answer(429, headers={"retry-after": "Sun, 22 Nov 2026 00:00:09 GMT"}), 9),
        (RetryAfter(), answer(429, headers={"retry-after": "soon"}), None),
        (ResetAt(header="X-Reset"), answer(429, headers={"x-reset": str(EPOCH + 30)}), 30),
        (ResetAt(header="X-Reset"), answer(429, headers={"x-reset": str(EPOCH - 30)}), 0),
        (ResetAt(header="X-Reset"), answer(429), None),
        (ResetIn(header="X-Reset"), answer(429, headers={"x-reset": "21"}), 21),
        (ResetIn(header="X-Reset"), answer(429, headers={"x-reset": "-1"}), None),
        (ResetIn(header="X-Reset"), answer(429, headers={"x-reset": "nan"}), None),
        (USED, answer(403, headers={"sforce-limit-info": "api-usage=15000/15000"}), 600),
        (USED, answer(403, headers={"sforce-limit-info": "api-usage=695/15000"}), None),
        (USED, answer(403), None),
        (NothingLeft(header="X-Left", then_s=10), answer(429, headers={"x-left": "0"}), 10),
        (NothingLeft(header="X-Left", then_s=10), answer(429, headers={"x-left": "3"}), None),
        (InBody(at="params.reset", unit="s"), answer(429, {"params": {"reset": 5}}), 5),
        (InBody(at="params.reset", unit="ms"), answer(429, {"params": {"reset": "5500"}}), 5.5),
        (InBody(at="reset", unit="epoch_s"), answer(429, {"reset": EPOCH + 4}), 4),
        (InBody(at="reset", unit="s"), answer(429, b"<html>"), None),
        (QUOTAS, answer(403, headers=quotas('{"7":[{"left_min":0},{"left_min":3}],"8":[{"left_min":2}]}')), 180),
        (QUOTAS, answer(403, headers=quotas('[{"left_min":"0.5"}]')), 30),
        (QUOTAS, answer(403, headers=quotas('{"7":[{"left_min":0}]}')), None),
        (QUOTAS, answer(403, headers=quotas('{"7":[{"left_min":-3},{"left_min":null},{"left_min":"x"},7]}')), None),
        (QUOTAS, answer(403, headers=quotas("[" * 9 + '{"left_min":3}' + "]" * 9)), None),
        (QUOTAS, answer(403, headers=quotas("{left_min:3")), None),
        (QUOTAS, answer(403), None),
        (NamedInHeader(header="X-Quotas", name="left", unit="s"), answer(403, headers=quotas('{"left":4}')), 4),
        (TooManyAtOnce(then_s=2), answer(429), 2),
        (SaysNothing(), answer(429), None),
        (SaysNothing(then_s=3), answer(429), 3),
        (ResetIn(header="X-Reset"), answer(429, headers={"x-reset": "99999"}), 900),
    ],
)
def test_wait_is_read(signal: AnyThrottle, told: HttpResponse, wait_s: float | None) -> None:
    assert wait_of((signal,), told, now=NOW) == wait_s


def test_first_signal_that_says_something_is_heard() -> None:
    signals = (RetryAfter(), ResetIn(header="X-Reset"), SaysNothing(then_s=60))

    assert wait_of(signals, answer(429, headers={"x-reset": "4"}), now=NOW) == 4
