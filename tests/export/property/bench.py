"""Random networks or graphs times steps: how often each made something, and how often not what its note says.

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
from tests.export.property.graph_attempts import GRAPH_ATTEMPTS, attempt_graph

# Kind -> its steps, and the function that attempts one of them.
_KINDS = {"networks": (ATTEMPTS, attempt), "graphs": (GRAPH_ATTEMPTS, attempt_graph)}
_EVERY = 1000


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.export.property.bench",
        description=__doc__,
        epilog="example: python -m tests.export.property.bench networks --count 5000 --only channels",
    )
    parser.add_argument("kind", choices=tuple(_KINDS), help="torch networks, or graphs of ONNX")
    parser.add_argument("--count", metavar="N", type=int, default=1000, help="how many of them")
    parser.add_argument("--only", metavar="WORD", default="", help="the steps whose name has WORD in it")
    return parser.parse_args()


def _try(kind: str, name: str, seed: int) -> Outcome:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    with reproducible(), tempfile.TemporaryDirectory() as folder:
        try:
            return _KINDS[kind][1](name, seed, Path(folder))
        except Exception as error:  # a step says what it refuses: all else is a fault
            return Outcome(made=False, fault=f"{type(error).__name__}: {error}")


def main(kind: str, count: int, word: str) -> int:
    """Print a line for each step, and each fault and each thousand before it; the exit code."""
    wrong = 0
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for name in (name for name in _KINDS[kind][0] if word in name):
            began = time.monotonic()
            counts: Counter[str] = Counter()
            found = pool.map(_try, repeat(kind), repeat(name), range(count), chunksize=16)
            for seed, outcome in enumerate(found):
                if seed and seed % _EVERY == 0:
                    print(f"  {name}: {seed} of {count}, {counts['wrong']} wrong", flush=True)
                counts["wrong" if outcome.fault else "made" if outcome.made else "none"] += 1
                if outcome.fault:
                    print(f"  {name}, seed {seed}: {outcome.fault}", flush=True)
            print(
                f"{name:<26} {count:>6} {kind}: {counts['made']:>6} made, {counts['none']:>6} had nothing "
                f"to do or were refused, {counts['wrong']:>4} wrong; {time.monotonic() - began:.0f} s",
                flush=True,
            )
            wrong += counts["wrong"]
    print(f"{wrong} wrong in all")
    return int(wrong > 0)


if __name__ == "__main__":
    asked = _asked()
    sys.exit(main(asked.kind, asked.count, asked.only))
