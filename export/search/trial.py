"""Trials: what one was asked to do, and what came of it."""

import json
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from export.step import Steps
from serve.base.record import Record
from serve.bundles.figures import Estimate, Quality


def describe_steps(steps: Steps) -> str:
    """Return the steps as text that is the same for equal steps."""
    return json.dumps([step.model_dump(mode="json", exclude_unset=True) for step in steps], sort_keys=True)


def describe_steps_briefly(steps: Steps) -> str:
    """Return the steps with the settings that were given, such as "prune ratio=0.5; quantize bits=8"."""
    return "; ".join(
        " ".join(
            [step.step, *(f"{name}={value}" for name, value in _given(step.model_dump(exclude_unset=True)))]
        )
        for step in steps
    )


def _given(settings: Mapping[str, object]) -> list[tuple[str, object]]:
    return [
        (name, f"{value:.3g}" if isinstance(value, float) else value)
        for name, value in settings.items()
        if name != "step"
    ]


class TrialRequest(Record):
    """One variant to build and to measure on the search split."""

    number: Annotated[int, Field(ge=0)]
    steps: Steps
    # Rows of the batch whose CPU time counts.
    rows: Annotated[int, Field(ge=1)]
    # The speed-up that a trial must be able to exceed; a slower one ends early. None: there is none yet.
    beat: float | None
    # Ends of the rungs of the race, in rows of the search split; the last one holds all of them.
    rungs: tuple[int, ...]


class Measured(Record):
    """The figures of a variant on the first rows of the search split."""

    rows: int
    quality: Quality
    # The baseline's CPU time divided by the variant's, for one batch in one interleaved run.
    speedup: Estimate
    # Why the floor rejects it, at the worse ends of the intervals; None: it does not.
    rejected: str | None
    # How far the figures are beyond the floor's limits, at the worse and at the better ends of their
    # intervals; up to 0 they are within.
    violation: float
    sure_violation: float


class TrialResult(Record):
    """What came of a trial."""

    # measured: on all rows; beaten: surely slower than the best; rejected: surely below the floor; failed: it
    # could not be built; refused: its settings do not go together; repeated: the same as an earlier trial.
    outcome: Literal["measured", "beaten", "rejected", "failed", "refused", "repeated"]
    steps: Steps = ()
    # Of the last rung that was run; None if it was not measured at all.
    measured: Measured | None = None
    # Of the graph, which tells equal variants apart from different ones.
    digest: str | None = None
    # Why it failed or was refused.
    reason: str | None = None
    wall_s: float = 0.0
    cpu_s: float = 0.0

    @property
    def accepted(self) -> bool:
        """Whether it was measured on all rows and is within the floor."""
        return self.outcome == "measured" and self.measured is not None and self.measured.rejected is None
