"""Settings of a connection to MySQL or MariaDB."""

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class MySqlSettings(BaseModel):
    """A server to read from, and how long it may take."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(min_length=1, max_length=253)
    port: int = Field(default=3306, ge=1, le=65_535)
    user: str = Field(min_length=1, max_length=128)
    password: SecretStr = Field(default=SecretStr(""), max_length=1024)
    database: str = Field(min_length=1, max_length=64)
    tls: bool = Field(default=True, description="encrypt, and check the server's certificate and name")
    statement_timeout_s: float = Field(default=600.0, gt=0, le=86_400, description="for the query's first rows too")
    hashes_rows: bool = Field(default=False, description="has the server hash rows, and give only those that changed")
    tinyint1_is_boolean: bool = Field(default=True, description="read TINYINT(1), which BOOLEAN stands for, as such")
    allow_superuser: bool = Field(
        default=False, description="lets a user in who could read files on the server, or lift its limits, by a query"
    )
