import pytest

from tests.bench.__main__ import main
from tests.bench.case import CASES, Place
from tests.bench.ground import connected, make_table
from tests.bench.sink import open_sink
from tests.bench.slow_runs import hold_runs
from tests.bench.trigger import Site, first_requests

ROWS = 1000


@pytest.mark.parametrize("name", CASES)
async def test_case_takes_every_row_of_the_table(name: str, database_url: str, empty_database_url: str) -> None:
    async with connected(empty_database_url) as warehouse:
        await make_table(warehouse, f"people_{ROWS}", ROWS)

    with open_sink(CASES[name].sink) as sink_url:
        timed = await CASES[name].run(Place(empty_database_url, f"people_{ROWS}", database_url, sink_url))

    assert timed.rows == ROWS
    assert timed.wall_s > 0


async def test_slow_runs_are_held_by_one_executor_until_they_are_done(database_url: str) -> None:
    figures = await hold_runs(database_url, 5, 0.5)

    assert figures["succeeded"] == figures["runs"] == 5
    assert figures["peak_rss_mib"] > 0


@pytest.mark.kafka
@pytest.mark.xdist_group("kafka")
@pytest.mark.timeout(300)
async def test_started_runs_ring_at_their_destination(
    database_url: str, empty_database_url: str, kafka_bootstrap: str, topic_prefix: str
) -> None:
    site = Site(database_url, empty_database_url, kafka_bootstrap, topic_prefix)

    figures = await first_requests(site, 3, idle_s=0.1)

    assert 0 < figures["p50_ms"] <= figures["max_ms"]


def test_unknown_case_is_refused_with_the_list_of_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only", "ful"])

    assert "'full'" in capsys.readouterr().err
