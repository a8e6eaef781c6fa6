"""What is too large for Klaviyo, and rows that cannot be sent."""

import orjson
import pytest
from structlog.testing import capture_logs

from tailrace.core.errors import BatchRefused
from tailrace.core.rows import DELIVERED
from tailrace.testing.fake_http import answer
from tests.destinations.klaviyo_account import API_KEY, JOBS, Account, refused
from tests.destinations.klaviyo_rig import TARGET, opened, people, profiles, put, rejections


async def test_profile_above_its_own_limit_is_rejected_and_the_others_go() -> None:
    account = Account()

    result = await put(account, people("Ada", "x" * 100_000, "Bob", "Eve"))

    assert rejections(result.outcomes) == {1: "ROW_TOO_LARGE"}
    assert list(account.profiles) == ["e0", "e2", "e3"]


async def test_profile_above_its_own_limit_is_not_sent_by_itself_either() -> None:
    account = Account()

    result = await put(account, people("x" * 100_000, None), bytes_per_batch=5_000_000)

    assert (rejections(result.outcomes), list(account.profiles)) == ({0: "ROW_TOO_LARGE"}, ["e1"])


async def test_full_batch_is_within_the_limits_and_one_above_is_not_sent() -> None:
    account = Account()

    async with opened(account) as destination:
        plan = await destination.plan(TARGET)
        size = plan.bytes_per_batch // plan.rows_per_batch
        row = {"external_id": "", "plan": ""}
        count, space = plan.rows_per_batch, size - len(orjson.dumps(row)) - 5
        full = profiles(*({"external_id": f"{at:05}", "plan": "x" * space} for at in range(count)))
        taken = await destination.write(plan, full)
        large = profiles(*({"external_id": str(at), "plan": "x" * 90_000} for at in range(60)))
        with pytest.raises(BatchRefused):
            await destination.write(plan, large)

    assert (count, taken.outcomes.count(DELIVERED), len(account.jobs)) == (10_000, 10_000, 1)


async def test_limits_can_be_those_of_the_account() -> None:
    async with opened(Account(), rows_per_batch=500, bytes_per_batch=100_000, rates={"bulk": "60/1min"}) as destination:
        plan = await destination.plan(TARGET)

    assert (plan.rows_per_batch, plan.bytes_per_batch < 100_000, plan.requests_per_s) == (500, True, 1.0)


async def test_keys_that_are_one_to_klaviyo_are_sent_apart() -> None:
    account = Account()

    with pytest.raises(BatchRefused):
        await put(account, profiles(*({"external_id": key} for key in ("a", "A", "b"))))

    assert account.jobs == {}


async def test_nothing_is_kept_of_a_batch_that_is_refused() -> None:
    async with opened(Account()) as destination:
        plan = await destination.plan(TARGET)
        with pytest.raises(BatchRefused):
            await destination.write(plan, profiles(*({"external_id": key} for key in ("a", "A", "b"))))

    assert (destination._done_by_batch, destination._imports.jobs._by_batch) == ({}, {})


async def test_row_without_a_key_is_rejected_and_the_others_go() -> None:
    result = await put(Account(), profiles(*({"external_id": key} for key in ("a", "", "b", "c"))))

    assert rejections(result.outcomes) == {1: "EMPTY_KEY"}


async def test_neither_secrets_nor_rows_are_logged_or_told() -> None:
    account = Account()
    error = {"code": "invalid", "detail": f"the key {API_KEY} is odd", "original_payload": {"external_id": "e1"}}
    account.override("GET", f"{JOBS}/job-0/import-errors", answer(200, {"data": [{"attributes": error}]}))

    with capture_logs() as logs:
        result = await put(account, people("canary-of-a-row", "Mallory", "canary-of-a-row"))
        account.override("POST", JOBS, refused("canary-of-a-row"))
        with pytest.raises(BatchRefused) as refusal:
            await put(account, people("canary-of-a-row", "b", "c"))

    assert result.outcomes[1].message == "the key *** is odd"
    assert "canary" not in f"{logs}{refusal.value}"
    assert API_KEY not in f"{logs}{refusal.value}"
