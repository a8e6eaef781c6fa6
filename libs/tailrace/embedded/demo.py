"""`tailrace demo`: the whole platform on this machine, with a warehouse, a CRM and two runs to look at."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from tailrace.core.errors import TailraceError
from tailrace.embedded.demo_api import DemoApi
from tailrace.embedded.demo_chapter import Show
from tailrace.embedded.demo_crm import open_crm
from tailrace.embedded.demo_show import JsonShow, TextShow
from tailrace.embedded.demo_story import Stage, Told, tell
from tailrace.embedded.demo_warehouse import DemoWarehouse
from tailrace.embedded.platform import Options, Platform, run_platform
from tailrace.runtime.ending import Ending
from tailrace.runtime.service import Service

_GRACE_S = 30.0
_WAREHOUSE = "demo_warehouse"


class DemoFailed(TailraceError):
    """What happened is not what had to happen."""

    code = "DEMO_FAILED"


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """`once` ends the demo after its last run; `as_json` prints the runs alone, an object a line."""

    port: int = 0
    once: bool = False
    as_json: bool = False


async def demo(services: Sequence[Service], options: DemoOptions) -> None:
    """Play the demo; then stay up until SIGTERM or Ctrl-C, unless it is to end by itself.

    :raises DemoFailed: a run did not succeed, or the CRM's content is not what it has to be.
    """
    ending = Ending(grace_s=_GRACE_S)
    show: Show = JsonShow() if options.as_json else TextShow(Console())

    async def play(platform: Platform) -> None:
        warehouse = await DemoWarehouse.create(await platform.postgres.ensure_database(_WAREHOUSE))
        async with open_crm() as crm, DemoApi.open(platform.url, platform.token) as api:
            told = await tell(Stage(api, warehouse, crm, show))
            if told.wrong:
                raise DemoFailed("; ".join(told.wrong))
            show.step("Every row is where it has to be: the CRM holds exactly what was expected.")
            if not options.once:
                show.step(_way_on(platform, told, crm.url))
                await ending.stopping.wait()
        ending.stop()

    with ending.by_signals():
        await run_platform(services, Options(port=options.port), ending, play)


def _way_on(platform: Platform, told: Told, crm_url: str) -> str:
    bearer = f"-H 'Authorization: Bearer {platform.token}'"
    return "\n".join(
        (
            "",
            f"Tailrace is at {platform.url}",
            f"The token is   {platform.token}",
            f"The CRM is at  {crm_url}",
            "",
            "Try, in another terminal:",
            f"  curl -s {bearer} {platform.url}/api/runs/{told.run_id}",
            f"  curl -s {bearer} '{platform.url}/api/reverse-etl/dlq?sync_id={told.sync_id}&limit=3'",
            f"  curl -s {bearer} -X POST {platform.url}/v2/retl-connections/{told.sync_id}/start",
            "",
            "Ctrl-C ends it all and leaves nothing behind.",
        )
    )
