"""Renders a report as one self-contained HTML page."""

from pathlib import Path

import jinja2

from loadtests.load_verdict import CheckOutcome
from loadtests.render.comparison_tables import list_probes
from loadtests.render.findings import list_findings
from loadtests.render.format import (
    command_line,
    describe_load,
    describe_sender,
    find_binding,
    list_causes,
    make_plain,
    percent,
    say_why,
    warn_thin,
)
from loadtests.render.grid import Grid
from loadtests.render.metric_tables import list_windows
from loadtests.render.report_charts import draw_costs, draw_ratios, draw_tail
from loadtests.render.report_grids import make_grids
from loadtests.render.search_plot import draw_search
from loadtests.render.svg import Picture, make_keys
from loadtests.render.timeline_plot import draw_timeline
from loadtests.report import LoadReport

_FOLDER = Path(__file__).parent
_ASKED = {
    "run": "How fast does it answer, and how often is it wrong?",
    "compare": "Is the candidate worse than the baseline?",
    "capacity": "How much load can each variant take within the limits?",
    "soak": "Does it stay the same over a long time?",
}


def page(report: LoadReport) -> str:
    """Render the page: the verdict with its reasons, charts, tables, every check, and how to repeat the
    test."""
    report = make_plain(report)
    return (
        open_templates(_FOLDER)
        .get_template("page.html.jinja")
        .render(
            report=report,
            asked=_ASKED[report.kind],
            load=describe_load(report),
            meaning=_say_meaning(report),
            findings=list_findings(report),
            why=say_why(report),
            binding=find_binding(report),
            pictures=draw_all(report),
            grids=make_grids(report),
            thin=warn_thin(report),
            folded=_fold(report),
            checks=[
                (
                    "Gates: can the measurements be trusted?",
                    [check for check in report.checks if check.kind == "gate"],
                ),
                (
                    "Guards: does the model meet the limits?",
                    [check for check in report.checks if check.kind == "guard"],
                ),
                (
                    "Caveats: which figures are less reliable?",
                    [check for check in report.checks if check.kind == "caveat"],
                ),
            ],
            causes=list_causes(report),
            percent=percent,
            facts=_list_facts(report),
            command=command_line(report),
        )
    )


def open_templates(*folders: Path) -> jinja2.Environment:
    """Open the templates in these folders, with the functions that all pages share."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, _FOLDER]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


def _say_meaning(report: LoadReport) -> str:
    """Explain the outcome to a reader who sees such a page for the first time."""
    match report.verdict.outcome:
        case CheckOutcome.PASS:
            return "The measurements can be trusted, and the model keeps all limits."
        case CheckOutcome.FAIL:
            return "The measurements can be trusted, and the model misses at least one limit."
    if any(check.kind == "gate" and check.outcome is CheckOutcome.INVALID for check in report.checks):
        return "The measurements cannot be trusted. This is not a verdict on the model."
    return "The measurements do not suffice for a decision. This is not a verdict on the model."


def draw_all(report: LoadReport) -> list[Picture]:
    """Draw the charts, the decisive ones first; a variant looks the same in all of them."""
    timed = report.timeline.variants if report.timeline is not None else {}
    compared = [comparison.candidate for comparison in report.comparisons]
    probed = [probe.variant for probe in report.probes]
    keys = make_keys(dict.fromkeys([*report.variants, *report.capacities, *probed, *timed, *compared]))
    charts = [
        draw_search(report, keys),
        draw_ratios(report, keys),
        draw_tail(report, keys),
        draw_costs(report),
        draw_timeline(report, keys),
    ]
    return [picture for picture in charts if picture is not None]


def _fold(report: LoadReport) -> list[Grid]:
    """Return the long tables, which are folded at first."""
    grids = [list_probes(report)]
    if report.timeline is not None:
        grids.append(list_windows(report.timeline))
    return [grid for grid in grids if grid.rows]


def _list_facts(report: LoadReport) -> dict[str, str]:
    plan, limits, where = report.plan, report.limits, report.environment
    requirements = f"{percent(limits.errors)} errors"
    requirements += "" if limits.p99_ms is None else f", {limits.p99_ms:g} ms for 99 of 100 requests"
    requirements += f", slower by {percent(limits.slower_by)}" if report.kind == "compare" else ""
    requirements += f", a drift of {percent(limits.drift)}" if report.kind == "soak" else ""
    if limits.price_per_cpu_hour is not None:
        requirements += f"; a core for an hour is {limits.price_per_cpu_hour:g} {limits.currency}"
    turn = "one at a time" if report.kind == "capacity" else "in turn at random"
    return {
        "began": report.started_at,
        "server": plan.url,
        "model": plan.model,
        "load": describe_load(report),
        "arrivals": "random, like independent users (Poisson)"
        if plan.arrivals == "poisson"
        else "evenly spaced",
        "variants": f"{turn}: {', '.join(plan.pinned)}" if plan.pinned else "as the server splits",
        "tensors": "binary" if plan.binary else "JSON",
        "warm-up": f"{plan.warmup_s:g} s, not counted",
        "seed": str(plan.seed),
        "limits": f"at most {requirements}",
        "sender": describe_sender(report),
        "machine": f"{where.cpu}, {where.cores} cores; the figures hold for this machine",
        "versions": f"Python {where.python}, Locust {where.locust}; schema version {report.schema_version}",
    }
