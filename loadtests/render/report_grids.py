"""Selects the tables of a report and their order."""

from loadtests.render.comparison_tables import compare_latency, compare_rates, list_capacities
from loadtests.render.grid import Grid
from loadtests.render.metric_tables import list_costs, list_drift, list_variants
from loadtests.report import LoadReport


def make_grids(report: LoadReport) -> list[Grid]:
    """Return every table that has a row, the decisive ones first."""
    grids = [list_capacities(report)]
    for comparison in report.comparisons:
        grids += [compare_latency(report, comparison), compare_rates(comparison)]
    grids += [list_drift(report), list_variants(report), list_costs(report)]
    return [grid for grid in grids if grid.rows]
