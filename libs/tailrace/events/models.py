"""The events that services exchange; consumers ignore what they do not know, so that producers may add fields."""

from datetime import datetime
from typing import Annotated, ClassVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, WithJsonSchema

from tailrace.core.runs import RunStatus

_Ended = Annotated[RunStatus, WithJsonSchema({"type": "string", "enum": ["succeeded", "failed", "cancelled"]})]


class Event(BaseModel):
    """The data of a CloudEvent. `type` is its CloudEvents type and, behind the prefix, its topic."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)

    type: ClassVar[str]


class RunRequested(Event):
    """Somebody wants a run of a sync. Taken once for each (source, event id)."""

    type: ClassVar[str] = "tailrace.run.requested.v1"

    sync_id: str = Field(validation_alias=AliasChoices("sync_id", "syncId"), max_length=64)
    full_refresh: bool = Field(default=False, validation_alias=AliasChoices("full_refresh", "fullRefresh"))
    requested_by: str = Field(default="", validation_alias=AliasChoices("requested_by", "requestedBy"), max_length=256)


class RunQueued(Event):
    """A run waits for an executor."""

    type: ClassVar[str] = "tailrace.run.queued.v1"

    run_id: str
    sync_id: str
    workspace_id: str


class BatchCompleted(Event):
    """A checkpoint was written: the counts since the one before. Of a shard, newer (epoch, seq) win."""

    type: ClassVar[str] = "tailrace.batch.completed.v1"

    run_id: str
    sync_id: str
    workspace_id: str
    shard: int
    epoch: int
    seq: int
    read: int
    delivered: int
    skipped: int
    rejected: int


class RowFailed(Event):
    """Rows became dead letters: their ids and codes, never their content."""

    type: ClassVar[str] = "tailrace.row.failed.v1"

    run_id: str
    sync_id: str
    workspace_id: str
    dead_letter_ids: list[str] = Field(max_length=200)
    by_error_code: dict[str, int]


class RunFinished(Event):
    """A run ended; the books are whole."""

    type: ClassVar[str] = "tailrace.run.finished.v1"

    run_id: str
    sync_id: str
    workspace_id: str
    status: _Ended
    read: int
    delivered: int
    skipped: int
    rejected: int
    still_failing: int = 0
    error_code: str | None = None
    finished_at: datetime


ALL: tuple[type[Event], ...] = (RunRequested, RunQueued, BatchCompleted, RowFailed, RunFinished)
"""Every event, in the order in which they happen to a run."""
