"""Renders a report as a pull request comment."""

import re
from collections.abc import Sequence

from loadtests.candidate_comparison import CandidateComparison, Ratio
from loadtests.judging.ratios import RATIO_CONFIDENCE
from loadtests.load_verdict import Check, CheckOutcome
from loadtests.render.comparison_tables import compare_rates, latency_of, list_capacities, list_probes
from loadtests.render.format import (
    command_line,
    describe_load,
    describe_sender,
    list_causes,
    make_plain,
    percent,
    say_why,
    warn_thin,
)
from loadtests.render.grid import Grid
from loadtests.render.metric_tables import list_costs, list_drift, list_variants
from loadtests.report import LoadReport

# Characters with a meaning in markdown or HTML.
_MEANS = re.compile(r"([\\`*_\[\]<>~&$])")
# Text that a forge would turn into a mention or a link.
_LINKS = re.compile(r"@|#|://|www\.", re.IGNORECASE)


def markdown(report: LoadReport) -> str:
    """Render the verdict and the columns that reviewers need; the rest is folded."""
    report = make_plain(report)
    plan = report.plan
    state = "" if report.complete else ", **ended early**"
    parts = [
        f"**{report.verdict.outcome.value}**: {escape(say_why(report))}",
        "\n".join(f"- {escape(reason)}" for reason in report.verdict.reasons[1:]),
        f"`counterweight loadtest {report.kind}` of {_code(plan.model)} at {_code(plan.url)}: "
        f"{describe_load(report)}, seed {plan.seed}{state}.",
        *[_compare(report, comparison) for comparison in report.comparisons],
    ]
    grids = [list_capacities(report), *map(compare_rates, report.comparisons), list_drift(report)]
    parts += _show([*grids, list_variants(report), list_costs(report)])
    parts += [f"\\~ {escape(thin)}." for thin in [warn_thin(report)] if thin]
    parts += [_fold_checks(report, "gate", "Gates: can the measurements be trusted?")]
    parts += [_fold_checks(report, "guard", "Guards: does the model meet the limits?")]
    parts += [_fold_checks(report, "caveat", "Caveats: which figures are less reliable?")]
    parts += [_fold(grid.title, _rows(grid)) for grid in [list_probes(report)] if grid.rows]
    facts = [f"sender: {describe_sender(report)}", *[f"note: {note}" for note in report.notes]]
    listed = [f"- {escape(fact)}" for fact in facts]
    listed += [f"- error: {count:,} x {_code(cause)}" for count, cause in list_causes(report)]
    listed += [f"- to repeat: {_code(command_line(report))}" for _ in report.command[:1]]
    return "\n\n".join(part for part in [*parts, "\n".join(listed)] if part) + "\n"


def escape(text: str) -> str:
    """Escape text for a table cell on one line: no links, no mentions, no HTML, no cell separators."""
    text = _LINKS.sub(lambda found: f"{found[0][0]}\u200b{found[0][1:]}", _MEANS.sub(r"\\\1", text))
    # A backslash before it does not work everywhere.
    return text.replace("|", "&#124;")


def _code(text: str) -> str:
    # A backtick would end the code span, even after a backslash.
    return f"`{text.replace('`', chr(39))}`"


def _compare(report: LoadReport, comparison: CandidateComparison) -> str:
    baseline, candidate = comparison.baseline, comparison.candidate
    rows = tuple(
        (
            f"{ratio.figure} ms",
            latency_of(report, baseline, ratio.figure),
            latency_of(report, candidate, ratio.figure),
            f"{(ratio.value - 1) * 100:+.1f} %",
            f"[{(ratio.low - 1) * 100:+.1f}, {(ratio.high - 1) * 100:+.1f}] %",
            _judge(ratio),
        )
        for ratio in comparison.ratios
    )
    head = (
        "latency",
        baseline,
        candidate,
        "difference",
        f"{percent(RATIO_CONFIDENCE)} interval",
        "significant?",
    )
    title, worded = f"{candidate} against {baseline}", frozenset({"significant?"})
    return "\n\n".join(_show([Grid(title=title, head=head, worded=worded, rows=rows)]))


def _judge(ratio: Ratio) -> str:
    if ratio.low <= 1 <= ratio.high:
        return "no"
    return "yes, faster" if ratio.high < 1 else "yes, slower"


def _show(grids: Sequence[Grid]) -> list[str]:
    return [part for grid in grids if grid.rows for part in (f"**{escape(grid.title)}**", _rows(grid))]


def _rows(grid: Grid) -> str:
    align = (":--" if name in (grid.head[0], *grid.worded) else "--:" for name in grid.head)
    head, *rows = (f"| {' | '.join(escape(cell) for cell in line)} |" for line in (grid.head, *grid.rows))
    return "\n".join([head, f"| {' | '.join(align)} |", *rows])


def _fold_checks(report: LoadReport, kind: str, title: str) -> str:
    checks = [check for check in report.checks if check.kind == kind]
    passed = sum(check.outcome is CheckOutcome.PASS for check in checks)
    head, rows = ("check", "outcome", "seen", "wanted", "used"), tuple(map(_describe, checks))
    grid = Grid(title=title, head=head, worded=frozenset({"outcome", "seen", "wanted"}), rows=rows)
    return _fold(f"{title} {passed} of {len(checks)} held", _rows(grid)) if checks else ""


def _describe(check: Check) -> tuple[str, ...]:
    used = "-" if check.used is None else percent(check.used)
    return check.name, check.outcome.value, check.seen, check.wanted, used


def _fold(title: str, inner: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{inner}\n\n</details>"
