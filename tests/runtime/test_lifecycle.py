import asyncio
import signal
import time

import aiohttp
import pytest

from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace.store.database import Database
from tailrace.store.migrations import upgrade
from tailrace.store.workspaces import Workspaces
from tests.fixtures.postgres import frozen
from tests.runtime.processes import a_process, asked, becomes, environment, tiny

SOON_S = 5.0


async def test_sigterm_drains_and_ends_with_zero(database_url: str) -> None:
    async with tiny("count", database_url) as process:
        await process.logged("rows.counted")

        told_at = time.monotonic()
        process.signal(signal.SIGTERM)

        assert await process.ended() == 0
        assert time.monotonic() - told_at < SOON_S
        assert process.all("drain.ended")
        assert process.lines[-1]["event"] == "process.stopped"


async def test_ctrl_c_is_as_good_as_sigterm(database_url: str) -> None:
    async with tiny("count", database_url) as process:
        await process.logged("rows.counted")

        process.signal(signal.SIGINT)

        assert await process.ended() == 0
        assert process.all("drain.ended")


async def test_drain_that_takes_too_long_is_cut(database_url: str) -> None:
    grace = {"SHUTDOWN_GRACE_S": "10.5", "REQUEST_TIMEOUT_S": "0.5"}
    async with tiny("cling", database_url, **grace) as process:
        await process.logged("service.started")

        told_at = time.monotonic()
        process.signal(signal.SIGTERM)

        assert await process.ended() == 1
        assert 10 < time.monotonic() - told_at < 10.5 + SOON_S
        assert (await process.logged("process.failed"))["code"] == "DRAIN_CUT"


async def test_second_signal_cuts_the_drain(database_url: str) -> None:
    async with tiny("cling", database_url) as process:
        await process.logged("service.started")
        process.signal(signal.SIGTERM)
        await process.logged("process.stopping")

        told_at = time.monotonic()
        process.signal(signal.SIGINT)

        assert await process.ended() == 1
        assert time.monotonic() - told_at < SOON_S


async def test_failure_of_the_service_ends_the_process_with_one(database_url: str) -> None:
    async with tiny("fail", database_url) as process:
        assert await process.ended() == 1

        assert "RuntimeError" in (await process.logged("process.failed"))["exception"]
        assert database_url.encode() not in process.raw


async def test_service_that_ends_untold_is_a_failure(database_url: str) -> None:
    async with tiny("leave", database_url) as process:
        assert await process.ended() == 1

        assert "tiny" in (await process.logged("process.failed"))["reason"]


async def test_collections_of_garbage_leave_out_what_was_loaded_at_the_start(database_url: str) -> None:
    async with tiny("weigh", database_url) as process:
        weighed = await process.logged("heap.weighed")

        assert weighed["collected"] < weighed["spared"] / 5


async def test_what_cannot_work_is_said_in_a_sentence_and_ends_with_two(database_url: str) -> None:
    async with tiny("refuse", database_url) as process:
        assert await process.ended() == 2

        assert process.raw.splitlines()[-1] == b"tailrace: name another port"


async def test_logs_are_json_and_hold_no_secret(database_url: str) -> None:
    async with tiny("count", database_url, LOG_LEVEL="debug") as process:
        counted = await process.logged("rows.counted")
        process.signal(signal.SIGTERM)
        await process.ended()

        assert len(process.lines) == len(process.raw.splitlines())
        assert (counted["service"], counted["password"]) == ("tiny", "***")
        assert b"hunter2" not in process.raw
        assert environment(database_url)["TAILRACE_SECRET_KEY"].encode() not in process.raw


async def test_probes_and_metrics_are_served(database_url: str) -> None:
    async with tiny("count", database_url) as process:
        await process.logged("rows.counted")
        address = await process.address()

        assert (await asked(f"{address}/livez"))[0] == 200
        assert await asked(f"{address}/readyz") == (
            200,
            {"status": "ok", "checks": {"database": "ok", "schema": "ok", "bus": "ok"}},
        )
        async with aiohttp.ClientSession() as session, session.get(f"{address}/metrics") as response:
            assert "tailrace_loop_lag_seconds" in await response.text()


async def test_process_is_not_ready_before_its_service_listens(database_url: str) -> None:
    async with tiny("listen", database_url) as process, Database.open(database_url, application_name="test") as store:
        await process.logged("service.started")
        address = await process.address()
        early = await asked(f"{address}/readyz")

        await Workspaces(store).create("there")

        assert early[0] == 503
        assert early[1]["checks"]["tiny"] == "does not listen yet"
        await becomes(lambda: _status(f"{address}/readyz"), 200)


async def test_outage_of_postgres_makes_it_unready_but_not_dead() -> None:
    async with EmbeddedPostgres(durable=False) as postgres:
        dsn = await postgres.ensure_database("state")
        await upgrade(dsn)
        async with tiny("count", dsn) as process:
            await process.logged("rows.counted")
            address = await process.address()

            await postgres.stop()
            await becomes(lambda: _status(f"{address}/readyz"), 503)
            _, said = await asked(f"{address}/readyz")
            assert said["checks"]["database"] != "ok"
            assert (await asked(f"{address}/livez"))[0] == 200

            await postgres.start()
            await becomes(lambda: _status(f"{address}/readyz"), 200)
            process.signal(signal.SIGTERM)
            assert await process.ended() == 0


async def test_kafka_that_is_down_is_shown_and_keeps_it_in_service(database_url: str) -> None:
    async with tiny("count", database_url, KAFKA_BOOTSTRAP="127.0.0.1:1") as process:
        await process.logged("rows.counted")
        address = await process.address()

        status, said = await asked(f"{address}/readyz")

        assert (status, said["status"]) == (200, "degraded")
        assert [name for name, answer in said["checks"].items() if answer != "ok"] == ["bus"]
        assert (await asked(f"{address}/livez"))[0] == 200
        process.signal(signal.SIGTERM)
        assert await process.ended() == 0


async def test_frozen_postgres_does_not_hold_the_end_up() -> None:
    async with EmbeddedPostgres(durable=False) as postgres:
        dsn = await postgres.ensure_database("state")
        await upgrade(dsn)
        async with tiny("count", dsn, SHUTDOWN_GRACE_S="10.5", REQUEST_TIMEOUT_S="0.5") as process:
            await process.logged("rows.counted")

            with frozen(postgres):
                told_at = time.monotonic()
                process.signal(signal.SIGTERM)

                await process.ended()
                assert time.monotonic() - told_at < 10.5 + SOON_S


async def test_service_waits_for_the_schema(empty_database_url: str) -> None:
    async with tiny("count", empty_database_url) as process:
        awaited = await process.logged("schema.awaited")
        address = await process.address()
        assert "tailrace db upgrade" in awaited["reasons"][0]
        assert (await asked(f"{address}/readyz"))[0] == 503
        assert (await asked(f"{address}/livez"))[0] == 200

        await upgrade(empty_database_url)

        await process.logged("rows.counted")
        await becomes(lambda: _status(f"{address}/readyz"), 200)


async def test_service_waits_for_its_database_to_be_made(database_url: str) -> None:
    async with tiny("count", f"{database_url.partition('?')[0]}_later") as process:
        awaited = await process.logged("schema.awaited")

        assert "InvalidCatalogNameError" in str(awaited["reasons"])
        assert (await asked(f"{await process.address()}/livez"))[0] == 200


async def test_process_that_waits_for_postgres_stops_when_told() -> None:
    async with tiny("count", "postgresql://nobody:x@127.0.0.1:1/nowhere") as process:
        await process.logged("schema.awaited")

        process.signal(signal.SIGTERM)

        assert await process.ended() == 0


async def test_misspelt_setting_is_refused_with_the_known_ones(database_url: str) -> None:
    async with tiny("count", database_url, LOG_LEVLE="debug") as process:
        assert await process.ended() == 2

        assert b"TAILRACE_LOG_LEVLE" in process.raw
        assert b"TAILRACE_LOG_LEVEL" in process.raw


@pytest.mark.parametrize(
    ("key", "says"), [("c2hvcnQ=", b"openssl rand"), ("", b"TAILRACE_SECRET_KEY")], ids=["short", "empty"]
)
async def test_secret_key_that_cannot_work_is_refused(database_url: str, key: str, says: bytes) -> None:
    async with tiny("count", database_url, SECRET_KEY=key) as process:
        assert await process.ended() == 2

        assert says in process.raw


async def test_kafka_login_without_a_user_is_refused(database_url: str) -> None:
    settings = {"KAFKA_BOOTSTRAP": "127.0.0.1:1", "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT"}
    async with tiny("count", database_url, **settings) as process:
        assert await process.ended() == 2

        assert b"needs a user and a password" in process.raw


async def test_optimised_interpreter_is_refused(database_url: str) -> None:
    module = ("-O", "-m", "tests.runtime.tiny_service", "count")
    async with a_process(*module, environment=environment(database_url)) as process:
        assert await process.ended() == 2

        assert b"PYTHONOPTIMIZE" in process.raw


async def test_taken_probe_port_is_refused_with_what_to_do(database_url: str) -> None:
    async with asyncio.timeout(30), tiny("count", database_url) as first:
        port = (await first.logged("process.opened"))["ops_port"]

        async with tiny("count", database_url, OPS_PORT=str(port)) as second:
            assert await second.ended() == 2
            assert b"TAILRACE_OPS_PORT" in second.raw


async def _status(url: str) -> int:
    return (await asked(url))[0]
