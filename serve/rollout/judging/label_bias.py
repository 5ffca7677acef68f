"""Check whether labels are valid for accuracy, or came more often for one variant's answers. Pure."""

import math
from collections.abc import Sequence

import numpy as np

from serve.rollout.evidence.evalues import log_mismatch
from serve.rollout.evidence.evidence import Segment
from serve.rollout.judging.guard_figure import Figure

# Valid labels look invalid once in this many rollouts.
_MISMATCH_ODDS = 1000


def without_biased_labels(figures: Sequence[Figure], segments: Sequence[Segment]) -> tuple[Figure, ...]:
    """Remove the evidence of accuracy if the labels are not valid, and say why."""
    why = find_label_bias(segments)
    return tuple(
        figure.model_copy(update={"seen": f"not reliable, {why}; {figure.seen}", "harm": None, "safe": 0.0})
        if why is not None and figure.guard == "accuracy"
        else figure
        for figure in figures
    )


def find_label_bias(segments: Sequence[Segment]) -> str | None:
    """Why the labels are not valid for accuracy; None if both variants' answers are labelled equally often.

    A person who labels odd answers labels the worse variant more often, and its wrong answers even more.
    Sticky keys are left out, because then labels belong to users, who differ."""
    drawn = [segment for segment in segments if not segment.sticky and segment.labelled.both]
    answered = [
        tuple(getattr(part.requests, name) - getattr(part.errors, name) for name in ("baseline", "candidate"))
        for part in drawn
    ]
    candidate = np.array([segment.labelled.candidate for segment in drawn], float)
    both = np.array([segment.labelled.both for segment in drawn], float)
    shares = np.array([mine / max(theirs + mine, 1) for theirs, mine in answered])
    if log_mismatch(candidate, both, shares) < math.log(_MISMATCH_ODDS):
        return None
    shares_text = " and ".join(
        f"{sum(getattr(segment.labelled, name) for segment in drawn):,} of the {name}'s "
        f"{sum(counts[place] for counts in answered):,} answers"
        for place, name in ((1, "candidate"), (0, "baseline"))
    )
    return f"because labels came for {shares_text}"
