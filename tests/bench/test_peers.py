import sys
from asyncio import Transport
from pathlib import Path

import pytest

from tailrace.core.errors import Conflict, Invalid, Unavailable
from tests.bench.peers.__main__ import main
from tests.bench.peers.entrants import ENTRANTS
from tests.bench.peers.homes import FOLDER, python_of, versions
from tests.bench.peers.proof import Witness
from tests.bench.report import Report, written
from tests.bench.rows import run_apart
from tests.bench.sink import Received, Sink, Terms
from tests.bench.work import COLUMNS


class Mute(Transport):
    def write(self, data: object) -> None:
        pass

    def is_closing(self) -> bool:
        return False


def a_row(number: int) -> dict[str, object]:
    return dict.fromkeys(COLUMNS) | {"id": number, "email": f"person{number}@example.com"}


def test_unknown_peer_is_refused_with_the_list_of_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only", "dlt_fast"])

    assert "'dlt_tuned'" in capsys.readouterr().err


def test_peer_without_a_lock_is_refused_with_the_list_of_those_there_are() -> None:
    with pytest.raises(Invalid, match="there are dlt, drt"):
        python_of("airbyte")


def test_peer_that_cannot_be_installed_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TAILRACE_BENCH_DIR", str(tmp_path / "bench"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)

    with pytest.raises(Unavailable, match=r"drt is missing and cannot be installed from tests/bench/peers/drt\.lock"):
        python_of("drt")


@pytest.mark.parametrize("peer", ["dlt", "drt"])
def test_peer_is_locked_at_the_version_it_is_named_with_by_hash_and_without_an_address(peer: str) -> None:
    lock = (FOLDER / f"{peer}.lock").read_text()

    name, _, version = versions()[peer].partition("==")
    assert f"\n{name.partition('[')[0]}=={version} " in lock
    assert [
        line for line in lock.splitlines() if not line.startswith(("#", "    --hash=sha256:")) and line[-1] != "\\"
    ] == []
    assert "://" not in lock


def test_every_peer_has_its_work_to_do() -> None:
    works = "".join(work.read_text() for work in FOLDER.glob("*_work.py"))

    assert [name for name in ENTRANTS if f'    "{name}": ' not in works] == []


def test_peer_that_fails_is_told_by_what_it_said() -> None:
    with pytest.raises(Unavailable, match=r"(?s)nothing_work drt failed:.*No module named"):
        run_apart(sys.executable, "tests.bench.peers.nothing_work", "drt")


def test_row_that_comes_in_two_pieces_is_counted_once() -> None:
    received = Received()
    sink = Sink(Terms(), received)
    sink.connection_made(Mute())
    request = (
        b"POST /rows HTTP/1.1\r\nContent-Length: 46\r\n\r\n" + b'{"email": "person1@example.com"}, 2@example.com'[:46]
    )

    sink.data_received(request[:-10])
    sink.data_received(request[-10:-5])
    sink.data_received(request[-5:])

    assert received == Received(requests=1, rows=1)


def test_witness_finds_nothing_wrong_with_every_row_once() -> None:
    witness = Witness()

    witness.look_at([a_row(1), a_row(2)])

    witness.check("drt", 2)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        pytest.param([a_row(1)], "0 spoilt rows, 0 more than once, and not 1", id="missing"),
        pytest.param([a_row(1), a_row(2), a_row(2)], "0 spoilt rows, 1 more than once, and not 0", id="twice"),
        pytest.param([a_row(1), a_row(2) | {"email": ""}], "1 spoilt rows", id="another-value"),
        pytest.param([a_row(1), {"id": 2, "email": "person2@example.com"}], "1 spoilt rows", id="without-columns"),
    ],
)
def test_witness_tells_what_did_not_come_once_and_whole(rows: list[dict[str, object]], told: str) -> None:
    witness = Witness()

    witness.look_at(rows)

    with pytest.raises(Conflict, match=told):
        witness.check("drt", 2)


def test_page_has_a_cell_for_every_column_that_any_case_has() -> None:
    report: Report = {
        "full": {"rows_per_s": 2000},
        "drt": {"rows_per_s": 1000, "ours_to_it": 2.0},
        "api": {"p50_ms": 17},
    }

    page = written(report, {"cores": 2}, {"full": "ours", "drt": "theirs"})

    assert page.splitlines() == [
        "Measured with: cores 2.",
        "",
        "| case | rows_per_s | ours_to_it |",
        "|---|---:|---:|",
        "| `full`: ours | 2,000 |  |",
        "| `drt`: theirs | 1,000 | 2.0 |",
        "",
        "- `api`: p50_ms 17",
    ]
