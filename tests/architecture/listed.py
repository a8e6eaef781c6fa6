"""The exceptions from the rules of the house, each with its reason; one no longer needed fails the tests."""

# `path:Class.function`: why it must catch everything.
BROAD_EXCEPTS: dict[str, str] = {
    "libs/tailrace/bus/consume.py:_Loop._handle": "a consumer loop: the event is put aside whole, the service lives",
    "libs/tailrace/connector_kit/registry.py:_load": "somebody else's module may raise anything when it is imported",
    "libs/tailrace/connector_kit/registry.py:catalogue": "one connector that cannot be described must not hide all",
    "libs/tailrace/embedded/guard.py:main": "the edge of a process, which tells its owner and ends",
    "libs/tailrace/runtime/lifecycle.py:run_process": "the top of a service: logs it and gives an exit code",
    "services/tailrace_executor/handlers.py:Crew._work": "one run must not end the others: logged, left to its lease",
    "services/tailrace_scheduler/firing.py:Firing._fire": "one sync must not stop all others: logged, left due",
    "services/tailrace_gateway/app.py:_told": "the edge of HTTP: a crash is logged and told without its details",
}

# `path:Class.function`: why it cannot import at the top.
LOCAL_IMPORTS: dict[str, str] = {}
