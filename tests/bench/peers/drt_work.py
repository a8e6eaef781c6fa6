"""drt at work, in an environment of its own: by its command line, as its documentation has it, where that can do it.

    python -m tests.bench.peers.drt_work HOW ROWS WAREHOUSE_URL TABLE FOLDER SINK_URL

`HOME` has to be the folder, for there drt looks for its profiles.
"""

import json
import os
from collections.abc import Callable, Mapping
from itertools import chain, islice
from pathlib import Path
from urllib.parse import urlsplit

from drt.cli.main import app
from drt.config.models import RestApiDestinationConfig, SyncOptions
from drt.config.profiles import PostgresProfile
from drt.destinations.rest_api import RestApiDestination
from drt.sources.postgres import PostgresSource

from tests.bench.work import ROWS_PER_REQUEST, Place, carry_out

_NAME = "people"
_ROWS_A_LOAD = 50_000
_UNPACED = {"requests_per_second": 0}
_ALL_ROWS = '{"rows": {{ rows | tojson_safe }}}'
_ALL_LINES = """{"rows": [{{ rows | join(',', attribute='line') }}]}"""


def documented(place: Place) -> None:
    """A batch is a request, encoded by the filter that is there for it."""
    _run(place, place.query, {"batch_template": _ALL_ROWS}, {"batch_size": ROWS_PER_REQUEST})


def tuned(place: Place) -> None:
    """PostgreSQL writes the JSON, and a client serves many requests, for drt makes one for each load."""
    _run(place, _lines(place), _tuned(ROWS_PER_REQUEST), {"batch_size": _ROWS_A_LOAD})


def by_cursor(place: Place) -> None:
    """The same, with a watermark of its own."""
    query = _lines(place, "updated_at, ")
    options = {"mode": "incremental", "cursor_field": "updated_at", "batch_size": _ROWS_A_LOAD}
    _run(place, query, _tuned(ROWS_PER_REQUEST), options)


def hundreds(place: Place) -> None:
    """Requests of a hundred rows."""
    _run(place, _lines(place), _tuned(100), {"batch_size": _ROWS_A_LOAD})


def single(place: Place) -> None:
    """A request for each row."""
    destination = {"body_mode": "record", "body_template": "{{ row.line }}"}
    _run(place, _lines(place), destination, {"batch_size": _ROWS_A_LOAD})


def by_snapshot(place: Place) -> None:
    """By its Python interfaces, for its command line refuses to compare snapshots for a destination over HTTP."""
    profile = PostgresProfile(type="postgres", **_warehouse(place))
    posting = {"type": "rest_api", "url": place.sink_url, "body_mode": "batch", "batch_template": _ALL_ROWS}
    destination = RestApiDestinationConfig(**posting, max_records_per_request=ROWS_PER_REQUEST)
    options, source = SyncOptions(rate_limit=_UNPACED), PostgresSource()
    found = source.extract_snapshot_diff(place.query, profile, sync_name=_NAME, key_columns=["id"], hash_columns="all")
    for _ in found.removed_keys:
        pass
    rows = chain(found.added, found.changed)
    while load := list(islice(rows, _ROWS_A_LOAD)):
        if RestApiDestination().load(load, destination, options).failed:
            raise SystemExit("drt could not deliver")
    source.commit_snapshot_diff(profile, _NAME)


HOWS: Mapping[str, Callable[[Place], None]] = {
    "drt": documented,
    "drt_tuned": tuned,
    "drt_cursor": by_cursor,
    "drt_snapshot": by_snapshot,
    "drt_single": single,
    "drt_latency50": hundreds,
}


def _tuned(rows_per_request: int) -> Mapping[str, object]:
    return {"batch_template": _ALL_LINES, "max_records_per_request": rows_per_request}


def _lines(place: Place, beside: str = "") -> str:
    return f"SELECT {beside}row_to_json(one)::text AS line FROM ({place.query}) AS one"


def _run(place: Place, query: str, destination: Mapping[str, object], options: Mapping[str, object]) -> None:
    posting = {"type": "rest_api", "url": place.sink_url, "method": "POST", "body_mode": "batch", **destination}
    sync = {"mode": "full", "on_error": "fail", "rate_limit": _UNPACED, **options}
    folder = Path(place.state)
    _write(folder / "drt_project.yml", {"name": "bench", "version": "0.1", "profile": "bench"})
    _write(folder / ".drt/profiles.yml", {"bench": {"type": "postgres", **_warehouse(place)}})
    _write(folder / f"syncs/{_NAME}.yml", {"name": _NAME, "model": query, "destination": posting, "sync": sync})
    os.chdir(folder)
    if app(["run", "--output", "json"], standalone_mode=False):
        raise SystemExit("drt could not deliver")


def _warehouse(place: Place) -> dict[str, object]:
    url = urlsplit(place.warehouse_url)
    names = {"host": url.hostname, "port": url.port, "dbname": url.path.removeprefix("/")}
    return {**names, "user": url.username, "password": url.password}


def _write(path: Path, content: Mapping[str, object]) -> None:
    """JSON is YAML."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))


if __name__ == "__main__":
    carry_out(HOWS)
