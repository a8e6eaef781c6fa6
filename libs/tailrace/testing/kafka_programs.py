"""What Apache Kafka runs with: a JVM of this machine, and the jars that Maven resolves from deploy/kafka/pom.xml."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tailrace.core.errors import Invalid
from tailrace.testing.maven_jars import REPOSITORY, Jars

OLDEST_JAVA = 17
CACHE = REPOSITORY / ".cache" / "kafka"
_POM = REPOSITORY / "deploy" / "kafka" / "pom.xml"
_JAVA_S = 30.0
_ADVICE = "or name a broker in TAILRACE_TEST_KAFKA=host:port"


@dataclass(frozen=True, slots=True)
class KafkaPrograms:
    """A JVM and the folder of jars."""

    java: Path
    jars: Path


def why_kafka_cannot_run(cache: Path = CACHE) -> str | None:
    """One line that says what is missing and what to do; None where the programs are there or can be fetched."""
    if _java() is None:
        return f"no Java {OLDEST_JAVA} or newer here to run Apache Kafka with: install a JDK, {_ADVICE}"
    reason = _jars(cache).why_not()
    return reason and f"{reason}, {_ADVICE}"


async def kafka_programs(cache: Path = CACHE) -> KafkaPrograms:
    """The programs, fetched once into a cache that all processes of this checkout share.

    :raises Invalid: Java or Maven is missing; the message says what to do.
    :raises Unavailable: Maven cannot get the jars, or they fail their checksums.
    """
    if reason := why_kafka_cannot_run(cache):
        raise Invalid(reason, code="KAFKA_CANNOT_RUN")
    return KafkaPrograms(java=_java() or Path("java"), jars=await _jars(cache).fetched())


def _jars(cache: Path) -> Jars:
    return Jars("Apache Kafka", 44, _POM, cache)


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
