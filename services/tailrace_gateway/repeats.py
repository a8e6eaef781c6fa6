"""Requests that are safe to repeat: the same Idempotency-Key gives the same answer for a day.

Where a request changes nothing but the store, its key and its effect are one transaction. Where it acts on the outside,
the key is taken first and given back if nothing came of it.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress

import orjson

from tailrace.core.errors import StoreUnavailable
from tailrace.observe.failpoints import failpoint
from tailrace.store.database import Connection
from tailrace.store.idempotency import Answer as KeptAnswer
from tailrace.store.idempotency import Request
from tailrace_gateway.calls import Answer, AnyCall
from tailrace_gateway.recording import in_transaction, record
from tailrace_gateway.stores import Stores

REPLAYED = {"Idempotent-Replayed": "true"}


async def once_by_key(call: AnyCall, act: Callable[[Connection], Awaitable[Answer]]) -> Answer:
    """What `act` answers in a transaction; with an Idempotency-Key, the same to every repeat for a day.

    :raises Invalid: the key was used for another request.
    :raises Conflict: `IN_PROGRESS`: the same request is being answered.
    """
    if call.idempotency_key is None:
        return await in_transaction(call, act)
    request = _request(call, call.idempotency_key)
    async with call.stores.database.transaction() as connection:
        kept = await call.stores.idempotency.claim(connection, request)
        if kept is not None:
            return _replayed(kept)
        answer = await act(connection)
        await record(call, connection, answer.change)
        await call.stores.idempotency.keep(connection, request, _kept(answer))
    failpoint("api.after_commit_before_response")
    return answer


async def once_in_store(call: AnyCall, act: Callable[[Stores], Awaitable[Answer]]) -> Answer:
    """The same for an `act` that is given the stores, all of which work within the transaction."""
    return await once_by_key(call, lambda connection: act(call.stores.within(connection)))


async def once_outside(call: AnyCall, act: Callable[[], Awaitable[Answer]]) -> Answer:
    """What `act` answers, which may take a while; with an Idempotency-Key, the same to every repeat for a day.

    A crash on the way, or a store that is away after it, leaves the key taken for a few minutes; then a repeat acts
    again.

    :raises Invalid: the key was used for another request.
    :raises Conflict: `IN_PROGRESS`: the same request is being answered.
    """
    if call.idempotency_key is None:
        return await act()
    request, idempotency = _request(call, call.idempotency_key), call.stores.idempotency
    kept = await idempotency.begin(request)
    if kept is not None:
        return _replayed(kept)
    answer = None
    try:
        answer = await act()
    finally:
        with suppress(StoreUnavailable):
            if answer is None:
                await idempotency.forget(request.workspace_id, request.key)
            else:
                await idempotency.finish(request, _kept(answer))
    return answer


def _request(call: AnyCall, key: str) -> Request:
    return Request(call.identity.workspace_id, f"{call.identity.token_id}/{key}", call.sha256)


def _kept(answer: Answer) -> KeptAnswer:
    return KeptAnswer(answer.status, orjson.dumps([answer.payload, dict(answer.headers)]))


def _replayed(kept: KeptAnswer) -> Answer:
    payload, headers = orjson.loads(kept.body)
    return Answer(payload, kept.status, {**headers, **REPLAYED})
