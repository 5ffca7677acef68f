"""Page: a qualification as one self-contained HTML file."""

import shlex
from pathlib import Path
from typing import get_args

from loadtests.qualify.qualification_record import Name, QualificationRecord
from loadtests.render.format import make_plain, percent
from loadtests.render.page import draw_all, open_templates
from loadtests.render.report_grids import make_grids
from serve.rollout.trail.qualification import QualificationOutcome

_ASKED = {
    "quality": "what did the export measure on held-out data?",
    "capacity": "how much load does each bear within the limits?",
    "shadow": "does it answer as the baseline does, on the same requests?",
    "canary": "is it as safe and as fast among live requests?",
}
_MEANING = {
    QualificationOutcome.QUALIFIED: "Every stage shows that nobody would be worse off.",
    QualificationOutcome.NOT_QUALIFIED: "At least one stage shows that somebody would be worse off.",
    QualificationOutcome.INVALID: "The evidence does not suffice, or cannot be trusted. Nothing is decided.",
}
# Those that are asked of a candidate; the others are for other load tests.
_LIMITS = ("p99_ms", "errors", "rate_per_s", "duration_s", "agreement", "accuracy_drop", "capacity_ratio")


def page(found: QualificationRecord) -> str:
    """The page: the outcome with its reasons, the chain, then each stage with all that it rests on."""
    found = make_plain(found)
    reports = {stage.name: stage.report for stage in found.stages if stage.report is not None}
    return (
        open_templates(Path(__file__).parent)
        .get_template("page.html.jinja")
        .render(
            found=found,
            names=get_args(Name),
            stages={stage.name: stage for stage in found.stages},
            asked=_ASKED,
            meaning=_MEANING[found.outcome],
            pictures={name: draw_all(report) for name, report in reports.items()},
            grids={name: make_grids(report) for name, report in reports.items()},
            percent=percent,
            limits={
                name: f"{value:g}" for name in _LIMITS if (value := getattr(found.limits, name)) is not None
            },
            command=shlex.join(found.command),
        )
    )
