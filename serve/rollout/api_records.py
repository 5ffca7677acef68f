"""Records of the control API for rollouts and routes: requests and answers, as in JSON."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import StringConstraints

from serve.base.record import Record
from serve.base.routing import Routes, Share, Weight
from serve.counting.count_delta import Disagreement
from serve.rollout.evidence.evidence import Evidence
from serve.rollout.judging.judge import Kind, Verdict
from serve.rollout.state.policy import Policy
from serve.rollout.state.rollout import Phase, Rollout
from serve.rollout.trail.trail import Action

# The acts of people on a rollout.
Act = Literal["pause", "resume", "promote", "abort", "accept"]


Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


class RoutesRequest(Record):
    """A change of a model's routes. Fields that are None do not change."""

    # Variant -> weight, relative to the weights of unnamed variants, which stay; 0: no requests.
    weights: Mapping[str, Weight] | None = None
    # Variant -> the share of requests that are copied to it.
    shadows: Mapping[str, Share] | None = None
    # The header whose value is the sticky key.
    sticky: str | None = None
    # The revision of the routes that the client read; None: do not check.
    revision: int | None = None

    def onto(self, before: Routes) -> Routes:
        """Apply the change to `before`. Raises InvalidRecord."""
        changes = self.model_dump(exclude={"revision"}, exclude_none=True)
        if self.weights is not None:
            changes["weights"] = {**before.weights, **self.weights}
        fields = {**before.model_dump(), **changes, "revision": before.revision + 1}
        return Routes.parse(fields, f"routes of {before.model!r}")


class RolloutRequest(Record):
    """A rollout to start, from the model's baseline to the candidate."""

    candidate: str
    policy: Policy = Policy()
    # True: ignore the evidence of earlier rollouts of the same two versions.
    fresh: bool = False
    # True: the traffic is synthetic, so its evidence is not shared with other rollouts.
    trial: bool = False


class ActRequest(Record):
    """The body of an act."""

    # The number of the trail's entry that the person saw; None: do not check.
    number: int | None = None
    # A person's reason, for the trail; None: a default.
    reason: Reason | None = None


class RolloutView(Record):
    """The present state of a rollout."""

    rollout: Rollout
    # The number of the trail's last entry, to send with an act.
    number: int
    routes: Routes
    evidence: Evidence
    # The last verdict and its time; None: no verdict yet.
    verdict: Verdict | None
    judged_s: float | None
    # The candidate's measured share of the requests since the last change of the split.
    served: float | None
    # The last pairs that differ, newest first.
    disagreements: tuple[Disagreement, ...]
    # Problems of the server: nobody judges, or a decision is not written yet.
    warnings: tuple[str, ...] = ()
    # What a person can do about a proof that may never come.
    advice: tuple[str, ...] = ()


class RolloutLine(Record):
    """A rollout in a list."""

    rollout: str
    candidate: str
    phase: Phase
    step: int
    started_s: float
    # The last change: its author, time and reason.
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
    # The candidate's share after the entry, 0 to 1.
    share: float | None
    routes: Routes | None
    kind: Kind | None
    # The reason; for a verdict, the verdict's reason.
    reason: str
    verdict: Verdict | None


class Curve(Record):
    """Charts of one variant; None where it had no requests."""

    requests_per_s: tuple[float, ...]
    errors_per_s: tuple[float, ...]
    p50_ms: tuple[float | None, ...]
    p99_ms: tuple[float | None, ...]


class Curves(Record):
    """Charts of a model's variants over the last ten minutes."""

    # The ends of the intervals, in seconds since 1970, oldest first.
    at_s: tuple[float, ...]
    variants: Mapping[str, Curve]
