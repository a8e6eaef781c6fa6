"""Schedulers as processes of their own, ended in ways that they can do nothing about."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

from tailrace.testing.eventually import eventually
from tests.scheduler.conftest import A_KEY
from tests.scheduler.hours import add_sync, an_hour_goes_by, assert_fired_once, count_due
from tests.store.conftest import Stage
from tests.walks.processes import ServiceProcess, a_service

SYNCS = 300
HOURS = 3


def environment(database_url: str) -> Mapping[str, str]:
    return {
        "TAILRACE_DATABASE_URL": database_url,
        "TAILRACE_SECRET_KEY": A_KEY,
        "TAILRACE_OPS_PORT": "0",
        "TAILRACE_LOG_FORMAT": "json",
    }


async def test_killed_schedulers_leave_no_gap_and_no_double(stage: Stage, database_url: str, tmp_path: Path) -> None:
    ids = [await add_sync(stage, due_in=timedelta(minutes=59, milliseconds=number)) for number in range(SYNCS)]

    async with AsyncExitStack() as stack:

        async def start(pod_name: str) -> ServiceProcess:
            started = await stack.enter_async_context(
                a_service("scheduler", pod_name, tmp_path / f"{pod_name}.log", environment(database_url))
            )
            await started.ready()
            return started

        first, second = await start("first"), await start("second")
        await an_hour_goes_by(stage)
        await has_begun(stage)
        await first.kill()
        await eventually(lambda: count_due(stage.database), 0)
        third = await start("third")
        await an_hour_goes_by(stage)
        await has_begun(stage)
        await second.kill()
        await eventually(lambda: count_due(stage.database), 0)
        await an_hour_goes_by(stage)
        await has_begun(stage)
        code = await third.stop()
        fourth = await start("fourth")
        await eventually(lambda: count_due(stage.database), 0)
        codes = code, await fourth.stop()

    await assert_fired_once(stage, ids, hours=HOURS)
    assert codes == (0, 0)


async def has_begun(stage: Stage) -> None:
    """Return when some syncs of the hour have been fired."""

    async def begun() -> str:
        return "begun" if await count_due(stage.database) < SYNCS else "not begun"

    await eventually(begun, "begun")
