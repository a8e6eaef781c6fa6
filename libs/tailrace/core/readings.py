"""How a run knows what is new in a query: by a snapshot of what was delivered, with versions or not, or by a cursor."""

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from tailrace.core.names import Name

_MONTH_S = 31 * 86_400


class SnapshotReading(BaseModel):
    """All of the query is read, and compared with what was delivered."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["snapshot"] = "snapshot"


class VersionReading(BaseModel):
    """All keys of the query are read, each with its value in a column: a row is read if that is not what it was.

    It says all that there is to say of a row: the same again for a key means that the row is the same.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["version"]
    column: Name


class CursorReading(BaseModel):
    """Only rows are read whose value in a column is above the watermark, less the look-back.

    The look-back is for rows that are committed later than others with a higher value: seconds where the column holds
    times, as many units of the column where it holds numbers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["cursor"]
    column: Name
    look_back_s: float = Field(default=300.0, ge=0, le=_MONTH_S, allow_inf_nan=False)


AnyReading: TypeAlias = SnapshotReading | VersionReading | CursorReading
Reading = Annotated[AnyReading, Field(discriminator="type")]
