"""What the page about destinations says."""

from tailrace.connector_kit.manifest.report import report
from tailrace.destinations.salesforce import SalesforceDestination


async def test_settings_are_all_that_a_user_fills_in() -> None:
    page = await report(SalesforceDestination)

    [line] = [line for line in page.splitlines() if line.startswith("Settings: ")]
    assert "`domain`, `login`, `username`, `sign_in_by`, `client_id`" in line
    assert "`bulk_from_rows`" in line
    assert "`base_url`" not in line
