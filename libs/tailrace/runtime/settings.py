"""What a deployment may set: environment variables that begin with TAILRACE_, or files of a secret volume."""

import os
import re
import socket
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tailrace.core.errors import Invalid
from tailrace.observe.failpoints import parse_failpoint
from tailrace.store.secrets import SecretBox

PREFIX = "TAILRACE_"
SECRETS_DIR = "TAILRACE_SECRETS_DIR"
"""Names a folder with a file a setting, such as a mounted Kubernetes secret; the environment wins over it."""

_TESTS_PREFIX = "TAILRACE_TEST_"
_DRAIN_MARGIN_S = 10.0
# Kubernetes describes each Service of a namespace in variables of its name, one called `tailrace` too.
_SERVICE_LINK = re.compile(r"(^|_)(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)$")
_LINK_ADDRESS = re.compile(r"^(tcp|udp|sctp)://")
_DSN = re.compile(r"^postgres(ql)?://")


class _Given(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", hide_input_in_errors=True
    )


SomeSettings = TypeVar("SomeSettings", bound=_Given)


class StoreSettings(_Given):
    """Where the state is: all that a migration needs."""

    database_url: SecretStr = Field(description="DSN of the PostgreSQL that holds all state.")
    database_pool_size: int = Field(
        10,
        ge=2,
        le=500,
        description="Connections that a process holds at most; a gateway opens all of them as it starts.",
    )
    database_acquire_s: float = Field(5, gt=0, le=60, description="Longest wait for a connection, in seconds.")
    database_command_s: float = Field(5, gt=0, le=600, description="Longest time of a statement, in seconds.")

    @field_validator("database_url")
    @classmethod
    def _is_address(cls, value: SecretStr) -> SecretStr:
        if not _DSN.match(value.get_secret_value()):
            raise ValueError("must look like postgresql://user:password@host:5432/database")
        return value


class KafkaSettings(_Given):
    """Where events go: all that the creation of topics needs."""

    kafka_bootstrap: str | None = Field(None, description="host:port, comma separated; without it services only poll.")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How brokers are spoken to."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="How we log in where the protocol is a SASL one."
    )
    kafka_username: str | None = Field(None, description="User for SASL.")
    kafka_password: SecretStr | None = Field(None, description="Password for SASL.")
    kafka_ca_file: Path | None = Field(None, description="Certificates that brokers are trusted by (PEM).")
    kafka_cert_file: Path | None = Field(None, description="Our client certificate (PEM).")
    kafka_key_file: Path | None = Field(None, description="Its private key (PEM).")
    topic_prefix: str = Field(
        "tailrace",
        pattern=r"^[a-z0-9]+([.-][a-z0-9]+)*$",
        max_length=100,
        description="First part of topic names.",
    )


class Settings(KafkaSettings, StoreSettings):
    """Everything that services read; a name that is not here is refused.

    Lease times are checked against each other: an executor that renews too late would be overtaken alive.
    """

    secret_key: SecretStr = Field(
        description="32 bytes in base64 that secrets are sealed with; of several, by commas, the first seals."
    )
    platform_token: SecretStr | None = Field(
        None, min_length=32, description="Bearer token of whoever may make workspaces over the API; without it nobody."
    )
    host: str = Field("127.0.0.1", description="Address that the gateway listens on; 0.0.0.0 in a container.")
    port: int = Field(8080, ge=0, le=65_535, description="Its port; 0 takes a free one.")
    calls_per_s: float = Field(200, gt=0, le=100_000, description="Calls that a gateway takes of one token a second.")
    calls_burst: int = Field(1000, ge=1, le=1_000_000, description="Calls that it takes of one token at once.")
    trusted_proxies: str = Field(
        "",
        description="Networks of the proxies in front of the gateway, by commas; only these say whom a call is from.",
    )
    trusted_proxy_header: Literal["X-Forwarded-For", "Forwarded"] = Field(
        "X-Forwarded-For", description="The header in which they say so; the other one is not read."
    )
    ops_host: str = Field("127.0.0.1", description="Address of /livez, /readyz and /metrics; 0.0.0.0 in a container.")
    ops_port: int = Field(9090, ge=0, le=65_535, description="Their port; 0 takes a free one.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    log_format: Literal["json", "console"] = Field("json", description="JSON for machines, console for people.")
    pod_name: str = Field(
        default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}",
        min_length=1,
        max_length=200,
        description="Name of this process, unique.",
    )
    allow_private_destinations: bool = Field(
        default=False, description="Let connectors reach private addresses, and speak plain http: for trials only."
    )
    local_files: Path | None = Field(
        None, description="Directory whose files every workspace may read by the warehouse `duckdb`; none if not set."
    )
    snowflake_emulator: int | None = Field(
        None,
        ge=1,
        le=65_535,
        description="Port of this machine where an emulator stands for every account of Snowflake: for trials only.",
    )

    lease_ttl_s: float = Field(30, gt=0, le=3600, description="How long a lease on a run's shard lasts.")
    heartbeat_s: float = Field(10, gt=0, description="How often its owner renews it.")
    lease_margin_s: float = Field(3, gt=0, description="How long before its end the owner stops writing.")
    takeover_grace_s: float = Field(5, ge=0, description="How long after its end another may take over.")
    poll_s: float = Field(3, gt=0, le=300, description="How often work is looked for that no event announced.")
    request_timeout_s: float = Field(20, gt=0, le=600, description="Longest time of a request to a destination.")
    outage_probe_s: float = Field(
        30, ge=0, le=600, description="How long a destination out of order is probed before its runs are put off."
    )
    throttle_hold_s: float = Field(
        120,
        ge=0,
        le=3600,
        description="How long runs wait for a destination that wants silence before they are put off.",
    )
    outage_pause_s: float = Field(
        15, gt=0, le=900, description="First time they are put off for; each further one is twice as long, 900 at most."
    )
    outage_limit_s: float = Field(
        10_800, ge=0, le=86_400, description="How long a run waits for its destination in all before it fails."
    )
    shutdown_grace_s: float = Field(30, gt=0, le=3600, description="Longest time to drain after SIGTERM.")
    executor_max_runs: int = Field(50, ge=1, le=10_000, description="Runs that one executor works on at once.")
    executor_max_runs_of_workspace: int = Field(
        0, ge=0, le=10_000, description="How many of them may be of one workspace; 0 for all of them."
    )
    window_rows: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Rows sent without a checkpoint at most; if not set, 2,000, and 20,000 where repeats do no harm.",
    )
    rows_per_shard: int = Field(
        1_000_000, ge=0, description="Rows that make a part of a run worth an executor of its own; 0 to share none."
    )
    checkpoint_s: float = Field(0.5, gt=0, le=5, description="Longest time between checkpoints while rows flow.")

    spool_after_s: float = Field(
        30,
        ge=0,
        le=3600,
        description="How long a reading waits for its destination, a 60th of it at a time, before rows go to disk.",
    )
    spool_run_mib: int = Field(512, ge=0, le=1_048_576, description="MiB of disk for the rows of a run; 0 for none.")
    spool_total_mib: int = Field(
        4096, ge=0, le=16_777_216, description="MiB of disk for those of all runs of an executor; 0 for none."
    )
    spool_directory: Path | None = Field(
        None, description="Where they are put; the system's directory for temporary files if not set."
    )

    failpoint: str | None = Field(
        None, description="Breaks this process on purpose, `name:nth:action`: for tests only."
    )

    @field_validator("failpoint")
    @classmethod
    def _is_failpoint(cls, value: str | None) -> str | None:
        if value is not None:
            parse_failpoint(value)
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        for part in _parts(value):
            try:
                ip_network(part)
            except ValueError:
                raise ValueError(f"{part} is no network: write 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32") from None
        return value

    @field_validator("port", "ops_port", mode="before")
    @classmethod
    def _is_no_service_link(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, str) and _LINK_ADDRESS.match(value):
            return cls.model_fields[str(info.field_name)].default
        return value

    def trusted_proxy_networks(self) -> Sequence[str]:
        """The networks in `trusted_proxies`, one by one."""
        return _parts(self.trusted_proxies)

    def secret_box(self) -> SecretBox:
        """What seals secrets by `secret_key`.

        :raises Invalid: no key can be made of it.
        """
        return SecretBox.from_setting(self.secret_key.get_secret_value())

    @model_validator(mode="after")
    def _times_fit(self) -> Self:
        broken = [rule for rule, holds in self._timing_rules() if not holds]
        if broken:
            raise ValueError("; ".join(broken))
        return self

    def _timing_rules(self) -> Iterable[tuple[str, bool]]:
        store_s = self.database_acquire_s + self.database_command_s
        yield "HEARTBEAT_S must be at most a third of LEASE_TTL_S", self.heartbeat_s <= self.lease_ttl_s / 3
        yield (
            "DATABASE_ACQUIRE_S + DATABASE_COMMAND_S must fit into LEASE_TTL_S - HEARTBEAT_S - LEASE_MARGIN_S",
            store_s <= self.lease_ttl_s - self.heartbeat_s - self.lease_margin_s,
        )
        yield "TAKEOVER_GRACE_S must be at least LEASE_MARGIN_S", self.takeover_grace_s >= self.lease_margin_s
        yield (
            f"SHUTDOWN_GRACE_S must be at least REQUEST_TIMEOUT_S + {_DRAIN_MARGIN_S:g}",
            self.shutdown_grace_s >= self.request_timeout_s + _DRAIN_MARGIN_S,
        )


def load_settings(kind: type[SomeSettings], **decided: Any) -> SomeSettings:  # noqa: ANN401 - pydantic checks them
    """The settings of this process, as far as it needs them; what is `decided` wins over the environment.

    :raises Invalid: names each variable that is unknown, missing or wrong, never its value.
    """
    folder = os.environ.get(SECRETS_DIR) or None
    _refuse_unknown(dict.fromkeys(_files_in(folder), "") | os.environ)
    try:
        return kind(_secrets_dir=folder, **decided)
    except ValidationError as error:
        lines = [f"  {_variable(problem['loc'])}{problem['msg']}" for problem in error.errors(include_input=False)]
        raise Invalid("these settings cannot work:\n" + "\n".join(lines), code="SETTINGS") from error


def known_variables() -> list[str]:
    """The names that may be set, in order of their definition."""
    return [*(PREFIX + name.upper() for name in Settings.model_fields), SECRETS_DIR]


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    known = set(known_variables())
    unknown = [
        name for name, value in environ.items() if name.startswith(PREFIX) and not _is_for_us(name, value, known)
    ]
    if unknown:
        raise Invalid(
            f"unknown settings: {', '.join(sorted(unknown))}; known are: {', '.join(known_variables())}",
            code="SETTINGS",
        )


def _files_in(folder: str | None) -> list[str]:
    """The settings that files of a folder stand for; what else lies there is not for us.

    :raises Invalid: there is no such folder.
    """
    if folder is None:
        return []
    if not Path(folder).is_dir():
        raise Invalid(f"{SECRETS_DIR} names {folder}, which is no folder", code="SETTINGS")
    return [path.name.upper() for path in Path(folder).iterdir() if path.name.upper().startswith(PREFIX)]


def _is_for_us(name: str, value: str, known: set[str]) -> bool:
    if name in known or name.startswith(_TESTS_PREFIX):
        return True
    return bool(_SERVICE_LINK.search(name) or _LINK_ADDRESS.match(value))


def _parts(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def _variable(location: tuple[int | str, ...]) -> str:
    return f"{PREFIX}{str(location[0]).upper()}: " if location else ""
