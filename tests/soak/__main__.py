"""`make soak ARGS="--minutes 60 --json PATH"`: kills, freezes, stops, outages and mixes of faults, until time is up.

Exit code 1 if anything was lost, invented, repeated too often, or did not end.
"""

import asyncio
import sys
import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import orjson

from tailrace.core.syncs import SyncMode
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace.store import migrations
from tests.faults.trial import ROWS
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.trials import Outcome
from tests.soak.faults import FAULTS
from tests.soak.load import Load, keep_busy
from tests.soak.site import Site

TRIALS_AT_MOST = 960

_DEFAULT_MINUTES = 2.0


@dataclass(slots=True)
class Report:
    """What a soak came to so far."""

    outcomes: list[Outcome] = field(default_factory=list)
    breaches: list[str] = field(default_factory=list)
    load: Load = field(default_factory=Load)
    took_s: float = 0.0

    @property
    def told(self) -> dict[str, object]:
        """All of it, to be printed or kept."""
        resumed = sorted(outcome.resumed_s for outcome in self.outcomes if outcome.resumed_s)
        breaches = [*self.breaches, *self.load.breaches]
        return {
            "minutes": round(self.took_s / 60, 1),
            "trials": len(self.outcomes),
            "faults": dict(Counter(outcome.kind for outcome in self.outcomes)),
            "rows": len(self.outcomes) * ROWS + self.load.rows,
            "lost": sum("no loss" in breach for breach in breaches),
            "invented": sum("no invention" in breach for breach in breaches),
            "repeated": sum(outcome.repeated for outcome in self.outcomes),
            "repeats_allowed": sum(outcome.allowed for outcome in self.outcomes),
            "resumed_s": {"median": round(resumed[len(resumed) // 2], 1), "most": round(resumed[-1], 1)}
            if resumed
            else {},
            "runs_of_the_load": self.load.runs,
            "takeovers_of_the_load": self.load.takeovers,
            "memory_mib": {"first": round(self.load.first_mib, 1), "last": round(self.load.last_mib, 1)},
            "breaches": breaches,
        }


def main() -> None:
    """Soak, and print what came of it."""
    wanted = _arguments()
    report = asyncio.run(_soak(wanted))
    told = orjson.dumps(report.told, option=orjson.OPT_INDENT_2)
    sys.stdout.buffer.write(told + b"\n")
    if wanted.json:
        wanted.json.write_bytes(told)
    sys.exit(1 if report.told["breaches"] else 0)


async def _soak(wanted: Namespace) -> Report:
    report, done = Report(), asyncio.Event()
    chance, began = Random(wanted.seed), time.monotonic()
    with TemporaryDirectory(prefix="tailrace-soak-") as folder:
        async with EmbeddedPostgres(durable=False) as postgres, AsyncExitStack() as stack:
            server = PostgresServer(postgres.dsn("postgres"))
            template = await stack.enter_async_context(server.fresh_database())
            await migrations.upgrade(server.dsn(template))
            site = Site(server, template, Path(folder))
            async with asyncio.TaskGroup() as tasks, site.trials([SyncMode.UPSERT]) as [busy]:
                working = tasks.create_task(keep_busy(busy, report.load, done))
                while time.monotonic() - began < wanted.minutes * 60 and len(report.outcomes) < wanted.trials:
                    await _round(site, chance, report)
                    report.took_s = time.monotonic() - began
                done.set()
                await asyncio.wait({working})
    return report


async def _round(site: Site, chance: Random, report: Report) -> None:
    [fault] = chance.choices([fault for fault, _ in FAULTS], [weight for _, weight in FAULTS])
    breaches, outcomes = await fault(site, chance)
    report.breaches += breaches
    report.outcomes += outcomes
    sys.stderr.writelines(f"{breach}\n" for breach in breaches)
    sys.stderr.write(f"{len(report.outcomes)} trials, {len(report.breaches)} breaches; {fault.__name__}\n")


def _arguments() -> Namespace:
    parser = ArgumentParser(prog="make soak ARGS=...")
    parser.add_argument("--minutes", type=float, default=_DEFAULT_MINUTES)
    parser.add_argument("--trials", type=int, default=TRIALS_AT_MOST, help="stop after so many, if that comes first")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where to keep the figures")
    return parser.parse_args()


if __name__ == "__main__":
    main()
