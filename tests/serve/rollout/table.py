"""The table of what the verdicts do to good and to bad candidates, beside the required rates.

Each line is a number of simulated rollouts with fixed seeds. Exit code 1: a line misses its requirement by
more than chance explains."""

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import cache

from tests.serve.rollout.cost_table import cost_cells
from tests.serve.rollout.keys_table import keys_cells
from tests.serve.rollout.latency_table import latency_cells
from tests.serve.rollout.requirements import Cell, Found
from tests.serve.rollout.shadow_rows import shadow_cells
from tests.serve.rollout.verdict_cells import calm_cells, day_cells, high_cells, rate_cells, verdict_cells
from tests.serve.rollout.watch_table import watch_cells


@cache
def cells(fast: bool) -> tuple[Cell, ...]:
    """Return all lines. A new group of scenarios is added here."""
    short = (
        verdict_cells,
        high_cells,
        calm_cells,
        watch_cells,
        latency_cells,
        cost_cells,
        shadow_cells,
        keys_cells,
    )
    found = [cell for group in short for cell in group(fast)]
    return tuple(found if fast else [*found, *rate_cells(), *day_cells()])


def _find(fast: bool, place: int) -> Found:
    cell = cells(fast)[place]
    return cell.find(cell.runs)


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.serve.rollout.table",
        description=__doc__,
        epilog="example: python -m tests.serve.rollout.table --only stalls",
    )
    parser.add_argument("--fast", action="store_true", help="fewer and shorter rollouts: a few minutes")
    parser.add_argument(
        "--only", metavar="WORD", default="", help="the lines whose group or name has WORD in it"
    )
    return parser.parse_args()


def main(fast: bool, word: str) -> int:
    """Print the lines as they arrive and return the exit code."""
    missed = 0
    chosen = [
        (place, cell) for place, cell in enumerate(cells(fast)) if word in cell.group or word in cell.name
    ]
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        waiting = [(cell, pool.submit(_find, fast, place)) for place, cell in chosen]
        for cell, future in waiting:
            found = future.result()
            bad = any(asked.missed(found) for asked in cell.asked)
            missed += bad
            figures = [asked.said(found) for asked in cell.asked]
            said = "; ".join(filter(None, [*figures, found.said]))
            print(
                f"{'MISSED ' if bad else ''}{cell.group}, {cell.name}, {found.runs:,} runs\n    {said}",
                flush=True,
            )
    print(f"{missed} of {len(chosen)} lines miss what is asked")
    return min(missed, 1)


if __name__ == "__main__":
    arguments = _asked()
    sys.exit(main(arguments.fast, arguments.only))
