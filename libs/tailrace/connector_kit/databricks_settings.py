"""How to reach a SQL warehouse of Databricks."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

_NAME = r"^[^\x00-\x1f]+$"
_PRINTABLE = r"^[!-~]+$"


class DatabricksSettings(BaseModel):
    """A workspace, one way to sign in, and what is used there."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    host: str = Field(
        max_length=260,
        pattern=r"^(https?://)?[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?/?$",
        description="the workspace, such as `dbc-a1b2c3d4-e5f6.cloud.databricks.com`",
    )
    warehouse_id: str = Field(
        max_length=100, pattern=r"^[A-Za-z0-9-]+$", description="of a SQL warehouse: the end of its HTTP path"
    )
    catalog: str | None = Field(default=None, min_length=1, max_length=255, pattern=_NAME)
    schema_name: str | None = Field(default=None, min_length=1, max_length=255, pattern=_NAME)
    access_token: SecretStr | None = Field(
        default=None, max_length=10_000, description="a personal access token, instead of a service principal"
    )
    client_id: str | None = Field(
        default=None, max_length=255, pattern=_PRINTABLE, description="of a service principal"
    )
    client_secret: SecretStr | None = Field(default=None, max_length=1024, description="its OAuth secret")
    statement_timeout_s: float = Field(
        default=600.0,
        ge=1,
        le=86_400,
        description="for a statement, the start of the warehouse too; for a part of rows",
    )

    @model_validator(mode="after")
    def _has_one_way_in(self) -> Self:
        is_principal = self.client_id is not None or self.client_secret is not None
        if is_principal == (self.access_token is not None):
            raise ValueError("give either access_token, or client_id and client_secret")
        if is_principal and (self.client_id is None or self.client_secret is None):
            raise ValueError("client_id and client_secret go together")
        token = self.access_token
        if token is not None and not (token.get_secret_value().isascii() and token.get_secret_value().isprintable()):
            raise ValueError("access_token holds what no token does")
        return self

    @property
    def address(self) -> str:
        """Where the workspace answers: by https, unless the setting says otherwise, which only trials may."""
        host = self.host.rstrip("/")
        return host if "://" in host else f"https://{host}"
