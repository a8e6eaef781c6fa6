"""How to reach BigQuery: which project pays, who signs in, and where."""

from pydantic import BaseModel, ConfigDict, Field

from tailrace.connector_kit.google_accounts import ServiceAccount

_PROJECT = r"^([a-z0-9.-]+:)?[a-z][a-z0-9-]*[a-z0-9]$"
_DATASET = r"^(([a-z0-9.-]+:)?[a-z][a-z0-9-]*[a-z0-9]\.)?[A-Za-z0-9_]+$"
_ADDRESS = r"^https?://[A-Za-z0-9.:\[\]-]+$"


class BigQuerySettings(BaseModel):
    """A project, a service account, and bounds of what a query may cost."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    project: str = Field(max_length=200, pattern=_PROJECT, description="the id of the project that pays for queries")
    service_account: ServiceAccount = Field(
        max_length=20_000, description="the JSON file of a service account's key, as a whole"
    )
    location: str | None = Field(
        default=None,
        max_length=64,
        pattern=r"^[A-Za-z0-9-]+$",
        description="such as EU; found by the tables if not set",
    )
    default_dataset: str | None = Field(
        default=None, max_length=1200, pattern=_DATASET, description="`dataset` or `project.dataset`"
    )
    maximum_bytes_billed: int | None = Field(
        default=None, ge=1, le=2**63 - 1, description="a query that would be billed for more fails and costs nothing"
    )
    statement_timeout_s: float = Field(default=600.0, ge=1, le=21_600, description="in the queue of the project too")
    api_url: str = Field(
        default="https://bigquery.googleapis.com",
        max_length=300,
        pattern=_ADDRESS,
        description="another address of the same API, for a private endpoint",
    )
    token_url: str = Field(
        default="https://oauth2.googleapis.com/token",
        max_length=300,
        pattern=_ADDRESS[:-1] + r"/[A-Za-z0-9/_-]*$",
        description="another address to sign in at, for a private endpoint",
    )
