"""Whatever goes wrong, in whatever order: nothing is lost, nothing invented, everything ends.

A story that ends badly names its seed; `make simulate ARGS="--seeds 1 --from SEED"` tells it again.
`TAILRACE_TEST_SEEDS` is how many are told here, `TAILRACE_TEST_SEED` the first of them.
"""

import os
import subprocess
import sys
from itertools import islice

import pytest

from tests.architecture.source import ROOT
from tests.simulation.story import tell

SEEDS = int(os.environ.get("TAILRACE_TEST_SEEDS", "10000"))
FIRST = int(os.environ.get("TAILRACE_TEST_SEED", "1"))
PARTS = 40
SHOWN = 3

_TOLD_BY_ANOTHER_PROCESS = "from tests.simulation.story import tell; print(tell(7).counts)"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(PARTS))
def test_every_story_ends_well(part: int) -> None:
    seeds = range(FIRST + part, FIRST + SEEDS, PARTS)

    badly = list(islice((verdict for verdict in map(tell, seeds) if verdict.breaches), SHOWN))

    assert not badly, "\n".join(verdict.told for verdict in badly)


def test_story_is_the_same_in_every_process() -> None:
    environment = os.environ | {"PYTHONHASHSEED": "42", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", _TOLD_BY_ANOTHER_PROCESS],
        capture_output=True,
        check=True,
        cwd=ROOT,
        env=environment,
        text=True,
        timeout=50,
    )

    assert done.stdout.strip() == str(tell(7).counts)
