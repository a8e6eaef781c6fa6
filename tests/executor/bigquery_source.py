"""A source that reads from the stand-in of BigQuery."""

from tailrace.store.connections import ConnectionDraft
from tailrace.testing.bigquery_stand_in import BigQueryStandIn


def connection_to(project: BigQueryStandIn) -> ConnectionDraft:
    """What an admin would enter."""
    place = {"project": project.project, "api_url": project.url, "token_url": f"{project.url}/token"}
    return ConnectionDraft("project", place | {"service_account": "***"}, {"/service_account": project.account()})
