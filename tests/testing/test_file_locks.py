from pathlib import Path

import pytest

from tailrace.core.errors import Unavailable
from tailrace.testing.file_locks import is_held, locked


async def test_lock_keeps_others_out_until_it_is_released(tmp_path: Path) -> None:
    lock = tmp_path / "deeper" / "one.lock"

    async with locked(lock, wait_s=1):
        with pytest.raises(Unavailable, match="locked by others"):
            async with locked(lock, wait_s=0.1):
                pytest.fail("two hold the lock")

    async with locked(lock, wait_s=1):
        assert is_held(lock)


async def test_shared_lock_lets_others_share_but_nobody_have_it_alone(tmp_path: Path) -> None:
    lock = tmp_path / "one.lock"

    async with locked(lock, shared=True, wait_s=1), locked(lock, shared=True, wait_s=1):
        with pytest.raises(Unavailable):
            async with locked(lock, wait_s=0.1):
                pytest.fail("it is shared")

        assert not is_held(lock)
        assert is_held(lock, shared=True)


async def test_timeout_inside_the_scope_is_the_callers_own(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError, match="of the work"):
        async with locked(tmp_path / "one.lock", wait_s=1):
            raise TimeoutError("of the work")


def test_lock_that_was_never_taken_is_not_held(tmp_path: Path) -> None:
    assert not is_held(tmp_path / "one.lock", shared=True)
