"""Work that goes on all the while: one executor, run after run of one sync, and what it takes in memory."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from tailrace.core.runs import RunStatus
from tests.faults.ground import WINDOW_ROWS
from tests.faults.trial import Trial
from tests.walks.processes import ServiceProcess

_CHANGE = "UPDATE people SET email = 'round' || $1 || '-' || id || '@example.com'"
_KIB_PER_MIB = 1024
_WARM_AFTER_RUNS = 5


@dataclass(slots=True)
class Load:
    """`first_mib` is measured once the executor is warm, `last_mib` after each run.

    Nobody disturbs it, but a machine that has too much to do makes it lose a lease: `takeovers` counts how often.
    """

    runs: int = 0
    rows: int = 0
    takeovers: int = 0
    first_mib: float = 0.0
    last_mib: float = 0.0
    breaches: list[str] = field(default_factory=list)


async def keep_busy(trial: Trial, load: Load, done: asyncio.Event) -> None:
    """Change every row and send it, again and again."""
    executor = await trial.ground.executor()
    while not done.is_set():
        await trial.yard.warehouse.execute(_CHANGE, str(load.runs))
        page = trial.sink.page
        run = await trial.run()
        came = trial.sink.rows(since=page)
        load.runs += 1
        load.rows += came.total()
        load.last_mib = resident_mib(executor)
        if load.runs <= _WARM_AFTER_RUNS:
            load.first_mib = load.last_mib
        wanted = {row for row in await trial.people() if not trial.sink.is_refused(row[0])}
        takeovers = (await trial.ground.shard(run.id))["lease_epoch"] - 1
        load.takeovers += takeovers
        repeated = came.total() - len(came)
        if run.status is not RunStatus.SUCCEEDED or set(came) != wanted or repeated > takeovers * WINDOW_ROWS:
            load.breaches.append(
                f"load: run {load.runs} ended as {run.status}, {came.total()} of {len(wanted)} rows came,"
                f" {takeovers} takeovers"
            )


def resident_mib(process: ServiceProcess) -> float:
    """What a process has of memory."""
    lines = Path(f"/proc/{process.child.pid}/status").read_text().splitlines()
    [kib] = [line.split()[1] for line in lines if line.startswith("VmRSS:")]
    return int(kib) / _KIB_PER_MIB
