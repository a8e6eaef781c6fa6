"""Fixtures for every test: databases on a real PostgreSQL, a real Apache Kafka, a count of trials, a second look.

Property tests draw the same inputs each time where a change is judged (`CI=true`): one that has nothing to do with it
must not refuse it. Elsewhere they draw others each time; a failure prints what draws it again.
"""

import os

from hypothesis import HealthCheck, settings

pytest_plugins = (
    "tests.fixtures.postgres",
    "tests.fixtures.kafka",
    "tests.fixtures.mariadb",
    "tests.fixtures.snowflake",
    "tests.fixtures.trials",
    "tests.fixtures.second_looks",
)

settings.register_profile(
    "explore", derandomize=False, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("judge", settings.get_profile("explore"), derandomize=True, database=None)
settings.load_profile("judge" if os.environ.get("CI") == "true" else "explore")
