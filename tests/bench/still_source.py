"""A warehouse that costs no server: one row, at once. Found by name, as those of third parties are."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from pydantic import BaseModel

from tailrace.connector_kit.warehouse import Reading, Warehouse
from tailrace.core.rows import Block, Column, ColumnKind, RowKey

NAME = "still"


class StillSettings(BaseModel):
    """Nothing of it is looked at."""

    url: str = ""


class StillSource(Warehouse):
    """The row of id 1."""

    name = NAME
    label = "Still"
    settings_type = StillSettings

    @classmethod
    @asynccontextmanager
    async def open(cls, _settings: BaseModel) -> AsyncIterator[Self]:
        """Nothing to open."""
        yield cls()

    async def check(self) -> None:
        """Nothing to check."""

    async def columns(self, _query: str) -> Sequence[Column]:
        """The id."""
        return [Column("id", ColumnKind.TEXT)]

    @asynccontextmanager
    async def read(self, reading: Reading) -> AsyncIterator[AsyncIterator[Block]]:
        """The row."""
        yield _blocks(reading)


@contextmanager
def offered() -> Iterator[str]:
    """A folder that, on PYTHONPATH, offers it to whoever looks for connectors."""
    with TemporaryDirectory() as folder:
        metadata = Path(folder) / "tailrace_bench-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: tailrace-bench\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[tailrace.warehouses]\n{NAME} = {__name__}:StillSource\n")
        yield folder


async def _blocks(reading: Reading) -> AsyncIterator[Block]:
    if reading.after is None:
        yield Block([("1",)], [RowKey(("1",))])
