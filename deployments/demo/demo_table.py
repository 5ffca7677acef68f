"""Formats the summary as text, for the terminal and for the page."""

import textwrap
from typing import Any

import tabulate

from deployments.demo.summary import Latency, Summary, VariantRow
from serve.rollout.state.rollout import Phase

# Characters per line.
_WIDTH = 110
# Headings with their line breaks.
_BREAKS = {
    "parameters": "para-\nmeters",
    "accuracy": "accu-\nracy",
    "agreement": "agree-\nment",
    "requests": "re-\nquests",
    "CPU ms a run": "CPU ms\na run",
    "CPU ms a request": "CPU ms\na request",
}


def table(summary: Summary) -> str:
    """Return the table of variants, the results of the two rollouts, and the notes and warnings."""
    head, *rows = cells(summary)
    narrow = [_BREAKS.get(name, name.replace(" ", "\n", 1)) for name in head]
    # Twelve columns leave no room for the padding that tabulate adds to headings.
    tabulate.MIN_PADDING = 0
    grid = tabulate.tabulate(
        rows, narrow, disable_numparse=True, colalign=["left"] + ["right"] * (len(head) - 1)
    )
    trust = what_to_trust(summary)
    alarms = [f"!  {alarm}" for alarm in (*summary.faults, trust) if alarm]
    lines = [*outcomes(summary), *notes(summary), *alarms]
    paragraphs = [textwrap.fill(line, _WIDTH, subsequent_indent="   ") for line in lines]
    return "\n".join([grid, "", *paragraphs])


def cells(summary: Summary) -> list[list[str]]:
    """Return the cells of the table: the head, then a row per variant."""
    head = ["variant", "file KiB", "parameters", "accuracy", "agreement", "requests", "errors"]
    head += ["p50 ms", "p95 ms", "CPU ms a run", "CPU ms a request", "times less"]
    return [head, *(_cells(summary, row) for row in summary.variants)]


def _cells(summary: Summary, row: VariantRow) -> list[str]:
    cpu, base = row.cpu_per_request, summary.variants[0].cpu_per_request
    return [
        row.variant,
        f"{row.model_size_bytes / 1024:,.0f}",
        f"{row.parameters:,}",
        f"{row.accuracy:.4f}",
        f"{row.agreement:.4f}",
        f"{row.requests:,}",
        f"{row.errors:,}",
        _ms(row.p50_ms),
        _ms(row.p95_ms),
        "-" if cpu is None else f"{cpu.model_ms:.2f}",
        "-" if cpu is None else f"{cpu.total_ms:.2f}",
        "-" if cpu is None or base is None else f"{base.total_ms / cpu.total_ms:.1f}",
    ]


def headlines(summary: Summary) -> list[tuple[str, str]]:
    """Return the three main figures, each with its meaning."""
    rows = {row.variant: row for row in summary.variants}
    base, best = rows[summary.baseline], rows[summary.best]
    bad = summary.rollouts[1]
    ratio = "-" if summary.cpu_ratio is None else f"{summary.cpu_ratio:.1f}x"
    stopped = bad.phase is Phase.ROLLED_BACK and bad.ended_in_shadow
    return [
        (ratio, f"less CPU time per request with {best.variant}, all processes of the server counted"),
        (
            f"{best.accuracy:.1%}",
            f"accuracy of {best.variant} on {summary.held_out_rows} held-out scans; "
            f"{base.variant} has {base.accuracy:.1%}",
        ),
        (
            f"{summary.bad_answers}",
            f"bad answers to clients: {bad.candidate} was {'stopped' if stopped else 'not stopped'} "
            f"after {bad.copies:,} shadow copies",
        ),
    ]


def outcomes(summary: Summary) -> list[str]:
    """Return a sentence for each rollout."""
    return [
        f"rollout {story.baseline} -> {story.candidate}: {story.phase} after {story.took_s:.0f} s; "
        f"{story.copies - story.differed:,} of {story.copies:,} shadow copies agreed"
        + ("" if story.phase is Phase.DONE else f"; {story.reason}")
        for story in summary.rollouts
    ]


def notes(summary: Summary) -> list[str]:
    """Return the checks that did not pass and the notes of the load test."""
    compared: Any = summary.compared
    missed = [check for check in compared["checks"] if check["outcome"] != "PASS"]
    return [
        *(f"!  {check['name']}: {check['seen']}; wanted: {check['wanted']}" for check in missed),
        *(f"!  {note}" for note in compared["notes"]),
    ]


def what_to_trust(summary: Summary) -> str:
    """Return which figures to trust if the machine was too busy; empty if all can be trusted."""
    compared: Any = summary.compared
    if all(check["outcome"] == "PASS" for check in compared["checks"] if check["kind"] == "gate"):
        return ""
    return (
        "This machine was too busy to measure latency: do not trust p50 and p95. CPU times are too high, but "
        "the requests named the variants at random, so you can trust the ratios of these times. You can also "
        "trust accuracy, counts and verdicts, which do not depend on the speed of the machine."
    )


def _ms(latency: Latency | None) -> str:
    return "-" if latency is None else f"{latency.value:.1f}"
