"""Requests to a warehouse that are sent again, by a clock that only waiting moves."""

from collections.abc import Awaitable, Callable

import pytest

from tailrace.connector_kit.http import HttpResponse
from tailrace.connector_kit.patience import Patience
from tailrace.core.errors import (
    AnswerTooLong,
    CredentialsRefused,
    DestinationInvalid,
    DestinationUnavailable,
    InDoubt,
    SourceInvalid,
    SourceUnavailable,
    TailraceError,
    Throttled,
)
from tests.destinations.clocks import Clock

OK, BUSY = HttpResponse(200, {}, b'{"a": 1}'), HttpResponse(503, {}, b"")


def patience(clock: Clock) -> Patience:
    return Patience("Acme", clock, (1.0, 2.0), longest_s=30.0)


def giving(*answers: HttpResponse | TailraceError) -> Callable[[], Awaitable[HttpResponse]]:
    left = iter(answers)

    async def send() -> HttpResponse:
        answer = next(left)
        if isinstance(answer, TailraceError):
            raise answer
        return answer

    return send


def is_busy(response: HttpResponse) -> bool:
    return response.status == BUSY.status


@pytest.mark.parametrize(
    ("answers", "waited_s"),
    [
        ([OK], 0),
        ([BUSY, OK], 1),
        ([DestinationUnavailable("gone"), InDoubt("lost"), OK], 3),
        ([HttpResponse(503, {"retry-after": "7"}, b""), OK], 7),
        ([Throttled("busy", retry_after_s=400), OK], 30),
    ],
)
async def test_request_is_sent_again_until_it_has_an_answer(
    answers: list[HttpResponse | TailraceError], waited_s: float
) -> None:
    clock = Clock()

    assert await patience(clock).answer(giving(*answers), may_pass=is_busy) is OK
    assert clock.monotonic() == waited_s


async def test_last_answer_is_given_whatever_it_is() -> None:
    assert await patience(Clock()).answer(giving(BUSY, BUSY, BUSY), may_pass=is_busy) is BUSY


async def test_outage_that_stays_is_told() -> None:
    gone = [DestinationUnavailable("nobody there")] * 3

    with pytest.raises(SourceUnavailable, match="Acme does not answer: nobody there"):
        await patience(Clock()).answer(giving(*gone), may_pass=is_busy)


async def test_request_that_may_have_arrived_is_not_sent_again_where_that_does_harm() -> None:
    with pytest.raises(SourceUnavailable, match="lost"):
        await patience(Clock()).answer(giving(BUSY, InDoubt("reset"), OK), may_pass=is_busy, is_repeatable=False)


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (AnswerTooLong("long"), SourceInvalid),
        (DestinationInvalid("the destination's address is private"), SourceInvalid),
        (CredentialsRefused("no"), CredentialsRefused),
    ],
)
async def test_what_does_not_pass_is_told_at_once(raised: TailraceError, told: type[TailraceError]) -> None:
    clock = Clock()

    with pytest.raises(told):
        await patience(clock).answer(giving(raised), may_pass=is_busy)

    assert clock.monotonic() == 0


@pytest.mark.parametrize("size", [1, 300_000])
async def test_document_is_read_and_anything_else_is_an_outage(size: int) -> None:
    patient = patience(Clock())

    assert await patient.document(HttpResponse(200, {}, b'["' + b"x" * size + b'"]')) == ["x" * size]
    with pytest.raises(SourceUnavailable, match="no JSON"):
        await patient.document(HttpResponse(200, {}, b"<" * size))
