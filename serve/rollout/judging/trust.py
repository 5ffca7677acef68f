"""Trust: whether labels say anything of accuracy, or came for one variant's answers more often. Pure."""

import math
from collections.abc import Sequence

import numpy as np

from serve.rollout.evidence.evalues import log_mismatch
from serve.rollout.evidence.evidence import Segment
from serve.rollout.judging.guard_figure import Figure

# Labels that come alike look as if they did not once in so many rollouts.
_MISMATCH_ODDS = 1000


def trusted(figures: Sequence[Figure], segments: Sequence[Segment]) -> tuple[Figure, ...]:
    """The figures; that of accuracy proves nothing where the labels cannot be trusted, and says why."""
    why = distrust(segments)
    return tuple(
        figure.model_copy(
            update={"seen": f"not to be trusted, {why}; {figure.seen}", "harm": None, "safe": 0.0}
        )
        if why is not None and figure.guard == "accuracy"
        else figure
        for figure in figures
    )


def distrust(segments: Sequence[Segment]) -> str | None:
    """Why labels say nothing of accuracy; None: they came as often for either variant's answers.

    Somebody who labels what looks odd labels the worse variant more, and its wrong answers more still. Keys
    that stick cannot tell: labels are then of users, who are not alike."""
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
    said = " and ".join(
        f"{sum(getattr(segment.labelled, name) for segment in drawn):,} of the {name}'s "
        f"{sum(counts[place] for counts in answered):,} answers"
        for place, name in ((1, "candidate"), (0, "baseline"))
    )
    return f"because labels came for {said}"
