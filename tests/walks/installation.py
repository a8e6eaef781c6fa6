"""Tailrace as an operator installs it: a database, topics, four services, a workspace and a way in."""

import base64
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientTimeout

from tailrace.embedded.ports import LOOPBACK
from tests.cli.commands import tailrace
from tests.gateway.caller import Caller
from tests.walks.processes import Line, ServiceProcess, a_service

SERVICES = ("gateway", "scheduler", "executor", "dlq")

_CALL_S = 20.0
_LEVELS = {"error", "critical"}
_DRIVERS = ("aiokafka",)


@dataclass(frozen=True, slots=True)
class Site:
    """Where an installation keeps its state, its events and its logs."""

    database_url: str
    bootstrap: str
    topic_prefix: str
    folder: Path


@dataclass(slots=True)
class Installation:
    """The services that were started, and how they are set up."""

    site: Site
    environment: Mapping[str, str]
    stack: AsyncExitStack
    services: list[ServiceProcess] = field(default_factory=list)

    async def start(self, *names: str, **settings: object) -> list[ServiceProcess]:
        """Processes of these services with the settings on top; gives them once all are ready."""
        started = [await self._start(name, settings) for name in names]
        for service in started:
            await service.ready()
        return started

    async def stop(self) -> Sequence[int]:
        """End all services that still run, in order; gives the exit codes of those."""
        running = [service for service in self.services if service.child.returncode is None]
        return [await service.stop() for service in running]

    @property
    def complaints(self) -> list[Line]:
        """What the services have logged as errors of their own; drivers complain of what our services mend."""
        lines = [line for service in self.services for line in service.lines]
        return [line for line in lines if line["level"] in _LEVELS and not line["logger"].startswith(_DRIVERS)]

    def service(self, pod_name: str) -> ServiceProcess:
        """The process of that name."""
        [found] = [service for service in self.services if service.pod_name == pod_name]
        return found

    def logs_hold(self, text: str) -> bool:
        """Whether any service has logged the text."""
        return any(text in service.log.read_text() for service in self.services)

    async def _start(self, name: str, settings: Mapping[str, object]) -> ServiceProcess:
        pod_name = f"{name}-{len(self.services) + 1}"
        given = {f"TAILRACE_{key.upper()}": str(value) for key, value in settings.items()}
        environment = {**self.environment, "TAILRACE_POD_NAME": pod_name, **given}
        log = self.site.folder / f"{pod_name}.log"
        service = await self.stack.enter_async_context(a_service(name, pod_name, log, environment))
        self.services.append(service)
        return service


@dataclass(frozen=True, slots=True)
class WayIn:
    """A workspace with an admin, who calls the gateway."""

    workspace_id: str
    admin: Caller


@asynccontextmanager
async def install(site: Site) -> AsyncIterator[Installation]:
    """An installation with its topics and no service yet; every process ends with the scope."""
    environment = {
        "TAILRACE_DATABASE_URL": site.database_url,
        "TAILRACE_SECRET_KEY": base64.b64encode(os.urandom(32)).decode(),
        "TAILRACE_KAFKA_BOOTSTRAP": site.bootstrap,
        "TAILRACE_TOPIC_PREFIX": site.topic_prefix,
        "TAILRACE_PORT": "0",
        "TAILRACE_OPS_PORT": "0",
        # Warehouse and destination are on loopback here.
        "TAILRACE_ALLOW_PRIVATE_DESTINATIONS": "true",
    }
    await told("db", "upgrade", environment=environment)
    await told("kafka", "topics", "apply", "--replication-factor", "1", environment=environment)
    async with AsyncExitStack() as stack:
        yield Installation(site, environment, stack)


@asynccontextmanager
async def way_in(installation: Installation, gateway: ServiceProcess) -> AsyncIterator[WayIn]:
    """A fresh workspace, and its admin at the gateway."""
    environment = installation.environment
    workspace = await told("workspace", "create", "walks", environment=environment)
    token = await told("token", "create", "--workspace", workspace["id"], environment=environment)
    url = f"http://{LOOPBACK}:{(await gateway.first('gateway.opened'))['port']}"
    async with ClientSession(timeout=ClientTimeout(_CALL_S)) as session:
        yield WayIn(workspace["id"], Caller(session, url, token["token"]))


async def told(*arguments: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """What a command says, which must succeed."""
    ended = await tailrace(*arguments, "--json", environment=environment)
    assert ended.code == 0, ended.stderr
    answer: dict[str, Any] = ended.json()
    return answer
