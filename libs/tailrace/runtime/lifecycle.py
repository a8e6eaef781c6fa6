"""The life of a service's process: settings, logs, probes, signals, a bounded drain, an exit code.

Exit codes: 0 after a drain that ended in time; 1 after a failure or a drain that was cut; 2 where what was given
cannot work.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import NoReturn

import structlog

from tailrace.core.errors import Invalid, TailraceError
from tailrace.core.waits import pause
from tailrace.observe import failpoints, fields
from tailrace.observe.logs import configure_logs
from tailrace.runtime.chassis import open_chassis
from tailrace.runtime.ending import Ending
from tailrace.runtime.health import OK
from tailrace.runtime.interpreter import check_interpreter, collect_seldom, spare_what_stays
from tailrace.runtime.loop_lag import watch_loop
from tailrace.runtime.ops import serve_ops
from tailrace.runtime.sending import send_own_events
from tailrace.runtime.service import Chassis, Service
from tailrace.runtime.settings import Settings, load_settings
from tailrace.store.key_rotation import check_keys

if sys.platform != "win32":
    import uvloop

    _new_loop: Callable[[], asyncio.AbstractEventLoop] | None = uvloop.new_event_loop
else:
    _new_loop = None

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2

_ASK_AGAIN_S = 1.0
_NEEDED = ("database", "schema")

log = structlog.get_logger(__name__)


def main(service: Service) -> NoReturn:
    """Run the service until it is told to stop, then end the process."""
    sys.exit(run_process(lambda: _run(service)))


def run_process(work: Callable[[], Coroutine[None, None, None]]) -> int:
    """Run the work on an event loop of its own; gives the exit code."""
    try:
        check_interpreter()
        collect_seldom()
        spare_what_stays()
        with asyncio.Runner(loop_factory=_new_loop) as runner:
            runner.run(work())
    except Exception as error:  # noqa: BLE001  # the edge of a process: it becomes a log line and an exit code
        return _exit_code(error)
    return EXIT_OK


async def serve_all(services: Sequence[Service], chassis: Chassis) -> None:
    """Serve until `chassis.stopping` is set and every service has drained, with the probes up all the time.

    The services start once the schema is at head, so that they may be deployed before the migrations have run.

    :raises Invalid: the secret key is not the one that the database is sealed with.
    """
    for service in services:
        if service.listens:
            chassis.health.opening(service.name)
    async with serve_ops(chassis.health, chassis.settings) as ops_port, asyncio.TaskGroup() as group:
        watch = group.create_task(watch_loop(chassis))
        log.info("process.opened", ops_port=ops_port, pid=os.getpid())
        await _schema(chassis)
        if not chassis.stopping.is_set():
            await check_keys(chassis.database, chassis.box)
            async with asyncio.TaskGroup() as serving:
                serving.create_task(send_own_events(chassis))
                for service in services:
                    serving.create_task(_serve(service, chassis), name=service.name)
        watch.cancel()


async def _run(service: Service) -> None:
    settings = load_settings(Settings)
    bound = {fields.SERVICE: service.name, fields.POD: settings.pod_name}
    configure_logs(level=settings.log_level, form=settings.log_format, bound=bound)
    if settings.failpoint is not None:
        failpoints.arm(failpoints.parse_failpoint(settings.failpoint))
    ending = Ending(grace_s=settings.shutdown_grace_s)
    with ending.by_signals():
        opened = open_chassis(settings, service.name, ending.stopping, stays_open=service.listens)
        async with ending.bounded(), opened as chassis:
            await serve_all([service], chassis)
    log.info("process.stopped")


async def _serve(service: Service, chassis: Chassis) -> None:
    log.info("service.started", name=service.name)
    await service.serve(chassis)
    if not chassis.stopping.is_set():
        raise TailraceError(f"the service {service.name} ended without being told to")
    log.info("service.stopped", name=service.name)


async def _schema(chassis: Chassis) -> None:
    """Wait until the database is there with the schema of this release, or the process is to stop."""
    said: list[str] = []
    while not chassis.stopping.is_set():
        checks = (await chassis.health.ready()).checks
        missing = [checks[name] for name in _NEEDED if checks.get(name, OK) != OK]
        if not missing:
            return
        if missing != said:
            said = missing
            log.warning("schema.awaited", reasons=missing)
        await pause(chassis.stopping, _ASK_AGAIN_S)


def _exit_code(error: Exception) -> int:
    match _leaf(error):
        case Invalid() as wrong:
            sys.stderr.write(f"tailrace: {wrong.message}\n")
            return EXIT_USAGE
        case TailraceError() as expected:
            log.error("process.failed", code=expected.code, reason=expected.message)
        case _:
            log.error("process.failed", exc_info=error)
    return EXIT_FAILED


def _leaf(error: BaseException) -> BaseException:
    """The error itself where it came alone out of a group of tasks."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
