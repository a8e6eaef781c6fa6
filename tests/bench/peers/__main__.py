"""Other open tools at the same work, in the same interleaved rounds as a loop without guarantees and our own cases.

`--only` names one of them and may be given several times; our case that it is measured against goes with it.
"""

import asyncio
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence

from tailrace.core.errors import TailraceError
from tests.bench.case import CASES
from tests.bench.ground import Ground, open_ground
from tests.bench.options import parser_of, report_to
from tests.bench.peers.entrants import ENTRANTS, LIMITS, run_entrant
from tests.bench.peers.homes import versions
from tests.bench.peers.proof import prove
from tests.bench.report import Figures, Report
from tests.bench.rows import BASELINE, figures_of, rate_of, run_case
from tests.bench.watch import Measured

_FEW_ROWS = 2000


def main(given: Sequence[str] | None = None) -> None:
    """Measure and print; what a peer could not do is told beside the figures, and ends with exit code 1."""
    arguments = parser_of("make bench-peers", __doc__, ENTRANTS).parse_args(given)
    failed: dict[str, str] = {}
    try:
        report = asyncio.run(_measured(arguments, failed))
    except TailraceError as error:
        raise SystemExit(f"bench-peers: {error.message}") from None
    what = {name: case.what for name, case in CASES.items()} | {name: one.what for name, one in ENTRANTS.items()}
    report_to(arguments, report, what, {"peers": ", ".join(versions().values()), "failed": failed})
    for limit in LIMITS:
        print(f"- {limit}")
    if failed:
        raise SystemExit("\n".join(f"{name} FAILED: {why}" for name, why in failed.items()))


async def _measured(arguments: Namespace, failed: dict[str, str]) -> Report:
    peers = arguments.only or list(ENTRANTS)
    async with open_ground(_FEW_ROWS) as ground:
        for name in peers:
            try:
                await prove(name, ground)
            except TailraceError as error:
                failed[name] = error.message
    peers = [name for name in peers if name not in failed]
    own = [BASELINE, *dict.fromkeys(ENTRANTS[name].against for name in peers)]
    runs = await _rounds([*own, *peers], arguments, failed)
    return {name: _figures(name, runs) for name in runs if name not in failed}


async def _rounds(names: Sequence[str], arguments: Namespace, failed: dict[str, str]) -> Mapping[str, list[Measured]]:
    runs: dict[str, list[Measured]] = {name: [] for name in names}
    sizes = {name: min(arguments.rows, _rows_at_most(name) or arguments.rows) for name in names}
    for size in sorted(set(sizes.values())):
        async with open_ground(size) as ground:
            for _ in range(arguments.repeat):
                for name in [name for name in names if sizes[name] == size and name not in failed]:
                    if (measured := await _round(name, ground, failed)) is not None:
                        runs[name].append(measured)
    return runs


async def _round(name: str, ground: Ground, failed: dict[str, str]) -> Measured | None:
    """A peer that fails is out; a case of ours that fails ends all."""
    if name in CASES:
        return await run_case(name, ground)
    try:
        return await run_entrant(name, ground)
    except TailraceError as error:
        failed[name] = error.message
        return None


def _rows_at_most(name: str) -> int | None:
    return (CASES[name] if name in CASES else ENTRANTS[name]).rows_at_most


def _figures(name: str, runs: Mapping[str, Sequence[Measured]]) -> Figures:
    """How many times as fast ours is, for a peer."""
    figures = figures_of(runs[name], runs[BASELINE])
    if name in ENTRANTS:
        ours = rate_of(runs[ENTRANTS[name].against]) / rate_of(runs[name])
        return {**figures, "ours_to_it": round(ours, 2)}
    return figures


if __name__ == "__main__":
    main(sys.argv[1:])
