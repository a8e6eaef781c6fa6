"""`tailrace dev`: the whole platform in one process, to build against."""

import os
import sys
from collections.abc import Sequence

import orjson

from tailrace.embedded.platform import Options, Platform, run_platform
from tailrace.runtime.ending import Ending
from tailrace.runtime.service import Service

_GRACE_S = 30.0


async def dev(services: Sequence[Service], options: Options, *, as_json: bool) -> None:
    """Serve until SIGTERM or Ctrl-C; the first line on stdout comes once the API answers."""
    ending = Ending(grace_s=_GRACE_S)

    async def announce(platform: Platform) -> None:
        sys.stdout.write(_line(platform) if as_json else _text(platform))
        sys.stdout.flush()

    with ending.by_signals():
        await run_platform(services, options, ending, announce)


def _line(platform: Platform) -> str:
    facts = {
        "url": platform.url,
        "token": platform.token,
        "database_url": platform.database_url,
        "workspace_id": platform.workspace_id,
        "pid": os.getpid(),
    }
    return orjson.dumps(facts).decode() + "\n"


def _text(platform: Platform) -> str:
    return (
        f"Tailrace is at {platform.url}\n"
        f"  token      {platform.token}\n"
        f"  workspace  {platform.workspace_id}\n"
        f"  database   {platform.database_url}\n"
        f"Try: curl -H 'Authorization: Bearer {platform.token}' {platform.url}/api/reverse-etl/syncs\n"
        "Ctrl-C ends it.\n"
    )
