"""The bus, the schedules, the network and the warehouse without one of their mechanisms."""

from tests.faults.mutations.mutation import Mutation

_BIGQUERY = "tests/warehouses/test_bigquery_warehouse.py"
_HTTP = "libs/tailrace/runtime/http.py"
_DUE = "libs/tailrace/core/due.py"
_READING = "libs/tailrace/connector_kit/postgres_reading.py"
_KAFKA = "tests/bus/test_kafka_bus.py::TestKafkaBus::"
_WAREHOUSE = "tests/warehouses/test_postgres_warehouse.py::TestPostgresWarehouse"

MUTATIONS = (
    Mutation(
        "a process is ready before its service listens",
        "libs/tailrace/runtime/lifecycle.py",
        "            chassis.health.opening(service.name)\n",
        "            pass\n",
        ("tests/runtime/test_lifecycle.py::test_process_is_not_ready_before_its_service_listens",),
    ),
    Mutation(
        "commit before handling",
        "libs/tailrace/bus/consume.py",
        "        for message in received:\n            if self._stopping",
        "        await subscription.commit()\n        for message in received:\n            if self._stopping",
        ("tests/bus/test_consume.py::test_event_is_committed_only_after_it_was_handled",),
    ),
    Mutation(
        "the bus commits by itself",
        "libs/tailrace/bus/kafka.py",
        '            "enable_auto_commit": False,\n',
        '            "enable_auto_commit": True,\n            "auto_commit_interval_ms": 50,\n',
        (f"{_KAFKA}test_what_a_member_did_not_commit_comes_to_another_once_it_is_gone",),
    ),
    Mutation(
        "events are deleted before the bus has them",
        "libs/tailrace/bus/relay.py",
        "            await self._publish(taken.events)\n"
        '            failpoint("relay.after_send_before_delete")\n'
        "            sent = [held.place for held in taken.events]\n",
        "            sent = [held.place for held in taken.events]\n            await self._publish(taken.events)\n",
        ("tests/bus/test_relay.py::test_while_the_bus_is_down_events_stay_and_their_shard_is_free",),
    ),
    Mutation(
        "a broken request is sent again",
        _HTTP,
        "            raise _meaning(error, way.host, is_sending=progress.is_sending) from error\n",
        "            return await self.send(request)\n",
        ("tests/runtime/test_http.py::test_request_is_never_sent_again_when_a_kept_connection_breaks",),
    ),
    Mutation(
        "no guard at the socket",
        _HTTP,
        "        socket_factory=guarded_socket(allow_private=allow_private),\n",
        "",
        ("tests/runtime/test_http.py::test_no_way_to_write_this_machine_reaches_it",),
    ),
    Mutation(
        "redirects are followed",
        _HTTP,
        "                return response\n",
        '                onward = response.headers.get("location")\n'
        "                return await self.send(HttpRequest(request.method, onward)) if onward else response\n",
        ("tests/runtime/test_http.py::test_redirect_is_not_followed",),
    ),
    Mutation(
        "a fixed time fires twice where the clocks repeat it",
        _DUE,
        "    return next(tick for tick in (_instant(zone, wall) for wall in walls) if tick > after)\n",
        "    found = next(_instant(zone, wall) for wall in walls)\n"
        "    return found if found > after else after + timedelta(minutes=30)\n",
        ("tests/core/test_due.py::test_fixed_time_does_not_fire_again_when_asked_within_the_repeated_hour",),
    ),
    Mutation(
        "every missed tick starts a run",
        _DUE,
        "    return Due(coalesced=due[:-1], start=due[-1], next_run_at=next_due(schedule, due[-1]))\n",
        "    return Due(start=due[0], next_run_at=next_due(schedule, due[0]))\n",
        ("tests/core/test_due.py::test_newest_of_several_due_ticks_speaks_for_the_others",),
    ),
    Mutation(
        "ticks are not remembered",
        "libs/tailrace/store/schedules.py",
        "ON CONFLICT (sync_id, scheduled_for) DO NOTHING RETURNING sync_id, outcome\n",
        "ON CONFLICT (sync_id, scheduled_for) DO UPDATE SET outcome = excluded.outcome RETURNING sync_id, outcome\n",
        ("tests/store/test_schedules.py::test_tick_that_was_recorded_before_starts_nothing",),
    ),
    Mutation(
        "schedules fire by a clock that is wrong",
        "services/tailrace_scheduler/firing.py",
        "        if abs(apart_s) > CLOCKS_APART_S:\n",
        "        if abs(apart_s) > 1e9:\n",
        ("tests/scheduler/test_firing.py::test_nothing_fires_while_clocks_are_apart",),
    ),
    Mutation(
        "the query of a source by execute()",
        "libs/tailrace/warehouses/postgres.py",
        "        statement = await self._connection.prepare(query, timeout=_PREPARE_S)\n",
        "        await self._connection.execute(query, timeout=_PREPARE_S)\n"
        "        statement = await self._connection.prepare(query, timeout=_PREPARE_S)\n",
        ("tests/warehouses/test_postgres_safety.py::test_hostile_query_changes_nothing",),
    ),
    Mutation(
        "a cursor without the key as its tie-break",
        _READING,
        'ELSE {order.cursor} END", *last, *by]\n',
        'ELSE {order.cursor} END", *last]\n',
        (_WAREHOUSE,),
    ),
    Mutation(
        "keys in the order of the server's language",
        _READING,
        """texts = [f'({key})::text COLLATE "C"' for key in keys]""",
        """texts = [f"({key})::text" for key in keys]""",
        (_WAREHOUSE,),
    ),
    Mutation(
        "threads of a warehouse that was left stay",
        "libs/tailrace/warehouses/snowflake.py",
        "        self._threads.shutdown(wait=False)\n",
        "",
        ("tests/warehouses/test_snowflake_sign_in.py::test_threads_end_with_the_warehouse_though_somebody_holds_it",),
    ),
    Mutation(
        "a job of BigQuery that was left works on",
        "libs/tailrace/connector_kit/bigquery_jobs.py",
        "            await job.end()\n",
        "            pass\n",
        ("tests/warehouses/test_bigquery_jobs.py::test_query_that_takes_too_long_is_stopped",),
    ),
    Mutation(
        "whatever the server takes a query of BigQuery for, it runs",
        "libs/tailrace/connector_kit/bigquery_jobs.py",
        """if told.get("statementType") != "SELECT":""",
        """if told is None:""",
        (f"{_BIGQUERY}::test_what_the_server_takes_for_no_select_is_refused_whatever_it_looks_like",),
    ),
)
