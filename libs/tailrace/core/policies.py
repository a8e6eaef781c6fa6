"""How a sync delivers: how much may come twice, what happens to rows in doubt, and when a run gives up."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

_FROZEN = ConfigDict(frozen=True, extra="forbid")


class OnAmbiguous(StrEnum):
    """What happens to a row that may have been applied, and would be there twice if it were sent again."""

    RETRY = "retry"
    DLQ = "dlq"


class FailureThresholds(BaseModel):
    """When so many rows are rejected that it shows a mistake; None switches a threshold off."""

    model_config = _FROZEN

    ratio: float | None = Field(
        default=0.5, ge=0, lt=1, description="a run stops when a larger part than this of its rows was rejected"
    )
    minimum: int = Field(default=100, ge=1, description="rows that were sent before `ratio` counts")
    consecutive: int | None = Field(default=1000, ge=1, description="a run stops when so many rows in a row were")


class DeliveryPolicy(BaseModel):
    """A run keeps the policy of the version that it started with."""

    model_config = _FROZEN

    window_rows: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="rows sent without a checkpoint at most, and again after a crash; the deployment's, if not set",
    )
    window_s: float = Field(
        default=5.0, ge=0.5, le=3600, description="nothing new is sent while a row sent longer ago has no checkpoint"
    )
    strict: bool = Field(default=False, description="one batch at a time, with a checkpoint behind each")
    shards: int = Field(
        default=8, ge=1, le=64, description="executors that share a run over very many rows, at most; 1 for no sharing"
    )
    on_ambiguous: OnAmbiguous = Field(
        default=OnAmbiguous.RETRY,
        description="inserts whose answer is lost: sent again, or kept as dead letters IN_DOUBT",
    )
    failure_thresholds: FailureThresholds = FailureThresholds()
