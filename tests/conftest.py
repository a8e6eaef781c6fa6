"""Fixtures for every test: databases on a real PostgreSQL, a real Apache Kafka."""

pytest_plugins = ("tests.fixtures.postgres", "tests.fixtures.kafka")
