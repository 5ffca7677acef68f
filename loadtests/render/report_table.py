"""Renders a report for the terminal."""

from tabulate import tabulate

from loadtests.render.format import (
    describe_load,
    describe_sender,
    find_missed,
    list_causes,
    make_plain,
    say_why,
    warn_thin,
)
from loadtests.render.grid import Grid
from loadtests.render.report_grids import make_grids
from loadtests.report import LoadReport


def table(report: LoadReport) -> str:
    """Render the verdict, the tables, then everything that limits their reliability."""
    report = make_plain(report)
    plan = report.plan
    state = "" if report.complete else " (ended early)"
    lines = [
        f"{report.verdict.outcome.value}: {say_why(report)}",
        f"{report.kind}: {plan.model} at {plan.url}: {describe_load(report)}, seed {plan.seed}{state}",
    ]
    for grid in make_grids(report):
        lines += ["", grid.title, _tabulate(grid)]
    lines += ["", f"sender: {describe_sender(report)}"]
    lines += [f"~ {thin}" for thin in [warn_thin(report)] if thin]
    lines += [
        f"{check.outcome.value} {check.kind} {check.name}: {check.seen}; wanted: {check.wanted}"
        for check in find_missed(report)
    ]
    lines += [f"error: {count:,} x {cause}" for count, cause in list_causes(report)]
    lines += [f"note: {note}" for note in report.notes]
    return "\n".join(lines)


def _tabulate(grid: Grid) -> str:
    align = ["left" if head in grid.worded else "right" for head in grid.head[1:]]
    return tabulate(grid.rows, grid.head, disable_numparse=True, colalign=["left", *align])
