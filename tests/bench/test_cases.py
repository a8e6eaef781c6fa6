import pytest

from tests.bench.__main__ import main
from tests.bench.case import CASES
from tests.bench.ground import changing, connected, make_table
from tests.bench.growth import grown
from tests.bench.shards import MAPPINGS, shared_run
from tests.bench.sink import Terms, open_sink
from tests.bench.slow_runs import hold_runs
from tests.bench.trigger import Site, first_requests
from tests.bench.work import ROWS_PER_REQUEST, Place

ROWS = 1000


@pytest.mark.parametrize("name", CASES)
async def test_case_takes_every_row_of_the_table_to_the_sink(
    name: str, database_url: str, empty_database_url: str
) -> None:
    async with connected(empty_database_url) as warehouse:
        await make_table(warehouse, f"people_{ROWS}", ROWS)

    with open_sink(CASES[name].sink) as sink:
        timed = await CASES[name].run(Place(empty_database_url, f"people_{ROWS}", database_url, sink.url))

    assert timed.rows == ROWS
    assert timed.wall_s > 0
    assert sink.close().rows == CASES[name].sends(ROWS)


async def test_shared_run_is_cut_and_takes_every_row_to_the_sink(database_url: str, empty_database_url: str) -> None:
    async with connected(empty_database_url) as warehouse:
        await make_table(warehouse, f"people_{ROWS}", ROWS)

    with open_sink(Terms()) as sink:
        place = Place(empty_database_url, f"people_{ROWS}", database_url, sink.url)
        run = await shared_run(place, MAPPINGS["templates"], 2, rows_per_shard=ROWS // 4)

    assert run.took_s > 0
    assert run.shards > 1
    assert sink.close().rows == ROWS


@pytest.mark.parametrize("name", ["snapshot", "cursor"])
def test_second_run_has_the_changed_rows_to_send_beside_those_of_the_first(name: str) -> None:
    assert CASES[name].sends(ROWS) == ROWS + ROWS // 100


async def test_copy_is_changed_in_each_hundredth_row_and_lacks_each_thousandth(empty_database_url: str) -> None:
    async with connected(empty_database_url) as warehouse:
        await make_table(warehouse, f"people_{ROWS}", ROWS)

        async with changing(warehouse, f"people_{ROWS}") as copy:
            await copy.change()
            both = f"people_{ROWS} JOIN {copy.table} AS copy USING (id)"
            changed = await warehouse.fetchval(
                f"SELECT count(*) FROM {both} WHERE copy.updated_at > now() - '1 h'::interval"
            )
            kept = await warehouse.fetchval(f"SELECT count(*) FROM {both}")

    assert (changed, kept) == (ROWS // 100, ROWS - ROWS // 1000)


async def test_removed_row_is_sent_too_by_a_snapshot(database_url: str, empty_database_url: str) -> None:
    async with connected(empty_database_url) as warehouse:
        await make_table(warehouse, f"people_{ROWS}", ROWS)

    with open_sink(CASES["snapshot"].sink) as sink:
        await CASES["snapshot"].run(Place(empty_database_url, f"people_{ROWS}", database_url, sink.url))

    of_first_run, changed, removed = ROWS // ROWS_PER_REQUEST, 1, 1
    assert sink.close().requests == of_first_run + changed + removed


def test_growth_is_the_peak_of_more_rows_as_a_ratio_to_that_of_few() -> None:
    figures = grown({1000: {"full": 80.0}, 5000: {"full": 100.0}})

    assert figures == {"full_mib_at_1000": 80.0, "full_mib_at_5000": 100.0, "full_growth": 1.25}


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
