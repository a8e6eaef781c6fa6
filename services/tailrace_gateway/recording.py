"""Changes go into the audit chain in their own transaction: neither is there without the other."""

from collections.abc import Awaitable, Callable

from tailrace.store.audit import Deed
from tailrace.store.database import Connection
from tailrace_gateway.calls import Answer, AnyCall, Change


async def in_transaction(call: AnyCall, act: Callable[[Connection], Awaitable[Answer]]) -> Answer:
    """What `act` answers in a transaction, its change recorded."""
    async with call.stores.database.transaction() as connection:
        answer = await act(connection)
        await record(call, connection, answer.change)
    return answer


async def record(call: AnyCall, connection: Connection, change: Change | None) -> None:
    """Record what the call has changed in the caller's transaction, as its last statement; None is nothing."""
    if change is None:
        return
    identity = call.identity
    deed = Deed(
        identity.workspace_id,
        identity.name,
        call.address,
        call.action,
        change.object_id,
        change.before,
        change.after,
    )
    await call.stores.audit.append(connection, deed)
