"""ETag and If-Match: a change that says which state it replaces is refused where somebody else was faster.

A tag names the state that a PUT replaces, not the bytes of the answer: those also tell of the last run and the next
tick. So `If-None-Match` is not heeded, and If-Match is never asked for.
"""

import asyncio
import random
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

from tailrace.core.errors import Stale
from tailrace.store.revisions import OnlyIf, require_revision, revision
from tailrace_gateway.calls import Answer, AnyCall
from tailrace_gateway.problems import Fault, Malformed

IF_MATCH = "If-Match"

# Whoever loses, loses to somebody who is done: so many can change a thing at once as are done in this time.
_RACE_S = 10.0
_APART_S = 0.05
_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]*"')


def tag(updated_at: datetime) -> Mapping[str, str]:
    """The header that names the state of a thing."""
    return {"ETag": f'"{revision(updated_at)}"'}


def only_if(values: Sequence[str]) -> OnlyIf:
    """The revisions that the If-Match headers name; None where any will do. A weak tag matches nothing.

    :raises Malformed: it is no list of tags.
    """
    tags = [part.strip() for part in ",".join(values).split(",")]
    if not values or tags == ["*"]:
        return None
    if not all(map(_TAG.fullmatch, tags)):
        detail = "give the ETag that you were told, with its quotes, or *"
        raise Malformed(
            f"{IF_MATCH}: {detail}", code="IF_MATCH", faults=[Fault.at_parameter(IF_MATCH, "if_match", detail)]
        )
    return frozenset(part[1:-1] for part in tags if part.startswith('"'))


def replaced(call: AnyCall, updated_at: datetime) -> OnlyIf:
    """The revision that a change was worked out from, if the caller lets it be replaced.

    :raises Stale: the caller has seen another one.
    """
    require_revision(updated_at, call.only_if)
    return {revision(updated_at)}


async def unless_overtaken(call: AnyCall, change: Callable[[], Awaitable[Answer]]) -> Answer:
    """What `change` answers, worked out anew where somebody was faster and the caller did not say what it replaces.

    :raises Stale: the caller has said so, or somebody is faster each time, for long.
    """
    until = time.monotonic() + _RACE_S
    while True:
        try:
            return await change()
        except Stale:
            if call.only_if is not None or time.monotonic() > until:
                raise
        await asyncio.sleep(random.uniform(0, _APART_S))  # noqa: S311 - parts those who race
