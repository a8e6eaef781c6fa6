"""Management: what happened to a run, looked up or followed live."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count
from typing import Any, Literal, TypeAlias

from tailrace.core.ids import RunId
from tailrace.store.runs import Run
from tailrace.store.timelines import Moment, ShardState
from tailrace.store.tokens import Role
from tailrace_gateway.calls import Answer, AnyCall, Call, Route
from tailrace_gateway.envelopes import Count, Item, One, RunWord, Told
from tailrace_gateway.models import NoBody, NoQuery
from tailrace_gateway.run_answers import Milliseconds
from tailrace_gateway.run_views import planasonix_status, whole_run
from tailrace_gateway.streams import Event, Events, Stream
from tailrace_gateway.wire import item, milliseconds, one

_RUN = "/api/runs/{run_id}"
_LOOKS_PER_CHECK = 5
_MARK = re.compile(r"(\d{1,18})\.(\d{1,18})\.(\w{1,20})")

What: TypeAlias = Literal[
    "queued", "claimed", "taken_over", "handed_back", "cancel_requested", "succeeded", "failed", "cancelled"
]


class RunMoment(Told):
    """Something that happened to a run, by an executor or a caller; `checkpoint` counts those that were before."""

    at: Milliseconds
    what: What
    by: str | None
    shard: int | None
    checkpoint: Count | None
    not_before: Milliseconds | None
    code: str | None
    message: str | None


class RunShard(Told):
    """How a shard stands: `claims_without_progress` counts owners since the last checkpoint."""

    shard: int
    state: Literal["queued", "running", "done"]
    owner: str | None
    lease_expires_at: Milliseconds | None
    not_before: Milliseconds | None
    checkpoint: Count
    claims_without_progress: Count


class RunTimelineAttributes(Told):
    """The history of a run, oldest first, as far as it is kept; `whole` is false for a run older than its keeping."""

    status: RunWord
    whole: bool
    moments: list[RunMoment]
    shards: list[RunShard]


RunTimeline: TypeAlias = Item[Literal["run_timeline"], RunTimelineAttributes]


async def get_timeline(call: Call[NoBody, NoQuery]) -> Answer:
    """Who asked for the run, which executors had it, when it was handed back and why it ended.

    Single requests, retries and waits between checkpoints are not kept.
    """
    run = await call.run()
    kept = await call.stores.timelines.since(run.id)
    attributes = {
        "status": planasonix_status(run),
        "whole": bool(kept) or run.started_at is None,
        "moments": _moments(run, kept),
        "shards": [_shard(shard) for shard in await call.stores.timelines.shards(run.id)],
    }
    return Answer(one(item("run_timeline", run.id, attributes)))


async def follow_run(call: Call[NoBody, NoQuery]) -> Stream:
    """Server-sent events of a run: `moment` and `progress` as they come, then `end` with its books.

    `Last-Event-ID` goes on behind that event. A stream lasts ten minutes at most; close it at `end`.
    """
    run = await call.run()
    return Stream(lambda: _events(call, run.id, _Mark.read(call.last_event_id)))


TIMELINES = (
    Route(
        "GET",
        f"{_RUN}/timeline",
        Role.VIEWER,
        get_timeline,
        "Get the timeline of a run",
        operation_id="getRunTimeline",
        answer=One[RunTimeline],
    ),
    Route(
        "GET",
        f"{_RUN}/events",
        Role.VIEWER,
        follow_run,
        "Follow a run live",
        operation_id="followRun",
        answer=None,
        is_stream=True,
        errors=(429,),
    ),
)


@dataclass(frozen=True, slots=True)
class _Mark:
    """What a listener has heard of already."""

    moment_id: int = 0
    checkpoint: int = -1
    status: str = ""

    @classmethod
    def read(cls, text: str | None) -> "_Mark":
        """The mark behind the id of an event; that of a new listener for anything else."""
        found = _MARK.fullmatch(text or "")
        return cls(int(found[1]), int(found[2]), found[3]) if found else cls()

    @property
    def id(self) -> str:
        return f"{self.moment_id}.{max(self.checkpoint, 0)}.{self.status or 'queued'}"


async def _events(call: AnyCall, run_id: RunId, mark: _Mark) -> Events:
    stores = call.stores
    # A look is taken once a second; whoever lost the right to listen hears no more after a few.
    for look in count():
        if look % _LOOKS_PER_CHECK == 0 and not await stores.tokens.opens(call.identity.token_id):
            return
        # In this order: what is read of the run is never older than the moments before it.
        moments = await stores.timelines.since(run_id, mark.moment_id)
        run = await stores.runs.get(call.identity.workspace_id, run_id)
        checkpoint = sum(shard.checkpoint_seq for shard in await stores.timelines.shards(run_id))
        for moment in moments:
            mark = replace(mark, moment_id=moment.id)
            yield Event(mark.id, "moment", _moment(moment))
        if run.status.is_terminal:
            yield Event(replace(mark, checkpoint=checkpoint, status=run.status).id, "end", whole_run(run))
            return
        if (mark.checkpoint, mark.status) != (checkpoint, run.status):
            mark = replace(mark, checkpoint=checkpoint, status=run.status)
            yield Event(mark.id, "progress", whole_run(run))
        yield None


def _moments(run: Run, kept: Sequence[Moment]) -> list[dict[str, Any]]:
    told = [_said(run.queued_at, "queued", run.requested_by), *map(_moment, kept)]
    if run.cancel_requested_at is not None:
        told.append(_said(run.cancel_requested_at, "cancel_requested", run.cancel_requested_by))
    if run.finished_at is not None:
        end = {"code": run.error_code, "message": run.error_message}
        told.append(_said(run.finished_at, run.status, None) | end)
    return sorted(told, key=lambda moment: str(moment["at"]))


def _said(at: datetime, what: str, by: str | None) -> dict[str, Any]:
    nothing = dict.fromkeys(("shard", "checkpoint", "not_before", "code", "message"))
    return {"at": milliseconds(at), "what": what, "by": by, **nothing}


def _moment(moment: Moment) -> dict[str, Any]:
    return _said(moment.at, moment.what, moment.owner) | {
        "shard": moment.shard,
        "checkpoint": moment.checkpoint_seq,
        "not_before": milliseconds(moment.not_before),
    }


def _shard(shard: ShardState) -> dict[str, Any]:
    return {
        "shard": shard.shard,
        "state": shard.state,
        "owner": shard.lease_owner,
        "lease_expires_at": milliseconds(shard.lease_expires_at),
        "not_before": milliseconds(shard.not_before),
        "checkpoint": shard.checkpoint_seq,
        "claims_without_progress": shard.attempts_without_progress,
    }
