"""How much of a run may be under way."""

import pytest

from tailrace.core.policies import DeliveryPolicy
from tailrace_executor.route import rows_in_window


@pytest.mark.parametrize(
    ("policy", "deployed", "rows", "repeatable_rows"),
    [
        (DeliveryPolicy(), None, 2000, 20_000),
        (DeliveryPolicy(), 100, 100, 100),
        (DeliveryPolicy(window_rows=7), 100, 7, 7),
        (DeliveryPolicy(window_rows=7, strict=True), 100, 0, 0),
    ],
)
def test_window_is_larger_where_repeats_do_no_harm_unless_somebody_said_how_large(
    policy: DeliveryPolicy, deployed: int | None, rows: int, repeatable_rows: int
) -> None:
    assert rows_in_window(policy, deployed, is_repeatable=False) == rows
    assert rows_in_window(policy, deployed, is_repeatable=True) == repeatable_rows
