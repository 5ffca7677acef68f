"""The machine's record of moving traffic from the baseline to the candidate."""

import secrets
import time
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from serve.base.record import Record
from serve.base.routing import Routes
from serve.counting.quantiles import NO_LIMITS, Limits
from serve.counting.rollout_counter import Watch
from serve.rollout.state.policy import Policy


class Phase(StrEnum):
    """The phase of a rollout."""

    SHADOW = "SHADOW"
    STEP = "STEP"
    # Both keep their share; harm still rolls back, and the time limit still applies.
    WAITING_APPROVAL = "WAITING_APPROVAL"
    PAUSED = "PAUSED"
    # After the last step: the candidate has all traffic, and harm still rolls back.
    WATCHING = "WATCHING"
    # The final phases.
    DONE = "DONE"
    ROLLED_BACK = "ROLLED_BACK"
    INCONCLUSIVE = "INCONCLUSIVE"

    @property
    def over(self) -> bool:
        """Whether this is a final phase."""
        return self in (Phase.DONE, Phase.ROLLED_BACK, Phase.INCONCLUSIVE)


class RolloutPlan(Record):
    """What a person asked for. The machine never changes it."""

    model: str
    baseline: str
    candidate: str
    # The digests of both bundles, because evidence applies to one version only.
    digests: Mapping[str, str] = {}
    policy: Policy = Policy()
    # The number of processes of each variant at the start.
    replicas: Annotated[int, Field(ge=1)] = 1
    # True: the traffic is synthetic, so its evidence is not shared with other rollouts.
    trial: bool = False

    @model_validator(mode="before")
    @classmethod
    def _as_it_was_asked(cls, data: object) -> object:
        """Plans that were stored before holdback and watch existed have neither."""
        policy = data.get("policy") if isinstance(data, Mapping) else None
        if not isinstance(data, Mapping) or not isinstance(policy, Mapping):
            return data
        return {**data, "policy": {"holdback": 0.0, "watch_s": 0.0, **policy}}

    @model_validator(mode="after")
    def _two_variants(self) -> Self:
        if self.baseline == self.candidate:
            raise ValueError(f"the candidate {self.candidate!r} is the baseline; name another variant")
        return self


class Rollout(Record):
    """The state of a rollout. Times are seconds since 1970."""

    rollout: str
    plan: RolloutPlan
    started_s: float
    # Set before the first step. None: the baseline's quantile was unknown or not steady, so the variants are
    # only compared with each other.
    limit_ms: Annotated[float, Field(gt=0)] | None = None
    # The baseline's own p50, p95 and p99 at that time, when it had all traffic.
    steady_ms: Limits = NO_LIMITS
    phase: Phase
    # 0 is the shadow, 1 the first of the policy's steps.
    step: Annotated[int, Field(ge=0)]
    # The start of this step.
    entered_s: float
    # The author and the reason of the last change; "judge" is the machine.
    by: str
    reason: str
    # Whether the candidate was made the model's baseline after the end.
    accepted: bool = False

    @model_validator(mode="after")
    def _on_a_step(self) -> Self:
        if self.step > (steps := len(self.policy.steps)):
            raise ValueError(f"step {self.step} of a policy with {steps}; give 0 (shadow) to {steps}")
        return self

    @property
    def policy(self) -> Policy:
        """The policy of the plan."""
        return self.plan.policy

    @property
    def watched(self) -> bool:
        """Whether the candidate has all traffic and is being watched."""
        return self.phase is Phase.WATCHING

    @property
    def share(self) -> float:
        """The candidate's intended share of the requests, 0 to 1."""
        if self.watched or self.phase is Phase.DONE:
            return 1.0
        return 0.0 if self.phase.over else self.policy.share_at(self.step)

    @property
    def weights(self) -> Mapping[str, float]:
        """The intended weights of the routes."""
        return {self.plan.baseline: 1 - self.share, self.plan.candidate: self.share}

    @property
    def shadow_share(self) -> float:
        """The intended share of requests that are copied to the candidate, 0 to 1."""
        return 0.0 if self.step or self.phase.over else self.policy.shadow.share


def new_name(model: str, now_s: float) -> str:
    """A unique name for a rollout."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now_s))
    return f"{model}-{stamp}-{secrets.token_hex(2)}"


def start(
    rollout: str, plan: RolloutPlan, baseline_quantile_ms: float | None, by: str, now_s: float
) -> Rollout:
    """Create a rollout. `baseline_quantile_ms` is at the quantile of the latency guard; None: not known."""
    skip = plan.policy.shadow.skip
    begun = Rollout(
        rollout=rollout,
        plan=plan,
        started_s=now_s,
        phase=Phase.STEP if skip else Phase.SHADOW,
        step=int(skip),
        entered_s=now_s,
        by=by,
        reason="started",
    )
    return fix_limits(begun, baseline_quantile_ms, NO_LIMITS)


def routes_of(rollout: Rollout, before: Routes) -> Routes:
    """The intended routes after `before`; `before` itself if it is already right.

    All traffic goes to the two variants of the rollout; shadows other than its candidate stay. An accepted
    candidate is the baseline."""
    candidate = rollout.plan.candidate
    baseline = candidate if rollout.accepted else before.baseline
    shadows = {name: share for name, share in before.shadows.items() if name != candidate}
    if rollout.shadow_share:
        shadows[candidate] = rollout.shadow_share
    if (before.baseline, before.weights, before.shadows) == (baseline, rollout.weights, shadows):
        return before
    update = {"baseline": baseline, "weights": rollout.weights, "shadows": shadows}
    return before.model_copy(update={**update, "revision": before.revision + 1})


def watch_of(rollout: Rollout, quantile_limits_ms: Limits) -> Watch:
    """What gateways should count for the rollout, with these limits that follow the baseline."""
    return Watch(
        rollout=rollout.rollout,
        baseline=rollout.plan.baseline,
        candidate=rollout.plan.candidate,
        limit_ms=rollout.limit_ms,
        quantile_limits_ms=quantile_limits_ms,
        feedback=rollout.policy.guards.accuracy is not None,
    )


def fix_limits(rollout: Rollout, baseline_quantile_ms: float | None, steady_ms: Limits) -> Rollout:
    """Set the limits that are known now. Limits that are set stay, because they would otherwise drift."""
    latency, limit_ms = rollout.policy.guards.latency, rollout.limit_ms
    if limit_ms is None:
        limit_ms = latency.limit_ms
    if limit_ms is None and baseline_quantile_ms is not None:
        limit_ms = latency.times_baseline * baseline_quantile_ms
    fixed, now = rollout.steady_ms, steady_ms
    steady = (fixed[0] or now[0], fixed[1] or now[1], fixed[2] or now[2])
    if (limit_ms, steady) == (rollout.limit_ms, fixed):
        return rollout
    return rollout.model_copy(update={"limit_ms": limit_ms, "steady_ms": steady})
