"""How to reach an account of Snowflake: settings, and what its driver is told to do and to leave alone."""

import math
import os
from typing import Any, Literal, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from tailrace.core.errors import SourceInvalid

EMULATOR = "TAILRACE_SNOWFLAKE_EMULATOR"
"""The environment variable that names the port of an emulator on this machine, which then stands for every account."""

REQUEST_S = 60
"""How long the driver repeats a request. The server answers each within 45 s, if only to say that it works."""

_LEAST_KEY_BITS = 2048
_NAME = r"^[^\x00-\x1f]+$"


class SnowflakeSettings(BaseModel):
    """An account, one way to sign in, and what is used there."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    account: str = Field(
        max_length=200,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9][A-Za-z0-9-]*){0,4}$",
        description="`organization-account`, or a locator such as `xy12345.eu-central-1`; `.privatelink` may follow",
    )
    domain: Literal["snowflakecomputing.com", "snowflakecomputing.cn"] = "snowflakecomputing.com"
    user: str = Field(min_length=1, max_length=255, pattern=_NAME)
    private_key: SecretStr | None = Field(
        default=None, max_length=20_000, description="PEM text of an RSA key whose public half the user has"
    )
    private_key_passphrase: SecretStr | None = Field(default=None, max_length=1024)
    token: SecretStr | None = Field(
        default=None, max_length=10_000, description="a programmatic access token, instead of a key"
    )
    password: SecretStr | None = Field(
        default=None, max_length=1024, description="instead of a key, where Snowflake still lets a service in by one"
    )
    warehouse: str | None = Field(default=None, min_length=1, max_length=255, pattern=_NAME)
    role: str | None = Field(default=None, min_length=1, max_length=255, pattern=_NAME)
    database: str | None = Field(default=None, min_length=1, max_length=255, pattern=_NAME)
    schema_name: str | None = Field(default=None, min_length=1, max_length=255, pattern=_NAME)
    statement_timeout_s: float = Field(default=600.0, ge=1, le=86_400, description="in the queue of the warehouse too")
    connect_timeout_s: float = Field(default=20.0, ge=1, le=120)
    allow_admin_role: bool = Field(default=False, description="lets a role in that could change the account by a query")

    @model_validator(mode="after")
    def _has_one_way_in(self) -> Self:
        if sum(given is not None for given in (self.private_key, self.token, self.password)) != 1:
            raise ValueError("give one of private_key, token and password")
        if self.private_key is not None:
            _loaded(self.private_key, self.private_key_passphrase, is_whole=False)
        elif self.private_key_passphrase is not None:
            raise ValueError("private_key_passphrase is for a private_key")
        if self.account.lower().endswith((".com", ".cn")):
            raise ValueError("account is the part before .snowflakecomputing.com")
        return self

    @property
    def host(self) -> str:
        """Where the account answers: always a name of Snowflake's own domain."""
        return f"{self.account.replace('_', '-').lower()}.{self.domain}"

    def connect_options(self) -> dict[str, Any]:
        """Arguments for `snowflake.connector.connect`. A key is looked at as a whole, which takes a while: in a thread.

        :raises SourceInvalid: the key is not sound, or the operator's emulator is no port.
        """
        return {
            **self._place(),
            **self._way_in(),
            "account": self.account,
            "user": self.user,
            "warehouse": self.warehouse,
            "role": self.role,
            "database": self.database,
            "schema": self.schema_name,
            "application": "Tailrace",
            "login_timeout": math.ceil(self.connect_timeout_s),
            "network_timeout": REQUEST_S,
            "paramstyle": "qmark",
            "session_parameters": self._session(),
            "validate_default_parameters": True,
            "client_prefetch_threads": 2,
            "client_session_keep_alive": False,
            "disable_query_context_cache": True,
            **_LEFT_ALONE,
        }

    def _place(self) -> dict[str, Any]:
        named = os.environ.get(EMULATOR)
        if not named:
            return {"host": self.host, "port": 443, "protocol": "https"}
        if not named.isdecimal():
            raise SourceInvalid(f"{EMULATOR} has to be the number of a port on this machine")
        return {"host": "127.0.0.1", "port": int(named), "protocol": "http"}

    def _way_in(self) -> dict[str, Any]:
        if self.private_key is not None:
            try:
                key = _loaded(self.private_key, self.private_key_passphrase, is_whole=True)
            except ValueError as error:
                raise SourceInvalid(str(error)) from None
            return {"authenticator": "SNOWFLAKE_JWT", "private_key": key}
        if self.token is not None:
            return {"authenticator": "PROGRAMMATIC_ACCESS_TOKEN", "token": self.token.get_secret_value()}
        return {"password": self.password.get_secret_value() if self.password else ""}

    def _session(self) -> dict[str, Any]:
        limit_s = math.ceil(self.statement_timeout_s)
        return {
            "QUERY_TAG": "tailrace",
            "STATEMENT_TIMEOUT_IN_SECONDS": limit_s,
            "STATEMENT_QUEUED_TIMEOUT_IN_SECONDS": limit_s,
            "ABORT_DETACHED_QUERY": True,
            "MULTI_STATEMENT_COUNT": 1,
            "TIMEZONE": "UTC",
            "TIMESTAMP_INPUT_FORMAT": "AUTO",
            "QUOTED_IDENTIFIERS_IGNORE_CASE": False,
            # Results come in pieces of at most so many MiB, of which the driver holds a few.
            "CLIENT_RESULT_CHUNK_SIZE": 16,
            "CLIENT_TELEMETRY_ENABLED": False,
        }


_LEFT_ALONE: dict[str, Any] = {
    # No proxy of the environment, no metadata service of a cloud, no third party asked about certificates.
    "no_proxy": "*",
    "platform_detection_timeout_seconds": 0.0,
    "disable_ocsp_checks": True,
    "log_imported_packages_in_telemetry": False,
    "client_store_temporary_credential": False,
    "client_request_mfa_token": False,
}


def _loaded(key: SecretStr, passphrase: SecretStr | None, *, is_whole: bool) -> RSAPrivateKey:
    secret = passphrase.get_secret_value().encode() if passphrase else None
    try:
        loaded = load_pem_private_key(
            key.get_secret_value().encode(), secret, unsafe_skip_rsa_key_validation=not is_whole
        )
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The words of the library may hold what it was given.
        raise ValueError("private_key is no PEM text of a key, or private_key_passphrase does not open it") from None
    if not isinstance(loaded, RSAPrivateKey) or loaded.key_size < _LEAST_KEY_BITS:
        raise ValueError(f"private_key has to be an RSA key of {_LEAST_KEY_BITS} bits or more")
    return loaded
