"""How many runs one executor holds at once whose destinations take their time: memory, and how late its loop is."""

import asyncio
import os
import tempfile
import time
from argparse import Namespace
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import ClientError, ClientSession
from prometheus_client.parser import text_string_to_metric_families

from tailrace.core.ids import SyncId, WorkspaceId, new_run_id
from tailrace.core.runs import RunKind, RunTrigger
from tailrace.embedded.ports import LOOPBACK
from tailrace.events.run_events import run_queued
from tailrace.store.connections import ConnectionDraft, ConnectionKind, Connections
from tailrace.store.runs import NewRun, Runs
from tests.bench.ground import connected, open_ground
from tests.bench.sink import Terms, open_sink
from tests.bench.still_source import NAME, offered
from tests.bench.stock import percentiles_ms
from tests.executor.yard import definition_of, make_sync, open_chassis
from tests.walks.processes import ServiceProcess, a_service

_CHECKOUT = Path(__file__).parents[2]
_ROWS = 10
_LOOK_S = 0.25
_ENDED_S = 600.0
_REQUEST_S = 300
_AT_ONCE = 50
_KIB_PER_MIB = 1024
_STILL = "UPDATE connections SET connector = $1 WHERE kind = 'source'"
_COPY = """
WITH made AS (
  INSERT INTO syncs (id, workspace_id, name, destination_id, definition, schedule)
  SELECT 'bench_' || place, workspace_id, name, sink,
    jsonb_set(definition, '{destination_id}', to_jsonb(sink)), schedule
  FROM syncs, unnest($1::text[]) WITH ORDINALITY AS one (sink, place) WHERE syncs.id = $2 RETURNING id, definition
)
INSERT INTO sync_versions (sync_id, version, definition) SELECT id, 1, definition FROM made
"""
_LEFT = "SELECT count(*) FROM runs WHERE status IN ('queued', 'running')"
_ENDED = """
SELECT count(*) FILTER (WHERE status = 'succeeded') AS succeeded,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - started_at)) AS p50_s,
  max(extract(epoch FROM finished_at - started_at)) AS max_s,
  extract(epoch FROM max(started_at) - min(started_at)) AS all_started_s
FROM runs
"""


@dataclass(slots=True)
class Seen:
    """What the executor told of itself, look by look."""

    held: int = 0
    lags_s: list[float] = field(default_factory=list)

    def add(self, exposed: str) -> None:
        """Take a look at its metrics in."""
        samples = {one.name: one.value for family in text_string_to_metric_families(exposed) for one in family.samples}
        self.held = max(self.held, int(samples.get("tailrace_runs_active", 0)))
        self.lags_s.append(samples.get("tailrace_loop_lag_seconds", 0.0))


def measure_slow_runs(arguments: Namespace) -> Mapping[str, float]:
    """Queue so many runs, each to a destination of its own that answers after a while; gives what holding them took."""
    return asyncio.run(_measure(arguments.runs, arguments.hold))


async def _measure(runs: int, hold_s: float) -> Mapping[str, float]:
    async with open_ground(_ROWS) as ground:
        return await hold_runs(await ground.fresh_store("store_slow_runs"), runs, hold_s)


async def hold_runs(store_url: str, runs: int, hold_s: float) -> Mapping[str, float]:
    """What holding them took, on a store with our schema."""
    with open_sink(Terms(delay_s=hold_s)) as sink, offered() as folder:
        secret_key = await _queue(store_url, runs, sink.url)
        async with _executor(store_url, secret_key, folder, runs) as executor:
            seen = await _watched(executor, store_url)
            peak_rss_mib = _peak_rss_mib(executor.child.pid)
    return {"runs": runs, "held": seen.held, **await _told(store_url), "peak_rss_mib": peak_rss_mib, **_lags(seen)}


async def _queue(store_url: str, count: int, sink_url: str) -> str:
    """Syncs with a destination each, and a run of each that waits; gives the key that their secrets are sealed with."""
    async with open_chassis(store_url) as chassis:
        connections, runs = Connections(chassis.database, chassis.box), Runs(chassis.database)
        drafts = [ConnectionDraft(f"sink {number}", {"url": sink_url}, {}) for number in range(count)]
        source = ConnectionDraft("still", {}, {})
        sync = await make_sync(chassis, source, drafts[0], definition_of("SELECT 1", ("id",)))
        room = asyncio.Semaphore(_AT_ONCE)

        async def sink_of(draft: ConnectionDraft) -> str:
            async with room:
                kind = ConnectionKind.DESTINATION
                return (await connections.create(sync.workspace_id, kind, "http", draft)).id

        sinks = await asyncio.gather(*map(sink_of, drafts[1:]))
        await chassis.database.execute(_STILL, NAME)
        async with chassis.database.transaction() as connection:
            await connection.execute(_COPY, sinks, sync.id)
            names = [sync.id, *(SyncId(f"bench_{number + 1}") for number in range(count - 1))]
            await runs.start_all(connection, [_run(sync.workspace_id, name) for name in names], run_queued)
        return chassis.settings.secret_key.get_secret_value()


def _run(workspace_id: WorkspaceId, sync_id: SyncId) -> NewRun:
    return NewRun(new_run_id(), workspace_id, sync_id, RunKind.INCREMENTAL, RunTrigger.API, "bench")


@asynccontextmanager
async def _executor(store_url: str, secret_key: str, folder: str, runs: int) -> AsyncIterator[ServiceProcess]:
    given = {
        "PYTHONPATH": os.pathsep.join([folder, str(_CHECKOUT), os.environ.get("PYTHONPATH", "")]),
        "TAILRACE_DATABASE_URL": store_url,
        "TAILRACE_SECRET_KEY": secret_key,
        "TAILRACE_OPS_PORT": "0",
        "TAILRACE_ALLOW_PRIVATE_DESTINATIONS": "true",
        "TAILRACE_EXECUTOR_MAX_RUNS": str(runs),
        "TAILRACE_REQUEST_TIMEOUT_S": str(_REQUEST_S),
        "TAILRACE_SHUTDOWN_GRACE_S": str(_REQUEST_S + 20),
        "TAILRACE_POD_NAME": "executor",
    }
    with tempfile.TemporaryDirectory() as logs:
        async with a_service("executor", "executor", Path(logs) / "executor.log", given) as executor:
            await executor.ready()
            yield executor


async def _watched(executor: ServiceProcess, store_url: str) -> Seen:
    """What it tells of itself until every run has ended."""
    seen, port = Seen(), (await executor.first("process.opened"))["ops_port"]
    begun = time.monotonic()
    async with (
        connected(store_url) as state,
        ClientSession(f"http://{LOOPBACK}:{port}") as session,
        asyncio.timeout(_ENDED_S),
    ):
        while await state.fetchval(_LEFT):
            try:
                async with session.get("/metrics") as exposed:
                    seen.add(await exposed.text())
            except ClientError as error:
                after_s = time.monotonic() - begun
                last = executor.lines[-1:]
                raise SystemExit(f"slow_runs: the executor is gone after {after_s:.0f} s: {error!r}, {last}") from error
            await asyncio.sleep(_LOOK_S)
    return seen


async def _told(store_url: str) -> Mapping[str, float]:
    async with connected(store_url) as state:
        row = await state.fetchrow(_ENDED)
    return {name: round(float(value), 1) for name, value in row.items()} if row else {}


def _lags(seen: Seen) -> Mapping[str, float]:
    return {f"loop_lag_{name}": value for name, value in percentiles_ms(seen.lags_s or [0.0], 50, 99).items()}


def _peak_rss_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    [peak] = [line.split()[1] for line in lines if line.startswith("VmHWM")]
    return round(int(peak) / _KIB_PER_MIB, 1)
