"""dlt at work, in an environment of its own, with destinations as its documentation has one write them.

python -m tests.bench.peers.dlt_work HOW ROWS WAREHOUSE_URL TABLE FOLDER SINK_URL
"""

import asyncio
import io
from collections.abc import Callable, Mapping, Sequence

import aiohttp
import dlt
from arro3.io import write_json
from dlt.common.json import json
from dlt.sources.helpers import requests
from dlt.sources.sql_database import sql_table
from pyarrow import RecordBatch
from pyarrow.parquet import ParquetFile

from tests.bench.work import COLUMNS, IN_FLIGHT, ROWS_PER_REQUEST, Place, carry_out

_STREAMED = {"backend": "connectorx", "reflection_level": "minimal", "backend_kwargs": {"return_type": "arrow_stream"}}


def documented(place: Place) -> None:
    """Rows, as its sources and destinations have them of themselves; a batch is a request."""

    def post(items: Sequence[object], table: object) -> None:
        requests.post(place.sink_url, data=json.dumpb({"rows": items})).raise_for_status()

    _run(place, dlt.destination(post, name="sink", batch_size=ROWS_PER_REQUEST))


def in_arrow(place: Place) -> None:
    """Its Arrow backend and Parquet, which its documentation recommends for speed."""

    def post(items: RecordBatch, table: object) -> None:
        requests.post(place.sink_url, data=json.dumpb({"rows": items.to_pylist()})).raise_for_status()

    destination = dlt.destination(post, name="sink", batch_size=ROWS_PER_REQUEST, loader_file_format="parquet")
    _run(place, destination, backend="pyarrow")


def tuned(place: Place, **options: object) -> None:
    """ConnectorX, and whole files for a loop of our own that encodes Arrow in Rust and keeps requests in flight."""

    def post(path: str, table: object) -> None:
        asyncio.run(_post_all(path, place.sink_url))

    _run(place, dlt.destination(post, name="sink", batch_size=0, loader_file_format="parquet"), **_STREAMED, **options)


def by_cursor(place: Place) -> None:
    """The same, with an incremental cursor of its own."""
    tuned(place, incremental=dlt.sources.incremental("updated_at", primary_key="id"))


HOWS: Mapping[str, Callable[[Place], None]] = {
    "dlt": documented,
    "dlt_arrow": in_arrow,
    "dlt_tuned": tuned,
    "dlt_cursor": by_cursor,
}


async def _post_all(path: str, url: str) -> None:
    room = asyncio.Semaphore(IN_FLIGHT)
    async with aiohttp.ClientSession(raise_for_status=True) as session, asyncio.TaskGroup() as tasks:

        async def post(body: bytes) -> None:
            async with session.post(url, data=body) as response:
                await response.read()
            room.release()

        for batch in ParquetFile(path).iter_batches(batch_size=ROWS_PER_REQUEST):
            await room.acquire()
            encoded = io.BytesIO()
            write_json(batch, encoded)
            tasks.create_task(post(b'{"rows": ' + encoded.getvalue() + b"}"))


def _run(place: Place, destination: Callable[[], object], **options: object) -> None:
    url = place.warehouse_url.replace("postgresql://", "postgresql+psycopg2://")
    pipeline = dlt.pipeline("bench", destination=destination(), pipelines_dir=place.state)
    pipeline.run(sql_table(url, place.table, included_columns=list(COLUMNS), **options)).raise_on_failed_jobs()


if __name__ == "__main__":
    carry_out(HOWS)
