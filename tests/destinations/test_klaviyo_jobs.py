"""Batches of profiles: by a job, one by one, and what becomes of each row, over an account in memory."""

from collections.abc import Sequence
from random import Random

import pytest

from tailrace.connector_kit.http import HttpRequest, HttpResponse
from tailrace.core.errors import (
    BatchRefused,
    CredentialsRefused,
    DestinationUnavailable,
    InDoubt,
    TailraceError,
    Throttled,
    Unfinished,
)
from tailrace.core.rows import DELIVERED, RowOutcome
from tailrace.pipeline.breaker import Breaker, BreakerTerms
from tailrace.testing.fake_http import answer
from tests.destinations.clocks import Clock
from tests.destinations.described import Json
from tests.destinations.klaviyo_account import JOBS, Account, refused
from tests.destinations.klaviyo_rig import ROW_BY_ROW, TARGET, opened, people, profiles, put, rejections


async def test_few_profiles_go_one_by_one_and_each_has_its_outcome() -> None:
    account = Account()

    result = await put(account, people("Ada", "Mallory"))

    assert rejections(result.outcomes) == {1: "invalid"}
    assert (result.outcomes[1].message, result.outcomes[1].field) == ("not this one", "/data/attributes/first_name")
    assert (list(account.profiles), account.jobs) == (["e0"], {})


async def test_many_profiles_become_one_job() -> None:
    account = Account()

    result = await put(account, people("Ada", "Bob", "Eve"))

    assert result.outcomes == [DELIVERED] * 3
    assert account.profiles["e1"] == {"external_id": "e1", "first_name": "Bob", "properties": {"plan": "pro"}}
    assert (account.asked("POST", JOBS), account.asked("POST", ROW_BY_ROW)) == (1, 0)


@pytest.mark.parametrize(
    ("way", "counts"), [("payload", {}), ("payload", {"failed_count": None}), ("resource", {}), ("pointer", {})]
)
async def test_failures_of_a_job_are_those_of_their_rows_on_every_page(way: str, counts: Json) -> None:
    account = Account(names_rows_by=way, counts=counts)

    result = await put(account, people("Mallory", "Ada", "Mallory", "Bob", "Mallory", "Mallory", "Mallory"))

    assert rejections(result.outcomes) == dict.fromkeys((0, 2, 4, 5, 6), "invalid")
    assert result.outcomes[0].message == "not this one"
    assert sorted(account.profiles) == ["e1", "e3"]


@pytest.mark.parametrize(
    ("way", "counts"),
    [
        ("nothing", {}),
        ("payload", {"failed_count": 2}),
        ("payload", {"total_count": 2}),
        ("payload", {"total_count": None}),
        ("payload", {"completed_count": 1}),
    ],
)
async def test_job_that_does_not_say_what_became_of_each_row_is_sent_again_in_halves(way: str, counts: Json) -> None:
    account = Account(names_rows_by=way, counts=counts)

    with pytest.raises(BatchRefused):
        await put(account, people("Ada", "Mallory", "Bob"))


async def test_failures_that_are_too_many_are_not_read() -> None:
    account = Account(counts={"failed_count": 2001})

    with pytest.raises(BatchRefused):
        await put(account, people("Ada", "Mallory", "Bob"))

    assert account.asked("GET", f"{JOBS}/job-0/import-errors") == 0


async def test_position_that_no_row_has_names_none() -> None:
    account = Account()
    source = {"pointer": "/data/attributes/profiles/data/3/attributes/email"}
    error = {"attributes": {"code": "invalid", "source": source, "original_payload": None}}
    account.override("GET", f"{JOBS}/job-0/import-errors", answer(200, {"data": [error]}))

    with pytest.raises(BatchRefused, match="names no row"):
        await put(account, people("Ada", "Mallory", "Bob"))


async def test_error_without_a_key_is_not_that_of_a_key_of_spaces() -> None:
    account = Account(names_rows_by="pointer")

    result = await put(
        account, profiles({"external_id": " "}, {"external_id": "x", "first_name": "Mallory"}, {"external_id": "y"})
    )

    assert rejections(result.outcomes) == {1: "invalid"}


async def test_row_with_null_goes_by_itself_and_is_cleared() -> None:
    account = Account()
    account.profiles = {
        f"e{at}": {"first_name": "Old", "title": "kept", "properties": {"plan": "x"}} for at in range(5)
    }

    async with opened(account) as destination:
        plan = await destination.plan(TARGET)
        cleared: Json = {"external_id": "e4", "location": {"city": None}}
        rows = [*({"external_id": f"e{at}", "first_name": "New"} for at in range(3)), cleared]
        result = await destination.write(plan, profiles({"external_id": "e3", "plan": None}, *rows))

    assert result.outcomes == [DELIVERED] * 5
    assert (account.asked("POST", JOBS), account.asked("POST", ROW_BY_ROW)) == (1, 2)
    assert account.profiles["e0"] == {
        "external_id": "e0",
        "first_name": "New",
        "title": "kept",
        "properties": {"plan": "x"},
    }
    assert account.profiles["e3"]["properties"] == {"plan": None}
    assert account.profiles["e4"]["location"] == {"city": None}


async def test_job_that_takes_long_is_asked_about_again_for_the_same_rows() -> None:
    account, batch = Account(looks_until_done=15), people("Ada", "Mallory", "Bob")

    async with opened(account) as destination:
        plan = await destination.plan(TARGET)
        with pytest.raises(Unfinished):
            await destination.write(plan, batch)
        again = await destination.write(plan, batch)

    assert rejections(again.outcomes) == {1: "invalid"}
    assert (account.asked("POST", JOBS), account.asked("POST", ROW_BY_ROW)) == (1, 0)


async def test_job_that_is_done_is_not_made_again_for_a_row_that_waits() -> None:
    account, batch = Account(), people("Ada", "Mallory", "Bob", None)
    account.override("POST", ROW_BY_ROW, answer(429))

    async with opened(account) as destination:
        plan = await destination.plan(TARGET)
        with pytest.raises(Unfinished):
            await destination.write(plan, batch)
        again = await destination.write(plan, batch)

    assert rejections(again.outcomes) == {1: "invalid"}
    assert (account.asked("POST", JOBS), account.asked("POST", ROW_BY_ROW)) == (1, 2)


async def test_rows_that_went_by_themselves_are_not_sent_again_after_a_wait() -> None:
    account, batch = Account(), people("Ada", "Mallory")
    account.override("POST", ROW_BY_ROW, answer(200), answer(429))

    async with opened(account) as destination:
        plan = await destination.plan(TARGET)
        with pytest.raises(Unfinished):
            await destination.write(plan, batch)
        again = await destination.write(plan, batch)

    assert (rejections(again.outcomes), account.asked("POST", ROW_BY_ROW)) == ({1: "invalid"}, 3)


async def test_silence_before_any_row_got_through_is_a_silence_and_no_progress() -> None:
    account = Account()
    account.override("POST", ROW_BY_ROW, answer(429, b"", {"retry-after": "7"}))

    with pytest.raises(Throttled) as told:
        await put(account, people("Ada", "Bob"))

    assert (type(told.value), told.value.retry_after_s) == (Throttled, 7.0)


async def test_rows_that_get_through_between_silences_keep_the_run() -> None:
    account, batch, clock = Account(), people(*["Ada"] * 20), Clock()
    breaker = Breaker(BreakerTerms(hold_s=120.0), clock, Random(1))
    account.override("POST", ROW_BY_ROW, *[answer(200), answer(429, b"", {"retry-after": "30"})] * 19)

    async with opened(account, clock, bulk_from_rows=100) as destination:
        plan = await destination.plan(TARGET)
        outcomes: Sequence[RowOutcome] = []
        while not outcomes:
            try:
                with breaker.watched():
                    outcomes = (await destination.write(plan, batch)).outcomes
            except Throttled as throttled:
                breaker.heed(throttled, throttled.retry_after_s or 0.0)
                await clock.sleep(throttled.retry_after_s or 0.0)

    assert (outcomes, account.asked("POST", ROW_BY_ROW)) == ([DELIVERED] * 20, 39)


async def test_rows_that_go_by_themselves_end_in_time_and_go_on() -> None:
    account, batch, clock = Account(), people("Ada", "Bob"), Clock()

    def take_long(_: HttpRequest) -> HttpResponse:
        clock.at_s += 50
        return answer(200)

    account.override("POST", ROW_BY_ROW, take_long)

    async with opened(account, clock) as destination:
        plan = await destination.plan(TARGET)
        with pytest.raises(Unfinished):
            await destination.write(plan, batch)
        again = await destination.write(plan, batch)

    assert (again.outcomes, account.asked("POST", ROW_BY_ROW)) == ([DELIVERED] * 2, 2)


@pytest.mark.parametrize(
    ("told", "means"),
    [
        (answer(429, b"", {"retry-after": "9"}), Throttled),
        (answer(503), DestinationUnavailable),
        (answer(401), CredentialsRefused),
        (refused("no"), BatchRefused),
        (InDoubt("the answer is lost"), InDoubt),
        (answer(202), InDoubt),
        (answer(202, b"<html>"), InDoubt),
        (answer(202, {"data": {"id": None}}), InDoubt),
    ],
)
async def test_job_that_is_not_taken_delivers_nothing(
    told: HttpResponse | Exception, means: type[TailraceError]
) -> None:
    account, batch = Account(), people("Ada", "Bob", "Eve")
    account.override("POST", JOBS, told)

    async with opened(account) as destination:
        plan = await destination.plan(TARGET)
        with pytest.raises(means):
            await destination.write(plan, batch)
        again = await destination.write(plan, batch)

    assert (again.outcomes, len(account.jobs)) == ([DELIVERED] * 3, 1)


@pytest.mark.parametrize("told", [answer(503), answer(429), InDoubt("lost"), answer(200, {"data": []})])
@pytest.mark.parametrize("path", [f"{JOBS}/job-0", f"{JOBS}/job-0/import-errors"])
async def test_question_that_is_not_answered_is_asked_again_and_makes_no_second_job(
    told: HttpResponse | Exception, path: str
) -> None:
    account, batch = Account(), people("Ada", "Mallory", "Eve")
    account.override("GET", path, told)

    async with opened(account) as destination:
        plan = await destination.plan(TARGET)
        with pytest.raises(TailraceError):
            await destination.write(plan, batch)
        again = await destination.write(plan, batch)

    assert rejections(again.outcomes) == {1: "invalid"}


async def test_job_that_is_cancelled_is_in_doubt_and_made_anew() -> None:
    account, batch = Account(), people("Ada", "Bob", "Eve")
    cancelled = {"data": {"id": "job-0", "attributes": {"status": "cancelled"}}}
    account.override("GET", f"{JOBS}/job-0", answer(200, cancelled))

    async with opened(account) as destination:
        plan = await destination.plan(TARGET)
        with pytest.raises(InDoubt, match="cancelled"):
            await destination.write(plan, batch)
        again = await destination.write(plan, batch)

    assert (again.outcomes, len(account.jobs)) == ([DELIVERED] * 3, 2)
