"""A request as a manifest asks for it, before it has an address and credentials."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tailrace.connector_kit.http import LONG_ANSWER_BYTES
from tailrace.connector_kit.manifest.writes import Method

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked; `batch_id` is that of the rows it carries, the same whenever they are sent again.

    Without rows it is empty: such a question is another one each time.
    """

    method: Method | Literal["OPTIONS"]
    path: str
    body: bytes = b""
    media: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    batch_id: str = ""
    takes_bytes: int = LONG_ANSWER_BYTES
