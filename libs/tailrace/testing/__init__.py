"""Fakes and contract suites for the authors of connectors, stores and carriers; only tests import it."""
