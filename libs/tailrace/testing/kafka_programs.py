"""What Apache Kafka runs with: a JVM of this machine, and the jars that Maven resolves from deploy/kafka/pom.xml."""

import asyncio
import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tailrace.core.errors import Invalid, Unavailable
from tailrace.testing.file_locks import locked

OLDEST_JAVA = 17
REPOSITORY = Path(__file__).resolve().parents[3]
CACHE = REPOSITORY / ".cache" / "kafka"
_POM = REPOSITORY / "deploy" / "kafka" / "pom.xml"
_JAVA_S = 30.0
_MAVEN_S = 600.0
_ADVICE = "or name a broker in TAILRACE_TEST_KAFKA=host:port"


@dataclass(frozen=True, slots=True)
class KafkaPrograms:
    """A JVM and the folder of jars."""

    java: Path
    jars: Path


def why_kafka_cannot_run(cache: Path = CACHE) -> str | None:
    """One line that says what is missing and what to do; None where the programs are there or can be fetched."""
    if not _POM.exists():
        return f"Kafka is started from a checkout of the repository: use one, {_ADVICE}"
    if _java() is None:
        return f"no Java {OLDEST_JAVA} or newer here to run Apache Kafka with: install a JDK, {_ADVICE}"
    if not _jars(cache).exists() and shutil.which("mvn") is None:
        return f"no mvn here to get Apache Kafka with: install Maven, {_ADVICE}"
    return None


async def kafka_programs(cache: Path = CACHE) -> KafkaPrograms:
    """The programs, fetched once into a cache that all processes of this checkout share.

    :raises Invalid: Java or Maven is missing; the message says what to do.
    :raises Unavailable: Maven cannot get the jars, or they fail their checksums.
    """
    if reason := why_kafka_cannot_run(cache):
        raise Invalid(reason, code="KAFKA_CANNOT_RUN")
    java, jars = _java(), _jars(cache)
    if not jars.exists():
        async with locked(cache / "fetch.lock", wait_s=_MAVEN_S):
            await asyncio.to_thread(_fetch, jars)
    return KafkaPrograms(java=java or Path("java"), jars=jars)


def _jars(cache: Path) -> Path:
    return cache / f"jars-{hashlib.sha256(_POM.read_bytes()).hexdigest()[:12]}"


def _fetch(jars: Path) -> None:
    """Has Maven copy the jars beside their place and moves them there once they are complete."""
    if jars.exists():
        return
    sys.stderr.write(f"Fetching Apache Kafka (44 MB) into {jars}, once\n")
    fresh = jars.with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    goal = ["dependency:copy-dependencies", f"-DoutputDirectory={fresh}"]
    try:
        done = subprocess.run(  # noqa: S603  # our own pom
            ["mvn", "--batch-mode", "--quiet", "--strict-checksums", f"--file={_POM}", *goal],  # noqa: S607  # from PATH
            capture_output=True,
            text=True,
            timeout=_MAVEN_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"Maven did not get Apache Kafka within {_MAVEN_S:g} s") from error
    if done.returncode != 0:
        raise Unavailable(f"Maven cannot get Apache Kafka: {_first_error(done.stdout)}")
    fresh.rename(jars)


def _first_error(output: str) -> str:
    errors = [line.removeprefix("[ERROR]").strip() for line in output.splitlines() if line.startswith("[ERROR]")]
    return errors[0] if errors else output.strip()[-500:]


def _java() -> Path | None:
    home = os.environ.get("JAVA_HOME")
    candidates = [f"{home}/bin/java"] if home else []
    candidates += [on_path] if (on_path := shutil.which("java")) else []
    return next((Path(java) for java in candidates if _major(java) >= OLDEST_JAVA), None)


def _major(java: str) -> int:
    try:
        told = subprocess.run(  # noqa: S603  # the JVM of this machine
            [java, "-version"], capture_output=True, text=True, timeout=_JAVA_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    version = re.search(r'version "(\d+)', told.stderr)
    return int(version[1]) if version else 0
