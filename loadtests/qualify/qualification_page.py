"""Renders a qualification as one self-contained HTML page."""

import shlex
from pathlib import Path
from typing import get_args

from loadtests.qualify.qualification_record import Name, QualificationRecord
from loadtests.render.format import make_plain, percent
from loadtests.render.page import draw_all, open_templates
from loadtests.render.report_grids import make_grids
from serve.rollout.trail.qualification import QualificationOutcome as Outcome
from serve.tasks.figure_limits import FigureLimits

_ASKED = {
    "quality": "what did the export measure on held-out data?",
    "capacity": "how much load can each variant take within the limits?",
    "shadow": "does it give the same answers as the baseline to the same requests?",
    "canary": "is it as safe and as fast among live requests?",
}
_MEANING = {
    Outcome.QUALIFIED: "Every stage shows that the candidate is no worse than the baseline.",
    Outcome.NOT_QUALIFIED: "At least one stage shows that the candidate is worse than allowed.",
    Outcome.INVALID: "The evidence does not suffice or cannot be trusted, so there is no decision.",
}
# The limits of a qualification; other keys belong to other load tests.
_LIMITS = ("p99_ms", "errors", "rate_per_s", "duration_s", *FigureLimits.model_fields, "capacity_ratio")


def page(record: QualificationRecord) -> str:
    """Render the page: the outcome with its reasons, the stages, and the checks and charts of each stage."""
    record = make_plain(record)
    reports = {stage.name: stage.report for stage in record.stages if stage.report is not None}
    return (
        open_templates(Path(__file__).parent)
        .get_template("page.html.jinja")
        .render(
            found=record,
            names=get_args(Name),
            stages={stage.name: stage for stage in record.stages},
            asked=_ASKED,
            meaning=_MEANING[record.outcome],
            pictures={name: draw_all(report) for name, report in reports.items()},
            grids={name: make_grids(report) for name, report in reports.items()},
            percent=percent,
            limits={
                name: f"{value:g}" for name in _LIMITS if (value := getattr(record.limits, name)) is not None
            },
            command=shlex.join(record.command),
        )
    )
