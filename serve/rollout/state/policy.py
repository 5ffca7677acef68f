"""The policy of a rollout. Every setting has a safe default, and an empty file is a valid policy."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from serve.base.record import Record
from serve.base.url import parse_url
from serve.base.yaml_file import read_yaml

Share = Annotated[float, Field(gt=0, le=1)]
Confidence = Annotated[float, Field(ge=0.5, lt=1)]
Seconds = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(ge=0, lt=1)]


class Guard(Record):
    """How much worse than the baseline counts as harm, and how much worse is still safe.

    A rate is a share of the candidate's requests, 0 to 1; a ratio is that rate divided by the baseline's."""

    # Roll back when the ratio is shown to be above this, and the rate above `allowed`.
    harm: Annotated[float, Field(ge=1, le=1e9)] = 1.0
    # How sure this must be, over the whole rollout and all looks together.
    confidence: Confidence = 0.99
    # Safe when the ratio is shown to be below this, or the rate below `allowed`.
    tolerance: Annotated[float, Field(gt=1, le=1e9)] = 1.5

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.tolerance <= self.harm:
            raise ValueError(
                f"tolerance {self.tolerance:g} is not above harm {self.harm:g}, so a safe ratio would be "
                f"harm; give a tolerance above {self.harm:g}"
            )
        return self


class ErrorGuard(Guard):
    """Failed requests."""

    # An acceptable rate, whatever the baseline's; without it, two faultless variants could not be compared.
    allowed: Rate = 0.001


class QuantileGuard(Guard):
    """Requests over a limit. A rate of 1 - `quantile` is allowed, so this quantile may lie at the limit."""

    quantile: Annotated[float, Field(ge=0.5, lt=1)] = 0.99

    @property
    def allowed(self) -> float:
        """The allowed rate of requests over the limit."""
        return 1 - self.quantile


class LatencyGuard(QuantileGuard):
    """Requests over the fixed limit, and over limits that follow the baseline."""

    # The fixed limit. None: `times_baseline` times the baseline's quantile before the first step.
    limit_ms: Annotated[float, Field(gt=0)] | None = None
    # The candidate's p50, p95 and p99 may be this many times the baseline's at the same time.
    times_baseline: Annotated[float, Field(ge=1)] = 1.25
    # They may always be this many ms longer, because nobody notices such a difference.
    plus_ms: Annotated[float, Field(ge=0)] = 2.0
    # This many times the baseline's rate over the fixed limit is also harm, below `allowed` but above `rare`.
    # None: any rate up to `allowed` is acceptable.
    excess: Annotated[float, Field(gt=1, le=1e9)] | None = 2.5

    @property
    def rare(self) -> float:
        """An acceptable rate of requests over the fixed limit, whatever the baseline's."""
        return self.allowed / 5

    def at(self, quantile: float) -> QuantileGuard:
        """The guard for one quantile, whose limit follows the baseline."""
        return QuantileGuard(
            quantile=quantile, harm=self.harm, confidence=self.confidence, tolerance=self.tolerance
        )


class AccuracyGuard(Guard):
    """Wrong answers among labelled ones; valid if both variants' answers are equally likely to be
    labelled."""

    tolerance: Annotated[float, Field(gt=1, le=1e9)] = 1.2
    # An acceptable rate of wrong answers among labelled ones, whatever the baseline's.
    allowed: Rate = 0.0


class Guards(Record):
    """The guards of a rollout. Errors and latency are always watched, accuracy only if it is set."""

    errors: ErrorGuard = ErrorGuard()
    latency: LatencyGuard = LatencyGuard()
    # None: labels are ignored.
    accuracy: AccuracyGuard | None = None
    # The longest average duration of a restart, a garbage collection or a busy neighbour. A disturbance of
    # one variant is a stall, not a rate, until it has lasted about eight times as long.
    stall_s: Annotated[float, Field(gt=0)] = 30.0


class Slices(Record):
    """Slices of the inputs that requests name; each must agree by itself."""

    # The share of a slice's pairs that must agree. None: as for all pairs.
    agreement: Annotated[float, Field(gt=0, lt=1)] | None = None
    # How long the shadow waits for enough pairs of each slice; the reason then names the missing ones.
    maximum_s: Seconds = 1800.0


class ShadowPolicy(Record):
    """The first phase: the candidate gets copies, and its answers are compared before users see them."""

    # True: go to the first step at once, without a comparison.
    skip: bool = False
    # The share of requests that are copied to the candidate.
    share: Share = 1.0
    minimum_pairs: Count = 1000
    # The number of requests that the pairs must come from, because the rows of one request are alike.
    minimum_requests: Count = 100
    # The share of pairs that must agree. Harm if shown to be lower, safe if shown to be higher.
    agreement: Annotated[float, Field(gt=0, lt=1)] = 0.98
    confidence: Confidence = 0.99
    # The limits of the mean cosine (lower) and the mean KL divergence in nats (upper). None: not checked.
    cosine: Annotated[float, Field(gt=-1, lt=1)] | None = None
    kl: Annotated[float, Field(gt=0)] | None = None
    # None: slices are not judged by themselves.
    slices: Slices | None = Slices()


class Step(Record):
    """A step of the rollout with a constant share for the candidate."""

    share: Share
    minimum_s: Seconds = 60.0
    # Of both variants together, because the comparison needs the baseline's requests as well.
    minimum_requests: Count = 1000
    # True: a person must approve before this step begins.
    approval: bool = False


def _url(url: str) -> str:
    """Check the URL at the start: otherwise notices would get lost unnoticed."""
    parse_url(url)
    return url


class Policy(Record):
    """All settings of a rollout."""

    # True: start only if the loaded version of the candidate was QUALIFIED against the loaded baseline.
    qualified: bool = False
    shadow: ShadowPolicy = ShadowPolicy()
    steps: tuple[Step, ...] = tuple(Step(share=share) for share in (0.01, 0.05, 0.25, 0.5, 1.0))
    guards: Guards = Guards()
    # At equal batch sizes, the candidate's CPU time must be shown to be lower by this share; a negative value
    # lets it cost more. Two processes that run the same bytes differ by some percent, which cannot be
    # measured away. None: the cost does not matter.
    cheaper_by: Annotated[float, Field(gt=-10, lt=1)] | None = 0.05
    # After the first step, steps with a share above this begin only when everything is shown to be safe;
    # other steps begin while nothing looks harmful. 0 requires the whole proof for every step.
    proof_above: Annotated[float, Field(ge=0, lt=1)] = 0.5
    # In the last step, this share of the requests stays at the baseline for comparison, but at most half of
    # the baseline's share in the step before. 0: none.
    holdback: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    # For this long after a step begins, but at most half of its minimum time, only errors are judged, because
    # a variant that gets more requests has to warm up.
    settle_s: Seconds = 30.0
    # How long the candidate is watched with all traffic before the rollout is DONE.
    watch_s: Seconds = 3600.0
    # How sure "shown to be safe" and "shown to be cheaper" must be.
    proof: Confidence = 0.95
    # Since the start, including pauses; after this time the rollout ends without a decision.
    maximum_s: Annotated[float, Field(gt=0)] = 86_400.0
    # The effect of an end without a decision: all traffic to the baseline, or keep the split until a person
    # acts.
    inconclusive: Literal["baseline", "pause"] = "baseline"
    # When the rollout is DONE, the baseline stays until a person accepts the candidate, or the candidate
    # becomes the baseline at once.
    on_done: Literal["keep", "become_baseline"] = "keep"
    # A URL that gets a POST for each change. None: no notices.
    webhook: Annotated[str, AfterValidator(_url)] | None = None

    @model_validator(mode="after")
    def _feasible(self) -> Self:
        _refuse_disorder([step.share for step in self.steps])
        least_s = sum(step.minimum_s for step in self.steps)
        if least_s >= self.maximum_s:
            raise ValueError(
                f"maximum_s {self.maximum_s:g} ends before the sum of the steps' minimum_s, {least_s:g}; "
                f"give a maximum_s above {least_s:g}"
            )
        return self

    def share_at(self, step: int) -> float:
        """The candidate's share of the requests in a step, 0 to 1; step 0 is the shadow."""
        if not step:
            return 0.0
        if step < len(self.steps):
            return self.steps[step - 1].share
        return 1 - min(self.holdback, (1 - self.steps[-2].share) / 2)

    def settle_at(self, step: int) -> float:
        """How many seconds after its start a step ignores latency and cost."""
        return min(self.settle_s, self.steps[step - 1].minimum_s / 2)


def _refuse_disorder(shares: Sequence[float]) -> None:
    for lower, higher in pairwise(shares):
        if higher <= lower:
            raise ValueError(f"steps: the share {higher:g} follows {lower:g}; write shares in rising order")
    if len(shares) < 2:
        raise ValueError("steps: a single share leaves nothing to compare with; put a smaller one before it")
    if shares[-1] != 1:
        raise ValueError(f"steps: the last share is {shares[-1]:g}; end with share: 1 (all traffic)")


def load_policy(path: Path) -> Policy:
    """Load the policy in the YAML file `path`; an empty file is the default policy. Raises InvalidRecord."""
    data = read_yaml(path, "a policy; a file with `{}` is the default one")
    return Policy.parse({} if data is None else data, str(path))
