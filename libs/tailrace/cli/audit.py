"""`tailrace audit`: whether the record of changes is whole."""

from collections.abc import Sequence
from dataclasses import asdict

import typer

from tailrace.cli.work import AsJson, answer, do, open_store
from tailrace.runtime.lifecycle import EXIT_FAILED
from tailrace.runtime.settings import Settings
from tailrace.store.audit_chain import AuditChain, Verdict


def audit() -> typer.Typer:
    """The commands under `tailrace audit`."""
    command = typer.Typer(help="The record of who changed what.", no_args_is_help=True)
    command.command("verify")(_verify)
    return command


def _verify(*, as_json: AsJson = False) -> None:
    """Read every workspace's chain of records; exit code 1 if one was changed, left out or cut off."""

    async def verify(settings: Settings) -> Sequence[Verdict]:
        async with open_store(settings) as database:
            box = settings.secret_box()
            return [verdict async for verdict in AuditChain(database, box).verify()]

    verdicts = do(Settings, verify)
    lines = [f"{each.workspace_id}  {each.records} records  {each.fault or 'whole'}" for each in verdicts]
    answer({"chains": [asdict(each) for each in verdicts]}, as_json=as_json, text="\n".join(lines))
    if any(each.fault for each in verdicts):
        raise typer.Exit(EXIT_FAILED)
