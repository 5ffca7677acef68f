"""Records: what people ask of rollouts and routes, and what they are answered, as JSON carries it."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import StringConstraints

from serve.base.record import Record
from serve.base.routing import Routes, Share, Weight
from serve.counting.census import Disagreement
from serve.rollout.evidence.evidence import Evidence
from serve.rollout.judging.judge import Kind, Verdict
from serve.rollout.state.policy import Policy
from serve.rollout.state.rollout import Phase, Rollout
from serve.rollout.trail.trail import Action

# What a person may do to a rollout that runs, and to one that is done.
Act = Literal["pause", "resume", "promote", "abort", "accept"]


Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


class RoutesWanted(Record):
    """Other routes for a model. What is None stays as it is."""

    # Variant -> weight, relative to those of the variants that are not named, which stay; 0: no request.
    weights: Mapping[str, Weight] | None = None
    # Variant -> the share of requests that are copied to it.
    shadows: Mapping[str, Share] | None = None
    # The header whose value is the sticky key.
    sticky: str | None = None
    # Of the routes that were read before; None: whatever they are now.
    revision: int | None = None

    def onto(self, before: Routes) -> Routes:
        """The routes that follow on `before`. Raises InvalidRecord."""
        given = self.model_dump(exclude={"revision"}, exclude_none=True)
        if self.weights is not None:
            given["weights"] = {**before.weights, **self.weights}
        fields = {**before.model_dump(), **given, "revision": before.revision + 1}
        return Routes.parse(fields, f"routes of {before.model!r}")


class RolloutWanted(Record):
    """A rollout to be started, from the model's baseline to the candidate."""

    candidate: str
    policy: Policy = Policy()
    # True: what earlier rollouts of the same two versions have seen does not count.
    fresh: bool = False
    # True: the traffic is made up, so that nothing is carried into it or on from it.
    trial: bool = False


class ActWanted(Record):
    """What comes with an act."""

    # Of the trail's entry on which it was decided; None: whatever happened since.
    number: int | None = None
    # In a person's words, for the trail; None: the act speaks for itself.
    reason: Reason | None = None


class RolloutView(Record):
    """A rollout as it stands."""

    rollout: Rollout
    # Of the trail's last entry: what one sends along with an act.
    number: int
    routes: Routes
    evidence: Evidence
    # The last one, and the time it was asked for; None: none yet.
    verdict: Verdict | None
    judged_s: float | None
    # The candidate's share of the requests as they came, since the last change of the split.
    served: float | None
    # The last pairs that differ, newest first.
    disagreements: tuple[Disagreement, ...]
    # What does not work as it should: nobody judges, or what was decided is not written down.
    warnings: tuple[str, ...] = ()


class RolloutLine(Record):
    """A rollout in a list."""

    rollout: str
    candidate: str
    phase: Phase
    step: int
    started_s: float
    # Who changed it last, when, and why.
    by: str
    changed_s: float
    reason: str


class TrailLine(Record):
    """An entry of the trail, without the evidence."""

    number: int
    action: Action
    by: str
    at_s: float
    digest: str
    rollout: str | None
    phase: Phase | None
    step: int | None
    # The candidate's share after it, 0 to 1.
    share: float | None
    routes: Routes | None
    kind: Kind | None
    # Why; of a verdict its reason.
    reason: str
    verdict: Verdict | None


class Curve(Record):
    """One variant over time; None where it had no requests."""

    requests_per_s: tuple[float, ...]
    errors_per_s: tuple[float, ...]
    p50_ms: tuple[float | None, ...]
    p99_ms: tuple[float | None, ...]


class Curves(Record):
    """A model's variants over the last ten minutes."""

    # The ends of the stretches, in seconds since 1970, oldest first.
    at_s: tuple[float, ...]
    variants: Mapping[str, Curve]
