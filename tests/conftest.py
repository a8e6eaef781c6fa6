"""Fixtures for every test: databases on a real PostgreSQL, a real Apache Kafka, a count of trials, a second look."""

pytest_plugins = (
    "tests.fixtures.postgres",
    "tests.fixtures.kafka",
    "tests.fixtures.mariadb",
    "tests.fixtures.trials",
    "tests.fixtures.second_looks",
)
