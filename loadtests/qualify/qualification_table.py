"""Renders a qualification for the terminal."""

from tabulate import tabulate

from loadtests.qualify.qualification_record import QualificationRecord, StageRecord
from loadtests.render.format import make_plain
from loadtests.render.report_table import table as table_of


def table(record: QualificationRecord) -> str:
    """Render the outcome, then the stages, the reasons, and the load tests behind them."""
    record = make_plain(record)
    rows = [[stage.name, stage.outcome.value, _say(stage)] for stage in record.stages]
    lines = [
        f"{record.outcome.value}: {record.candidate} against {record.baseline} of {record.model}"
        + ("" if record.complete else " (ended early)"),
        f"binding: {record.binding}" if record.binding else "",
        "",
        tabulate(
            rows, ["stage", "outcome", "what was seen"], disable_numparse=True, maxcolwidths=[None, None, 90]
        ),
        *(f"- {reason}" for reason in record.reasons),
    ]
    for stage in record.stages:
        if stage.report is not None:
            lines += ["", f"--- {stage.name}", table_of(stage.report)]
    return "\n".join(lines)


def _say(stage: StageRecord) -> str:
    """Describe the checks of a stage in words."""
    return "\n".join(f"{check.name}: {check.seen}" for check in stage.checks if check.kind == "guard")
