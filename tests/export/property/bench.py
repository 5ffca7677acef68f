"""Random networks times steps: how often each step made something, and how often not what its note says.

Fixed seeds. Exit code 1: something was wrong."""

import argparse
import os
import sys
import tempfile
import time
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path

import torch

from export.reproducible import reproducible
from tests.export.property.attempts import ATTEMPTS, Outcome, attempt


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.export.property.bench",
        description=__doc__,
        epilog="example: python -m tests.export.property.bench --networks 5000 --only channels",
    )
    parser.add_argument("--networks", metavar="N", type=int, default=1000, help="how many random networks")
    parser.add_argument("--only", metavar="WORD", default="", help="the steps whose name has WORD in it")
    return parser.parse_args()


def _try(name: str, seed: int) -> Outcome:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    with reproducible(), tempfile.TemporaryDirectory() as folder:
        try:
            return attempt(name, seed, Path(folder))
        except Exception as error:  # a step says what it refuses: all else is a fault
            return Outcome(made=False, fault=f"{type(error).__name__}: {error}")


def main(networks: int, word: str) -> int:
    """Print a line for each step, and each fault before it; the exit code."""
    wrong = 0
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for name in (name for name in ATTEMPTS if word in name):
            began = time.monotonic()
            counts: Counter[str] = Counter()
            found = pool.map(_try, repeat(name), range(networks), chunksize=16)
            for seed, outcome in enumerate(found):
                counts["wrong" if outcome.fault else "made" if outcome.made else "none"] += 1
                if outcome.fault:
                    print(f"  {name}, seed {seed}: {outcome.fault}")
            print(
                f"{name:<26} {networks:>6} networks: {counts['made']:>6} made, {counts['none']:>6} had "
                f"nothing to do, {counts['wrong']:>4} wrong; {time.monotonic() - began:.0f} s",
                flush=True,
            )
            wrong += counts["wrong"]
    return int(wrong > 0)


if __name__ == "__main__":
    asked = _asked()
    sys.exit(main(asked.networks, asked.only))
