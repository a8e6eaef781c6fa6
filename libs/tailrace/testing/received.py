"""Reads a subscription until what a test waits for has come."""

import asyncio
from collections.abc import Sequence

from tailrace.bus.base import Received, Subscription

_COLLECT_S = 90.0
_RECEIVE_S = 0.5


async def collect(subscription: Subscription, count: int, *, at_most: int = 1000) -> list[Received]:
    """So many messages, however many calls they take; a TimeoutError if they do not come."""
    received: list[Received] = []
    async with asyncio.timeout(_COLLECT_S):
        while len(received) < count:
            received += await subscription.receive(at_most=at_most, wait_s=_RECEIVE_S)
    return received


async def collect_until(subscription: Subscription, last: str) -> list[str]:
    """The values up to one that is waited for."""
    received: list[str] = []
    async with asyncio.timeout(_COLLECT_S):
        while last not in received:
            received += values(await subscription.receive(at_most=1000, wait_s=_RECEIVE_S))
    return received


async def collect_by_both(one: Subscription, other: Subscription, count: int) -> tuple[list[Received], list[Received]]:
    """So many different messages in all, by two members that read side by side."""
    collected: tuple[list[Received], list[Received]] = ([], [])

    def are_complete() -> bool:
        return len(set(values([*collected[0], *collected[1]]))) >= count

    async def read(subscription: Subscription, into: list[Received]) -> None:
        while not are_complete():
            into += await subscription.receive(at_most=1000, wait_s=_RECEIVE_S)

    async with asyncio.timeout(_COLLECT_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(read(one, collected[0]))
        tasks.create_task(read(other, collected[1]))
    return collected


def values(received: Sequence[Received]) -> list[str]:
    """The values as text, in order."""
    return [(message.value or b"").decode() for message in received]


def by_key(received: Sequence[Received]) -> dict[bytes | None, list[str]]:
    """The values of each key, in order."""
    keys = dict.fromkeys(message.key for message in received)
    return {key: values([message for message in received if message.key == key]) for key in keys}
