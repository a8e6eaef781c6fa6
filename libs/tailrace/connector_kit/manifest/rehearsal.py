"""Tries a manifest against its stand-in: what must hold of every destination, each promise for each operation."""

import traceback
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

from tailrace.connector_kit.http import HttpResponse
from tailrace.connector_kit.manifest.attribution import AllOrNothing, Counted, FieldIndexes, Single
from tailrace.connector_kit.manifest.auth import EitherGrant, Granted
from tailrace.connector_kit.manifest.model import Manifest
from tailrace.connector_kit.manifest.stage import PRIVATE, SECRET, Stage, staged
from tailrace.connector_kit.manifest.stand_in import response, said
from tailrace.core.batches import BatchResult
from tailrace.core.errors import (
    BatchRefused,
    CredentialsRefused,
    DestinationUnavailable,
    InDoubt,
    TailraceError,
    Throttled,
)
from tailrace.core.rows import Operation, RowOutcome, Verdict

Promise = Callable[[Stage], Awaitable[str | None]]
"""Something that must hold; tells what does not."""

_ROWS = 5
_BAD = 2
_SPEAKS_OF_NO_ROW = (AllOrNothing, Single, Counted)


@dataclass(frozen=True, slots=True)
class Finding:
    """A promise that does not hold."""

    operation: Operation
    promise: str
    problem: str

    def __str__(self) -> str:
        return f"{self.operation}: {self.promise}: {self.problem}"


async def rehearse(manifest: Manifest, promise: Promise) -> list[Finding]:
    """What does not hold, of all operations."""
    found: list[Finding] = []
    name = promise.__name__.replace("_", " ")
    for family in manifest.families:
        for operation in sorted(family.operations):
            for key_name in ("", *family.operations[operation].by_key):
                async with staged(family, operation, key_name) as stage:
                    problem = await promise(stage)
                if problem is not None:
                    found.append(Finding(operation, name, problem))
    return found


async def every_row_is_delivered_by_an_answer_of_success(stage: Stage) -> str | None:
    """An answer that names no failure delivers the batch."""
    count = _count(stage)
    stage.answer(count)
    outcomes = (await stage.send(count)).outcomes
    return _unless(all(each.verdict is Verdict.DELIVERED for each in outcomes), f"got {_told(outcomes)}")


async def the_row_that_failed_is_rejected_and_no_other(stage: Stage) -> str | None:
    """An answer that names a row rejects that row."""
    count = _count(stage)
    bad = min(_BAD, count - 1)
    stage.answer(count, bad)
    got = await _result(stage, count)
    if isinstance(stage.write.read, _SPEAKS_OF_NO_ROW) and count > 1:
        return _unless(isinstance(got, BatchRefused), f"the batch was to be refused, got {_shown(got)}")
    if isinstance(got, TailraceError):
        return f"got {got.code}"
    rest = Verdict.RETRY if _leaves_out_the_rest(stage) else Verdict.DELIVERED
    wanted = [Verdict.REJECTED if at == bad else rest for at in range(count)]
    return _unless([each.verdict for each in got] == wanted, f"row {bad} of {count} failed, got {_told(got)}")


async def a_refused_batch_is_refused_and_a_refused_row_rejected(stage: Stage) -> str | None:
    """A batch of several is halved by the engine; a row alone is a dead letter with the vendor's own words."""
    stage.vendor.answer(response(422, {"message": "no"}))
    got = await _result(stage, _count(stage))
    if _count(stage) > 1 and not isinstance(got, BatchRefused):
        return f"several rows: {_shown(got)}"
    alone = await _result(stage, 1)
    return _unless(isinstance(alone, list) and alone[0].verdict is Verdict.REJECTED, f"alone: {_shown(alone)}")


async def a_throttle_is_waited_for(stage: Stage) -> str | None:
    """A 429 is no failure of rows."""
    stage.vendor.answer(response(429, {}))
    got = await _result(stage, _count(stage))
    return _unless(isinstance(got, Throttled), f"got {_shown(got)}")


async def an_outage_applies_nothing(stage: Stage) -> str | None:
    """A 503 is no failure of rows."""
    stage.vendor.answer(response(503, {}))
    got = await _result(stage, _count(stage))
    return _unless(isinstance(got, DestinationUnavailable), f"got {_shown(got)}")


async def expired_credentials_are_renewed_once_or_refused(stage: Stage) -> str | None:
    """With a token that can be renewed, one more request; without, the run stops and buries no row."""
    count = _count(stage)
    stage.vendor.answer(response(401, {}))
    got = await _result(stage, count)
    if not isinstance(got, CredentialsRefused):
        return f"got {_shown(got)}"
    if not isinstance(stage.manifest.auth, Granted | EitherGrant):
        return _unless(len(stage.vendor.writes) == 1, "it was sent again with the same credentials")
    stage.answer_with(response(401, {}), said(stage.manifest, stage.write, stage.sent(count), ()))
    again = await _result(stage, count)
    return _unless(isinstance(again, list), f"with a fresh token: {_shown(again)}")


async def a_lost_answer_is_in_doubt(stage: Stage) -> str | None:
    """A time-out after the request was sent is no failure."""
    stage.vendor.answer(InDoubt("the answer is lost"))
    got = await _result(stage, _count(stage))
    return _unless(isinstance(got, InDoubt), f"got {_shown(got)}")


async def an_answer_that_makes_no_sense_delivers_nothing(stage: Stage) -> str | None:
    """A list of the wrong length, a row that was not sent, half an answer: never a delivered batch."""
    read = stage.write.read
    if isinstance(read, Single) or (isinstance(read, AllOrNothing) and read.receipt is None):
        return None
    count = _count(stage)
    for name, told in _nonsense(stage, count):
        stage.answer_with(told)
        got = await _result(stage, count)
        if isinstance(got, list) and all(each.verdict is Verdict.DELIVERED for each in got):
            return f"{name}: the whole batch counts as delivered"
    return None


async def no_request_is_above_a_limit(stage: Stage) -> str | None:
    """A full batch fits or is refused before it is sent; a row that is too large is rejected, also unsent."""
    most_rows, most_bytes = stage.write.max_rows.rows, stage.write.max_size.size_bytes
    if stage.plan.rows_per_batch > most_rows or stage.plan.bytes_per_batch > most_bytes:
        return "the plan allows more than the limits"
    stage.answer(most_rows)
    rows = stage.rows(most_rows, size=max(1, most_bytes // most_rows - 64))
    full = await _outcome_of(stage.destination.write(stage.plan, stage.batch(rows)))
    [large] = stage.rows(1, size=most_bytes)
    alone = await _outcome_of(stage.destination.write(stage.plan, stage.batch([large])))
    sizes = [len(request.body) for request in stage.vendor.writes]
    if any(size > most_bytes for size in sizes):
        return f"a request of {max(sizes)} bytes was sent, {most_bytes} are allowed"
    if not isinstance(full, list | BatchRefused):
        return f"a full batch: {_shown(full)}"
    if not stage.write.has_body or PRIVATE not in _all_sent(stage) + str(alone):
        return None
    is_rejected = isinstance(alone, list) and alone[0].code == "ROW_TOO_LARGE"
    return _unless(is_rejected or max(sizes) <= most_bytes, f"a row that is too large: {_shown(alone)}")


async def the_same_batch_makes_the_same_request(stage: Stage) -> str | None:
    """What is sent again is byte for byte what was sent."""
    count = _count(stage)
    stage.answer(count)
    await stage.send(count)
    await stage.send(count)
    first, second = stage.vendor.writes
    return _unless((first.url, first.body) == (second.url, second.body), "the second request differs")


async def no_failure_tells_a_secret_or_a_row(stage: Stage) -> str | None:
    """What a call raises may be logged."""
    for told in (response(400, {"message": PRIVATE}), response(401, {"m": SECRET}), response(500, {"m": PRIVATE})):
        stage.vendor.answer(told)
        failure = await _outcome_of(stage.send(_count(stage)))
        text = "".join(traceback.format_exception(failure)) if isinstance(failure, TailraceError) else ""
        if PRIVATE in text or SECRET in text:
            return f"HTTP {told.status}: the message of the failure holds what it must not"
    return None


PROMISES: Sequence[Promise] = (
    every_row_is_delivered_by_an_answer_of_success,
    the_row_that_failed_is_rejected_and_no_other,
    a_refused_batch_is_refused_and_a_refused_row_rejected,
    a_throttle_is_waited_for,
    an_outage_applies_nothing,
    expired_credentials_are_renewed_once_or_refused,
    a_lost_answer_is_in_doubt,
    an_answer_that_makes_no_sense_delivers_nothing,
    no_request_is_above_a_limit,
    the_same_batch_makes_the_same_request,
    no_failure_tells_a_secret_or_a_row,
)
"""Every promise, in the order in which a reader wants them."""


def _count(stage: Stage) -> int:
    return min(_ROWS, stage.write.max_rows.rows)


def _leaves_out_the_rest(stage: Stage) -> bool:
    read = stage.write.read
    return isinstance(read, FieldIndexes) or getattr(read, "rest", "") == "retry"


def _nonsense(stage: Stage, count: int) -> Iterator[tuple[str, HttpResponse]]:
    """Answers that a vendor should not give."""
    good = said(stage.manifest, stage.write, stage.sent(count), ())
    strange = [each.__class__(f"strange-{each.key}", f"strange-{each.trace}") for each in stage.sent(count + 1)]
    yield "an answer cut short", HttpResponse(200, good.headers, good.body[:-1])
    yield "an HTML page", HttpResponse(200, {"content-type": "text/html"}, b"<html>sign in</html>")
    yield "a number", response(200, 1)
    yield "a row more than was sent", said(stage.manifest, stage.write, strange, (count,))


async def _result(stage: Stage, count: int) -> list[RowOutcome] | TailraceError:
    return await _outcome_of(stage.send(count))


async def _outcome_of(writing: Awaitable[BatchResult]) -> list[RowOutcome] | TailraceError:
    try:
        return list((await writing).outcomes)
    except TailraceError as error:
        return error


def _all_sent(stage: Stage) -> str:
    return b"".join(request.body for request in stage.vendor.writes).decode(errors="replace")


def _unless(holds: bool, problem: str) -> str | None:  # noqa: FBT001 - a condition
    return None if holds else problem


def _shown(got: list[RowOutcome] | TailraceError) -> str:
    return got.code if isinstance(got, TailraceError) else _told(got)


def _told(outcomes: Sequence[RowOutcome]) -> str:
    return ", ".join(each.verdict for each in outcomes)
