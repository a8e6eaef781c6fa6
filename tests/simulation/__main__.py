"""`make simulate ARGS="--seeds N --from S"`: tells the stories of so many seeds, and which of them end badly."""

import sys
import time
from argparse import ArgumentParser
from collections import Counter

from tests.simulation.story import tell


def main() -> None:
    """Tell them all; exit code 1 if one of them ended badly."""
    arguments = ArgumentParser(prog="make simulate ARGS=...")
    arguments.add_argument("--seeds", type=int, default=1000)
    arguments.add_argument("--from", type=int, default=1, dest="first")
    arguments.add_argument("--most-failures", type=int, default=5)
    wanted = arguments.parse_args()
    began, totals, failed = time.monotonic(), Counter[str](), 0
    for seed in range(wanted.first, wanted.first + wanted.seeds):
        verdict = tell(seed)
        totals.update(verdict.counts)
        if verdict.breaches:
            failed += 1
            sys.stdout.write(verdict.told + "\n")
            if failed == wanted.most_failures:
                break
    took_s = time.monotonic() - began
    sys.stdout.write(f"{wanted.seeds} seeds in {took_s:.1f} s, {failed} failed; {dict(totals)}\n")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
