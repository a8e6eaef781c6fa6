"""How to reach a PostgreSQL server: settings of the source and of the destination.

Nothing is taken from the environment or the home directory of the process (PGPASSWORD, .pgpass): a connection must
not lend its owner somebody else's credentials.
"""

import socket
import ssl
from asyncio import BaseTransport
from enum import StrEnum
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

DANGEROUS_ROLES = ("pg_execute_server_program", "pg_read_server_files", "pg_write_server_files")
DANGER = """
    SELECT r.rolname FROM pg_catalog.pg_roles r
    WHERE (r.rolname = session_user AND r.rolsuper)
       OR (r.rolname = ANY ($1) AND pg_catalog.pg_has_role(session_user, r.oid, 'MEMBER'))
    ORDER BY r.rolname
"""
"""Which of these roles a login has, and whether it is a superuser."""

_KEEPALIVE_S = 10
_USER_TIMEOUT_MS = 20_000
_URL_OPTIONS = ("host", "sslmode")
_QUOTED = "quote what is special in user and password: @ is %40, / is %2F, # is %23, ? is %3F"


class SslMode(StrEnum):
    """As in libpq: https://www.postgresql.org/docs/current/libpq-ssl.html."""

    DISABLE = "disable"
    PREFER = "prefer"
    REQUIRE = "require"
    VERIFY_CA = "verify-ca"
    VERIFY_FULL = "verify-full"


class PostgresSettings(BaseModel):
    """Either `url`, or `host`, `user` and the rest of the parts."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: SecretStr | None = Field(
        default=None,
        description="postgresql://user:password@host:port/database?sslmode=..., instead of the parts",
    )
    host: str | None = Field(default=None, min_length=1, max_length=255)
    port: int = Field(default=5432, ge=1, le=65_535)
    database: str | None = Field(default=None, max_length=63)
    user: str | None = Field(default=None, max_length=63)
    password: SecretStr | None = None
    ssl_mode: SslMode = SslMode.PREFER
    ssl_root_certificates: str | None = Field(
        default=None, max_length=100_000, description="PEM text; the system's authorities where empty"
    )
    connect_timeout_s: float = Field(default=10.0, gt=0, le=60)

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.url is not None:
            if self.model_fields_set & {"host", "port", "database", "user", "password"}:
                raise ValueError("give either url or host, port, database, user and password, not both")
            _parts_of(self.url.get_secret_value())
        elif self.host is None or self.user is None:
            raise ValueError("host and user are needed, or url instead of all parts")
        if self.ssl_root_certificates is not None:
            _context(self.ssl_root_certificates, has_hostname_check=True)
        return self

    def connect_options(self) -> dict[str, Any]:
        """Arguments for `asyncpg.connect`."""
        options = self._parts() if self.url is None else _parts_of(self.url.get_secret_value())
        mode = SslMode(options.pop("ssl_mode", self.ssl_mode))
        options["database"] = options["database"] or options["user"]
        return options | {"ssl": self._ssl(mode), "timeout": self.connect_timeout_s}

    def _parts(self) -> dict[str, Any]:
        password = self.password.get_secret_value() if self.password else ""
        parts = {"host": self.host, "port": self.port, "user": self.user}
        return parts | {"password": password, "database": self.database}

    def _ssl(self, mode: SslMode) -> object:
        if mode in {SslMode.DISABLE, SslMode.PREFER}:
            return mode.value
        context = _context(self.ssl_root_certificates, has_hostname_check=mode is SslMode.VERIFY_FULL)
        if mode is SslMode.REQUIRE and self.ssl_root_certificates is None:
            context.verify_mode = ssl.CERT_NONE
        return context


class PostgresWarehouseSettings(PostgresSettings):
    """A server to read from, and how long it may take."""

    statement_timeout_s: float = Field(default=600.0, gt=0, le=86_400, description="for the query's first rows too")
    lock_timeout_s: float = Field(default=10.0, gt=0, le=3600)
    hashes_rows: bool = Field(default=False, description="has the server hash rows, and give only those that changed")
    snapshot_schema: str | None = Field(
        default=None,
        min_length=1,
        max_length=63,
        description="where tables may be made that hold what is known of rows; its role needs USAGE and CREATE there",
    )
    allow_superuser: bool = Field(
        default=False,
        description="lets a role in that could run programs or touch files on the server by a query",
    )


def keep_alive(transport: BaseTransport | None) -> None:
    """Let the kernel notice a server that is gone; without this a read from it may wait for hours."""
    peer = transport.get_extra_info("socket") if transport else None
    if peer is None or peer.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_S)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)


def _parts_of(url: str) -> dict[str, Any]:
    try:
        split = urlsplit(url)
        port = split.port or 5432
    except ValueError:
        raise ValueError(f"url is malformed: use postgresql://user:password@host:port/database; {_QUOTED}") from None
    if "@" in split.path + split.query + split.fragment:
        # Part of a password, which would be taken for an address, asked for and told of.
        raise ValueError(f"url has an @ behind its address: {_QUOTED}")
    options = dict(parse_qsl(split.query))
    host = unquote(split.hostname or "") or options.get("host")
    if split.scheme not in {"postgresql", "postgres"} or not host or not split.username:
        raise ValueError("url needs scheme, user and host: postgresql://user:password@host:port/database")
    if options.get("sslmode", SslMode.PREFER) not in set(SslMode):
        raise ValueError(f"sslmode in url must be one of {', '.join(SslMode)}")
    if options.keys() - set(_URL_OPTIONS):
        raise ValueError(f"url takes only these options: {', '.join(_URL_OPTIONS)}")
    parts = {"host": host, "port": port, "user": unquote(split.username)}
    parts |= {"password": unquote(split.password or ""), "database": unquote(split.path.lstrip("/"))}
    return parts | ({"ssl_mode": SslMode(options["sslmode"])} if "sslmode" in options else {})


def _context(root_certificates: str | None, *, has_hostname_check: bool) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=root_certificates)
    except (ssl.SSLError, ValueError):
        raise ValueError("ssl_root_certificates holds no PEM certificates") from None
    context.check_hostname = has_hostname_check
    return context
