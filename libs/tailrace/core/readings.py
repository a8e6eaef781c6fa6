"""How a run knows what is new in a query: by a snapshot of what was delivered, or by a cursor column."""

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

_MONTH_S = 31 * 86_400


class SnapshotReading(BaseModel):
    """All of the query is read, and compared with what was delivered."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["snapshot"] = "snapshot"


class CursorReading(BaseModel):
    """Only rows are read whose value in a column is above the watermark, less the look-back.

    The look-back is for rows that are committed later than others with a higher value: seconds where the column holds
    times, as many units of the column where it holds numbers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    type: Literal["cursor"]
    column: str = Field(min_length=1, max_length=256)
    look_back_s: float = Field(default=300.0, ge=0, le=_MONTH_S, allow_inf_nan=False)


AnyReading: TypeAlias = SnapshotReading | CursorReading
Reading = Annotated[AnyReading, Field(discriminator="type")]
