"""Where the Kafka brokers are, how they let us in, and how long they are waited for."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tailrace.core.errors import BusUnavailable, Invalid

Compression = Literal["gzip", "snappy", "lz4", "zstd"]
"""gzip is always there; the others need their codec installed beside aiokafka."""


@dataclass(frozen=True, slots=True)
class KafkaAccess:
    """What every client needs to reach the brokers. Certificates are read anew for each client: they rotate."""

    bootstrap: str
    client_id: str = "tailrace"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    def options(self) -> dict[str, object]:
        """What producers, consumers and admin clients of aiokafka share.

        :raises Invalid: a certificate or a key cannot be read, or SASL has no user.
        """
        options: dict[str, object] = {
            "bootstrap_servers": [server.strip() for server in self.bootstrap.split(",")],
            "client_id": self.client_id,
            "security_protocol": self.security_protocol,
        }
        if self.security_protocol.endswith("SSL"):
            options["ssl_context"] = self._tls()
        if self.security_protocol.startswith("SASL"):
            options |= self._login()
        return options

    def _tls(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.cert_file is not None:
                context.load_cert_chain(self.cert_file, self.key_file)
        except OSError as error:
            raise Invalid(
                f"the Kafka certificates {self.ca_file}, {self.cert_file}, {self.key_file} cannot be used: {error}",
                code="SETTINGS",
            ) from error
        return context

    def _login(self) -> dict[str, object]:
        if not self.username or not self.password:
            raise Invalid(f"{self.security_protocol} needs a user and a password for Kafka", code="SETTINGS")
        return {
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_plain_username": self.username,
            "sasl_plain_password": self.password,
        }


@dataclass(frozen=True, slots=True)
class KafkaWaits:
    """The longest waits, in seconds.

    `session_s` is how long a member that is gone keeps its partitions. `refresh_s` is how soon a member sees
    partitions that are new. `stall_s` is how long a member may get nothing before it is asked whether something is
    there.
    """

    publish_s: float = 10.0
    request_s: float = 5.0
    commit_s: float = 10.0
    check_s: float = 2.5
    join_s: float = 30.0
    stop_s: float = 5.0
    session_s: float = 10.0
    refresh_s: float = 10.0
    stall_s: float = 15.0


def milliseconds(wait_s: float) -> int:
    """A wait as Kafka wants it."""
    return int(wait_s * 1000)


def lacking(*topics: str) -> BusUnavailable:
    """What is said where the cluster answers and lacks topics of ours."""
    names = ", ".join(sorted(topics))
    return BusUnavailable(f"Kafka lacks a topic, {names}: `tailrace kafka topics apply` makes those that are missing")
