"""Where trials take place: a state store that writes its history, and services as processes to break."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from tailrace.core.errors import StoreUnavailable
from tailrace.core.ids import RunId
from tailrace.core.runs import RunStatus
from tailrace.runtime.service import Chassis
from tailrace.store.database import Record
from tests.executor.yard import open_chassis
from tests.faults.history import history_of, keep_history
from tests.walks.processes import ServiceProcess, a_service

PATIENCE_S = 90.0
"""Longest wait for what is certain to come, on a machine with other work."""
WINDOW_ROWS = 100
TTL_S = 6.0
# As short as the rules between them allow.
SHORT_LEASES: dict[str, object] = {
    "lease_ttl_s": TTL_S,
    "heartbeat_s": 2,
    "lease_margin_s": 1,
    "takeover_grace_s": 1,
    "database_acquire_s": 1,
    "database_command_s": 2,
    "database_pool_size": 4,
    "poll_s": 0.5,
    "checkpoint_s": 0.2,
    "window_rows": WINDOW_ROWS,
    "request_timeout_s": 5,
}  # Where nothing shall be handed over but by the fault, however slow the machine.
CALM: dict[str, object] = {
    "lease_ttl_s": 60,
    "database_acquire_s": 20,
    "database_command_s": 20,
    "database_pool_size": 10,
}

_LOOK_S = 0.02
_LEVELS = {"error", "critical"}
_DRIVERS = ("aiokafka",)
_OWNER = "SELECT lease_owner FROM run_shards WHERE run_id = $1 AND shard = 0"
_SHARD = "SELECT * FROM run_shards WHERE run_id = $1 AND shard = 0"
_BEGUN = "SELECT count(*) FROM run_shards WHERE run_id = ANY ($1) AND lease_epoch > 0"
_TAKEOVERS = "SELECT sum(greatest(lease_epoch - 1, 0)) FROM run_shards WHERE run_id = $1"
_STATUS = "SELECT status FROM runs WHERE id = $1"
_HELD = "SELECT scope, slot FROM destination_slots WHERE lease_token IS NOT NULL AND lease_token <> ALL ($1::uuid[])"
_TOKENS = "SELECT DISTINCT lease_token FROM destination_slots WHERE scope = $1 AND lease_token IS NOT NULL"
# What a client forgot; an open transaction that is at work says something else.
_FORGOTTEN = """
SELECT application_name FROM pg_stat_activity
WHERE datname = current_database() AND state LIKE 'idle in transaction%'
  AND state_change < clock_timestamp() - interval '1 second'
"""


@dataclass(slots=True)
class Ground:
    """`services_url` is the way of the services to the state store, which may be worse than that of the test."""

    chassis: Chassis
    services_url: str
    folder: Path
    stack: AsyncExitStack
    services: list[ServiceProcess] = field(default_factory=list)
    settings: dict[str, object] = field(default_factory=dict)
    tokens_of_the_dead: set[UUID] = field(default_factory=set)

    async def start(self, service: str, failpoint: str = "", **settings: object) -> ServiceProcess:
        """Start a service, as a process; an empty failpoint is none."""
        pod_name = f"{service}-{len(self.services) + 1}"
        ours = self.chassis.settings
        given = {
            **SHORT_LEASES,
            "database_url": self.services_url,
            "secret_key": ours.secret_key.get_secret_value(),
            "allow_private_destinations": True,
            "port": 0,
            "ops_port": 0,
            "pod_name": pod_name,
            "failpoint": failpoint,
            **self.settings,
            **settings,
        }
        environment = {f"TAILRACE_{name.upper()}": str(value) for name, value in given.items()}
        log = self.folder / f"{pod_name}.log"
        process = await self.stack.enter_async_context(a_service(service, pod_name, log, environment))
        self.services.append(process)
        return process

    async def executor(self, failpoint: str = "", **settings: object) -> ServiceProcess:
        """Start an executor."""
        return await self.start("executor", failpoint, **settings)

    async def owner(self, run_id: RunId) -> ServiceProcess:
        """The process that has the run, or its first shard, once one has it; of several, the last."""
        async with asyncio.timeout(PATIENCE_S):
            while (name := await self.chassis.database.fetchval(_OWNER, run_id)) is None:  # noqa: ASYNC110 - another process decides
                await asyncio.sleep(_LOOK_S)
        [found] = [process for process in self.services if process.pod_name == name]
        return found

    async def shard(self, run_id: RunId) -> Record:
        """The shard of the run, or the first of them, as it stands."""
        row = await self.chassis.database.fetchrow(_SHARD, run_id)
        assert row is not None
        return row

    async def takeovers(self, run_id: RunId) -> int:
        """How many owners of the run, or of its shards, were not the first."""
        return int(await self.chassis.database.fetchval(_TAKEOVERS, run_id))

    async def begun(self, run_ids: Sequence[RunId]) -> int:
        """How many shards of these runs anybody has worked on."""
        return int(await self.chassis.database.fetchval(_BEGUN, list(run_ids)))

    async def ended(self, run_id: RunId, *, within_s: float = PATIENCE_S) -> RunStatus:
        """How a run ended, once it has; the store may be away in between."""
        async with asyncio.timeout(within_s):
            while not (status := await self._status(run_id)).is_terminal:  # noqa: ASYNC110 - the same
                await asyncio.sleep(_LOOK_S)
        return status

    async def bury(self, scope: str) -> None:
        """Who was killed frees no slots: those held in this scope now end with their leases, and are no leak."""
        self.tokens_of_the_dead |= {row["lease_token"] for row in await self.chassis.database.fetch(_TOKENS, scope)}

    @property
    def leases_lost(self) -> int:
        """How often a process found a run of its own to be another's."""
        return sum(len(process.all("lease.lost")) for process in self.services)

    async def close(self, *, expected: Collection[str] = ()) -> list[str]:
        """End all services in order; gives what they left behind, or complained of, that was not expected."""
        alive = [process for process in self.services if process.child.returncode is None]
        codes = await asyncio.gather(*(process.stop() for process in alive))
        stuck = [
            f"end in order: {one.pod_name} ended with {code}" for one, code in zip(alive, codes, strict=True) if code
        ]
        return [*stuck, *self._complaints(expected), *await self._leaks()]

    async def breaches(self, *, expected: Collection[str] = ()) -> list[str]:
        """What must not have been at any time, nor be left when all is over."""
        history = await history_of(self.chassis.database)
        return [*history.breaches(), *await self.close(expected=expected)]

    def _complaints(self, expected: Collection[str]) -> Sequence[str]:
        lines = [(process.pod_name, line) for process in self.services for line in process.lines]
        return [
            f"no complaint: {pod_name} said {line}"
            for pod_name, line in lines
            if line["level"] in _LEVELS and not line["logger"].startswith(_DRIVERS) and line["event"] not in expected
        ]

    async def _leaks(self) -> Sequence[str]:
        database = self.chassis.database
        forgotten = [row["application_name"] for row in await database.fetch(_FORGOTTEN)]
        held = [f"{row['scope']}/{row['slot']}" for row in await database.fetch(_HELD, self.tokens_of_the_dead)]
        return [
            *(f"no leak: {name} left a transaction open" for name in forgotten),
            *(f"no leak: slot {slot} is held" for slot in held),
        ]

    async def _status(self, run_id: RunId) -> RunStatus:
        try:
            return RunStatus(await self.chassis.database.fetchval(_STATUS, run_id))
        except StoreUnavailable:
            return RunStatus.QUEUED


@asynccontextmanager
async def open_ground(database_url: str, folder: Path, *, services_url: str = "") -> AsyncIterator[Ground]:
    """A ground on a fresh state store; every process ends with the scope."""
    async with open_chassis(database_url) as chassis, AsyncExitStack() as stack:
        await keep_history(chassis.database)
        yield Ground(chassis, services_url or database_url, folder, stack)
