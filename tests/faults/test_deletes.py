"""An executor is killed while it deletes what left the query, and another goes on: nothing else is deleted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from tailrace.core.runs import RunStatus
from tailrace.core.syncs import SyncMode
from tailrace.store.runs import Run
from tests.faults.ground import WINDOW_ROWS, Ground
from tests.faults.kills import died
from tests.faults.trial import BYSTANDER, Trial, open_trial
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.trials import Count, Outcome
from tests.walks.processes import ServiceProcess

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

GONE = range(101, 201)
"""Who leaves the source: fewer than a tenth, which a run may delete."""
# Nothing is sent while rows are read, and what is settled of them is one checkpoint, or few on a busy machine.
PLACES = (
    "exec.before_send:3",
    "exec.after_send_before_response:3",
    "exec.after_response_before_checkpoint:2",
    "exec.ckpt_after_run_update_before_commit:2",
    "exec.ckpt_after_commit:2",
    "exec.before_finish:1",
)
_LEAVE = "DELETE FROM people WHERE id BETWEEN $1 AND $2"


@pytest_asyncio.fixture
async def mirrors(postgres_server: PostgresServer, ground: Ground) -> AsyncIterator[list[Trial]]:
    """A mirror for each place, on the same ground, that has been in step and is so no more."""
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(open_trial(postgres_server, ground, SyncMode.MIRROR)) for _ in PLACES]
        first = await ground.executor()
        await asyncio.gather(*(mirror.run() for mirror in opened))
        await first.stop()
        for mirror in opened:
            await mirror.yard.warehouse.execute(_LEAVE, GONE.start, GONE.stop - 1)
        yield opened


async def test_deletes_of_killed_executors_are_carried_out_once_more_and_no_others(
    ground: Ground, mirrors: list[Trial], count: Count
) -> None:
    pages = [mirror.sink.page for mirror in mirrors]
    victims = [await _victim(ground, place) for place in PLACES]

    started = [await mirror.yard.start() for mirror in mirrors]
    await asyncio.gather(*(died(victim) for victim in victims))
    await ground.executor()
    runs = await asyncio.gather(*(mirror.ended(run_id) for mirror, run_id in zip(mirrors, started, strict=True)))

    checked = zip(mirrors, runs, pages, strict=True)
    found = [breach for mirror, run, page in checked for breach in await _breaches(mirror, run, page)]
    repeated = [_repeated(mirror, page) for mirror, page in zip(mirrors, pages, strict=True)]
    count(Outcome("executor killed while it deletes", 0.0, times, WINDOW_ROWS) for times in repeated)
    assert found == []
    assert await ground.breaches() == []


async def _victim(ground: Ground, place: str) -> ServiceProcess:
    """An executor that dies there; ready before the next one starts, so that a busy machine starts one at a time."""
    victim = await ground.executor(f"{place}:kill", executor_max_runs=1)
    await victim.ready()
    return victim


def _repeated(mirror: Trial, page: int) -> int:
    deleted = mirror.sink.rows(since=page)
    return deleted.total() - len(deleted)


async def _breaches(mirror: Trial, run: Run, page: int) -> list[str]:
    """What does not hold after a run that had to delete those who left, and nothing else."""
    books = run.books
    deleted = {person for person, _ in mirror.sink.rows(since=page)}
    known = {person for person in GONE if not mirror.sink.is_refused(person)}
    wanted = {BYSTANDER: "stays"} | {
        person: email for person, email in await mirror.people() if not mirror.sink.is_refused(person)
    }
    claims = {
        f"the run succeeds: it is {run.status}, {run.error_code}": run.status is RunStatus.SUCCEEDED,
        f"the books tell of all who left: {books}": books.balance
        and (books.removed, books.deleted, books.undeleted) == (len(GONE), len(known), 0),
        f"those and no others are deleted: {deleted ^ known}": deleted == known,
        "the table is what the source says": mirror.sink.table == wanted,
        f"few repeats: {_repeated(mirror, page)}": _repeated(mirror, page) <= WINDOW_ROWS,
        "the executor was killed": (await mirror.ground.shard(run.id))["lease_epoch"] > 1,
    }
    return [told for told, holds in claims.items() if not holds]
