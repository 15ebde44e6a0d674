"""Let things happen at random until something is lost: ``python walk.py SEEDS STEPS``; exits with 1 if anything was."""

from __future__ import annotations

import sys
import warnings

from stage import submit_here
from town import wander

from metamlflow.backend.threads import ThreadPool


def main(seeds: str, steps: str) -> int:
    warnings.simplefilter("ignore")
    ThreadPool.submit = submit_here  # type: ignore[assignment,method-assign]  # one thread for each client
    for seed in range(int(seeds)):
        try:
            wander(seed, int(steps), in_order=seed % 3 > 0)
        except AssertionError as error:
            print(f"seed {seed}: {error}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
