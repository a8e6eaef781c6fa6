"""A DLQ manager's surroundings: a sync whose rows are refused, and a bus within the process."""

import pytest

from tailrace.store.database import Database
from tests.scheduler.conftest import Surroundings, surround
from tests.store.conftest import Stage, database, stage
from tests.store.letters import Grave

__all__ = ["database", "stage"]


@pytest.fixture
def surroundings(database: Database) -> Surroundings:
    return surround(database)


@pytest.fixture
def grave(stage: Stage) -> Grave:
    return Grave(stage)
