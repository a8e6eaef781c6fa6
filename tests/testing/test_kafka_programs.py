from pathlib import Path

import pytest

from tailrace.core.errors import Invalid, Unavailable
from tailrace.testing.kafka_programs import kafka_programs, why_kafka_cannot_run


def put_program(folder: Path, name: str, script: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH, with a Java that is new enough."""
    folder = tmp_path / "bin"
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    put_program(folder, "java", """echo 'openjdk version "21.0.2" 2024-01-16' >&2""")
    return folder


def test_missing_maven_is_told_with_what_to_do(bin_folder: Path, tmp_path: Path) -> None:
    reason = why_kafka_cannot_run(tmp_path)

    assert reason == (
        "no mvn here to get Apache Kafka with: install Maven, or name a broker in TAILRACE_TEST_KAFKA=host:port"
    )


@pytest.mark.parametrize("version", ["11.0.22", "1.8.0_402"], ids=["that is too old", "of the old way of counting"])
def test_java_that_cannot_run_kafka_counts_as_missing(bin_folder: Path, tmp_path: Path, version: str) -> None:
    put_program(bin_folder, "java", f"""echo 'openjdk version "{version}"' >&2""")

    reason = why_kafka_cannot_run(tmp_path)

    assert reason is not None
    assert reason.startswith("no Java 17 or newer here")


def test_java_home_goes_before_path(bin_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_program(bin_folder, "java", "exit 1")
    put_program(bin_folder, "mvn", "exit 0")
    put_program(tmp_path / "jdk" / "bin", "java", """echo 'openjdk version "17.0.15" 2025-04-15' >&2""")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))

    assert why_kafka_cannot_run(tmp_path) is None


async def test_missing_programs_are_an_error_before_anything_is_fetched(bin_folder: Path, tmp_path: Path) -> None:
    (bin_folder / "java").unlink()

    with pytest.raises(Invalid, match="install a JDK") as told:
        await kafka_programs(tmp_path / "cache")

    assert told.value.code == "KAFKA_CANNOT_RUN"
    assert not (tmp_path / "cache").exists()


async def test_failed_fetch_tells_the_words_of_maven_and_leaves_no_jars(bin_folder: Path, tmp_path: Path) -> None:
    put_program(bin_folder, "mvn", "echo '[ERROR] Checksum validation failed for kafka-clients'; exit 1")

    with pytest.raises(Unavailable, match="Checksum validation failed for kafka-clients"):
        await kafka_programs(tmp_path / "cache")

    assert list((tmp_path / "cache").glob("jars-*")) == []


async def test_jars_are_fetched_once_with_strict_checksums(bin_folder: Path, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    put_program(
        bin_folder,
        "mvn",
        f"""echo "$*" >> {calls}; for last; do :; done; /bin/mkdir -p "${{last#-DoutputDirectory=}}" """,
    )

    first = await kafka_programs(tmp_path / "cache")
    second = await kafka_programs(tmp_path / "cache")

    assert first == second
    assert first.jars.is_dir()
    assert calls.read_text().count("--strict-checksums") == 1
