"""The broker that tests share, and what becomes of them where there is none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tailrace.testing.eventually import eventually
from tests.testing.kafka_clients import first_message, make_topic, send, topics_of

REPOSITORY = Path(__file__).parents[2]
OF_THIS_MACHINE = {"CI", "JAVA_HOME", "TAILRACE_TEST_KAFKA", "PYTEST_ADDOPTS"}


def pytest_without_java(folder: Path, fixture: str, **environment: str) -> str:
    """What pytest says of one test that asks for the fixture, where no program is on PATH."""
    (folder / "test_one.py").write_text(f"def test_that_needs_a_broker({fixture}: object) -> None:\n    pass\n")
    kept = {name: value for name, value in os.environ.items() if name not in OF_THIS_MACHINE}
    plugins = ["-p", "tests.fixtures.kafka", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, "-c", "pyproject.toml", f"--rootdir={folder}", folder],
        cwd=REPOSITORY,
        env=kept | {"PATH": str(folder)} | environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    return done.stdout


async def test_message_sent_to_the_shared_broker_is_read_again(kafka_bootstrap: str, topic_prefix: str) -> None:
    topic = f"{topic_prefix}.run.requested.v1"
    await make_topic(kafka_bootstrap, topic)

    await send(kafka_bootstrap, topic, b"a run, please")

    assert await first_message(kafka_bootstrap, topic) == b"a run, please"


@pytest.mark.parametrize("turn", ["first", "second"])
async def test_topics_go_with_their_test(kafka_bootstrap: str, topic_prefix: str, turn: str) -> None:
    # Another process may take its turns on the broker at the same time.
    name = f"left-by-{os.getpid()}"
    await make_topic(kafka_bootstrap, f"{topic_prefix}.{name}")

    async def left() -> list[str]:
        return [topic for topic in await topics_of(kafka_bootstrap) if topic.endswith(name)]

    # A broker tells of a new topic a moment after it said that it is there.
    await eventually(left, [f"{topic_prefix}.{name}"])


def test_status_tells_the_address_of_the_shared_broker(kafka_bootstrap: str) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "tailrace.testing.kafka_server", "status"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert told.stdout.startswith(kafka_bootstrap)
    assert told.returncode == 0


def test_missing_java_skips_with_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    said = pytest_without_java(tmp_path, "kafka_bootstrap")

    assert "1 skipped" in said
    assert "1 tests marked kafka were skipped: no Java 17 or newer here" in said


def test_missing_java_is_a_failure_in_ci(tmp_path: Path) -> None:
    said = pytest_without_java(tmp_path, "own_kafka", CI="true")

    assert "1 error" in said
    assert "skipped" not in said
    assert "no Java 17 or newer here" in said


def test_named_broker_needs_no_java(tmp_path: Path) -> None:
    said = pytest_without_java(tmp_path, "kafka_bootstrap", CI="true", TAILRACE_TEST_KAFKA="broker.example:9092")

    assert "1 passed" in said


def test_test_that_asks_for_a_broker_is_marked_by_itself(tmp_path: Path) -> None:
    said = pytest_without_java(tmp_path, "kafka_bootstrap", PYTEST_ADDOPTS="-m 'not kafka'")

    assert "1 deselected" in said
