"""The exceptions from the rules of the house, each with its reason; one no longer needed fails the tests."""

# `path:Class.function`: why it must catch everything.
BROAD_EXCEPTS: dict[str, str] = {
    "libs/tailrace/bus/consume.py:_Loop._handle": "a consumer loop: the event is put aside whole, the service lives",
    "libs/tailrace/bus/consume.py:_Loop._handle": "the loop of a consumer, which puts the event aside and goes on",
    "libs/tailrace/embedded/guard.py:main": "the edge of a process, which tells its owner and ends",
    "libs/tailrace/runtime/lifecycle.py:run_process": "the top of a service: logs it and gives an exit code",
}

# `path:Class.function`: why it cannot import at the top.
LOCAL_IMPORTS: dict[str, str] = {}
