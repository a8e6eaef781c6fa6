"""Everything goes wrong at once, drawn from a seed: nothing is lost, invented, sent too often or left behind.

`TAILRACE_TEST_MIXES=20 TAILRACE_TEST_SEED=100` plays twenty plans from that seed on.
"""

import os
from pathlib import Path

import pytest

from tests.faults.mix import mixed
from tests.faults.plan import Deed, Plan, draw
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.trials import Count

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

_SEED = int(os.environ.get("TAILRACE_TEST_SEED", "3"))
_MIXES = int(os.environ.get("TAILRACE_TEST_MIXES", "2"))
PLANS = [draw(seed) for seed in range(_SEED, _SEED + _MIXES)]


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: f"seed {plan.seed}")
async def test_world_in_which_everything_goes_wrong_at_once_comes_out_right(
    postgres_server: PostgresServer, tmp_path: Path, plan: Plan, count: Count
) -> None:
    breaches, outcomes = await mixed(plan, postgres_server, tmp_path)

    count(outcomes)
    assert breaches == [], str(plan)


def test_plan_is_drawn_from_its_seed_alone_and_holds_every_deed() -> None:
    plan = draw(7)

    assert draw(7) == plan != draw(8)
    assert {fault.deed for fault in plan.faults} == {*Deed}
    assert str(plan).startswith("seed 7, ")
