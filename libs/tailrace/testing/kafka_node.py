"""One node of Apache Kafka, alone or of a cluster: its files, its commands, and whether it answers."""

import base64
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tailrace.embedded.guarded_server import Step
from tailrace.embedded.ports import LOOPBACK, free_port
from tailrace.testing.kafka_probe import has_broker
from tailrace.testing.kafka_programs import KafkaPrograms

READY_S = 120.0
# In order, then not: Kafka takes seconds to hand over its partitions, here to nobody.
LADDER = (("SIGTERM", 15.0), ("SIGKILL", 5.0))
_HEAP_MB = 384


@dataclass(frozen=True, slots=True)
class KafkaNode:
    """A broker and its controller in one process on loopback; everything it writes is in the directory."""

    programs: KafkaPrograms
    directory: Path
    port: int
    controller_port: int
    session_timeout_ms: int
    """A killed node can come back only after this time; a node that stalls for longer is taken for dead."""
    number: int = 1
    controller_ports: tuple[int, ...] = ()
    """Of all nodes, in order of their numbers; empty: it is alone."""
    cluster_id: str | None = None
    """None: another one whenever an empty cluster is made."""

    @classmethod
    def on_free_ports(cls, programs: KafkaPrograms, directory: Path, *, session_timeout_ms: int = 9_000) -> Self:
        """A node whose ports are free now."""
        port, controller_port = _free_ports(2)
        return cls(programs, directory, port, controller_port, session_timeout_ms)

    @classmethod
    def of_a_cluster(
        cls, programs: KafkaPrograms, directory: Path, size: int, *, session_timeout_ms: int = 9_000
    ) -> list[Self]:
        """So many nodes that are one cluster, each with a directory of its own beside that one."""
        ports, cluster_id = _free_ports(2 * size), _new_cluster_id()
        return [
            cls(
                programs,
                directory.with_name(f"{directory.name}-{number}"),
                ports[number - 1],
                ports[size + number - 1],
                session_timeout_ms,
                number,
                ports[size:],
                cluster_id,
            )
            for number in range(1, size + 1)
        ]

    @property
    def bootstrap(self) -> str:
        """Address for clients."""
        return f"{LOOPBACK}:{self.port}"

    def steps_to_start(self) -> list[Step]:
        """Make an empty cluster where there is none, then serve it."""
        is_made = (self._data / "meta.properties").exists()
        return [self._serve()] if is_made else self.steps_to_wipe()

    def steps_to_wipe(self) -> list[Step]:
        """Make a new, empty cluster in the place of the old one, and serve it."""
        return [
            {"remove": str(self._data)},
            {"write": [str(self._properties_file), self._properties()]},
            {"run": [*self._java("kafka.tools.StorageTool"), "format", *self._format_options()]},
            self._serve(),
        ]

    def _serve(self) -> Step:
        return {"serve": [*self._java("kafka.Kafka"), str(self._properties_file)]}

    async def is_ready(self, _pid: int) -> bool:
        """Whether clients find a broker here."""
        return await has_broker(self.bootstrap)

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    @property
    def _properties_file(self) -> Path:
        return self.directory / "server.properties"

    def _java(self, main_class: str) -> list[str]:
        return [
            str(self.programs.java),
            f"-Xmx{_HEAP_MB}m",
            "-XX:+UseSerialGC",
            "-XX:+ExitOnOutOfMemoryError",
            # A killed JVM would leave its statistics and native libraries in the system's temporary directory.
            "-XX:-UsePerfData",
            f"-Djava.io.tmpdir={self.directory}",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-cp",
            f"{self.programs.jars}/*",
            main_class,
        ]

    def _format_options(self) -> list[str]:
        return ["--cluster-id", self.cluster_id or _new_cluster_id(), "--config", str(self._properties_file)]

    def _properties(self) -> str:
        controllers = enumerate(self.controller_ports or (self.controller_port,), start=1)
        settings = {
            "process.roles": "broker,controller",
            "node.id": self.number,
            "controller.quorum.voters": ",".join(f"{number}@{LOOPBACK}:{port}" for number, port in controllers),
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://{LOOPBACK}:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "broker.session.timeout.ms": self.session_timeout_ms,
            "broker.heartbeat.interval.ms": self.session_timeout_ms // 6,
            "log.dirs": self._data,
            "auto.create.topics.enable": "false",
            **_replicated(max(len(self.controller_ports), 1)),
            **_SMALL,
        }
        return "".join(f"{name}={value}\n" for name, value in settings.items())


def _free_ports(count: int) -> tuple[int, ...]:
    found: set[int] = set()
    while len(found) < count:
        found.add(free_port())
    return tuple(found)


def _new_cluster_id() -> str:
    # Kafka spells ids in URL-safe base64; one that begins with a dash would be read as an option.
    return base64.urlsafe_b64encode(b"\x01" + uuid.uuid4().bytes[1:]).rstrip(b"=").decode()


def _replicated(nodes: int) -> Mapping[str, int]:
    """Kafka's own topics on every node, of which one may be away."""
    in_sync = max(nodes - 1, 1)
    return {
        "offsets.topic.replication.factor": nodes,
        "transaction.state.log.replication.factor": nodes,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": nodes,
        "share.coordinator.state.topic.min.isr": in_sync,
    }


_SMALL = {
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.num.partitions": 4,
    "share.coordinator.state.topic.num.partitions": 4,
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 500,
    "log.cleaner.dedupe.buffer.size": 4_194_304,
    "log.index.size.max.bytes": 1_048_576,
    "log.segment.delete.delay.ms": 1_000,
    "num.network.threads": 2,
    "num.io.threads": 4,
}
