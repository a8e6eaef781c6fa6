from collections.abc import Awaitable, Callable

import pytest

from tailrace.connector_kit.long_jobs import MOST_HOURS, LongJobs
from tailrace.core.errors import DestinationInvalid, InDoubt, Unfinished
from tests.destinations.clocks import Clock


def ending_at(clock: Clock, end_s: float) -> Callable[[], Awaitable[str | None]]:
    async def look() -> str | None:
        return "done" if clock.monotonic() >= end_s else None

    return look


async def test_job_is_asked_about_until_it_ends() -> None:
    jobs = LongJobs(clock := Clock(), poll_s=5)
    jobs.begin("batch", "job")

    assert await jobs.ended("batch", ending_at(clock, 42), until=60) == "done"
    assert clock.monotonic() == 45


async def test_job_that_outlives_a_write_is_the_one_of_the_next() -> None:
    jobs = LongJobs(clock := Clock(), poll_s=5)
    jobs.begin("batch", "job")

    with pytest.raises(Unfinished) as unfinished:
        await jobs.ended("batch", ending_at(clock, 100), until=60)

    assert (clock.monotonic(), unfinished.value.retry_after_s, jobs.id_of("batch")) == (60, 5, "job")
    assert await jobs.ended("batch", ending_at(clock, 100), until=120) == "done"


async def test_job_that_works_for_hours_is_given_up_and_not_asked_about_again() -> None:
    jobs = LongJobs(clock := Clock(), poll_s=60)
    jobs.begin("batch", "job")

    with pytest.raises(InDoubt):
        await jobs.ended("batch", ending_at(clock, 1e9), until=1e9)

    assert (clock.monotonic(), jobs.id_of("batch")) == (MOST_HOURS * 3600, None)


async def test_job_that_the_destination_knows_no_more_leaves_its_rows_in_doubt() -> None:
    jobs = LongJobs(Clock(), poll_s=5)
    jobs.begin("batch", "job")

    async def look() -> None:
        raise DestinationInvalid("there is no such job")

    with pytest.raises(InDoubt, match="no such job"):
        await jobs.ended("batch", look, until=60)

    assert jobs.id_of("batch") is None


def test_job_that_is_forgotten_is_no_job_of_the_batch() -> None:
    jobs = LongJobs(Clock(), poll_s=5)
    jobs.begin("batch", "job")
    jobs.begin("other", "another")

    jobs.forget("batch")
    jobs.forget("unknown")

    assert (jobs.id_of("batch"), jobs.id_of("other")) == (None, "another")
