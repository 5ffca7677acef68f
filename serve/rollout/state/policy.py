"""Policy: what a person asks of a rollout. Every value has a safe default; an empty file is a policy."""

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
    """How much worse than the baseline is harm, and how much worse would still be safe.

    A rate is a share of the candidate's requests, 0 to 1; a ratio is that rate over the baseline's."""

    # Rolled back when the ratio is shown to be above this, and the rate above `allowed`.
    harm: Annotated[float, Field(ge=1, le=1e9)] = 1.0
    # How sure that must be, over the whole rollout and however often one looks.
    confidence: Confidence = 0.99
    # Safe when the ratio is shown to be below this, or the rate below `allowed`.
    tolerance: Annotated[float, Field(gt=1, le=1e9)] = 1.5

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.tolerance <= self.harm:
            raise ValueError(
                f"tolerance {self.tolerance:g} is not above harm {self.harm:g}: what is safe would be harm; "
                f"give a tolerance above {self.harm:g}"
            )
        return self


class ErrorGuard(Guard):
    """Failed requests."""

    # This rate of errors is fine, whatever the baseline's; it also lets two faultless variants pass.
    allowed: Rate = 0.001


class QuantileGuard(Guard):
    """Requests over a limit; a rate of 1 - `quantile` is allowed, so that quantile may lie at the limit."""

    quantile: Annotated[float, Field(ge=0.5, lt=1)] = 0.99

    @property
    def allowed(self) -> float:
        """The rate of requests that may be over the limit."""
        return 1 - self.quantile


class LatencyGuard(QuantileGuard):
    """Requests that take longer than a limit that stays, and than limits that follow the baseline."""

    # The limit that stays. None: `times_baseline` times the baseline's quantile before the first step.
    limit_ms: Annotated[float, Field(gt=0)] | None = None
    # The candidate's p50, p95 and p99 may be so many times those that the baseline has at the same time.
    times_baseline: Annotated[float, Field(ge=1)] = 1.25
    # And so many ms more in any case: what nobody notices is no harm.
    plus_ms: Annotated[float, Field(ge=0)] = 2.0
    # So many times as often over the limit that stays is harm also below `allowed`, if it is not `rare`.
    # None: as often as is allowed is fine, however rarely the baseline is.
    excess: Annotated[float, Field(gt=1, le=1e9)] | None = 2.5

    @property
    def rare(self) -> float:
        """A rate of requests over the limit that stays which is fine, whatever the baseline's."""
        return self.allowed / 5

    def at(self, quantile: float) -> QuantileGuard:
        """The guard of one quantile, with its limit from the baseline's."""
        return QuantileGuard(
            quantile=quantile, harm=self.harm, confidence=self.confidence, tolerance=self.tolerance
        )


class AccuracyGuard(Guard):
    """Wrong answers, by the feedback that came; compared where feedback is as likely for either variant."""

    tolerance: Annotated[float, Field(gt=1, le=1e9)] = 1.2
    # This rate of wrong answers among those with feedback is fine, whatever the baseline's.
    allowed: Rate = 0.0


class Guards(Record):
    """What a rollout watches. Errors and latency always; accuracy only when asked for."""

    errors: ErrorGuard = ErrorGuard()
    latency: LatencyGuard = LatencyGuard()
    # None: feedback is not looked at.
    accuracy: AccuracyGuard | None = None
    # A restart, a garbage collection or a busy neighbour lasts so long on average at most: what hits one
    # variant alone for a while is a stall and no rate, until it has lasted for some eight times as long.
    stall_s: Annotated[float, Field(gt=0)] = 30.0


class Slices(Record):
    """Parts of the inputs, as requests name them; each must agree for itself."""

    # The share of a slice's pairs that must agree. None: as of all pairs.
    agreement: Annotated[float, Field(gt=0, lt=1)] | None = None
    # The shadow waits so long for enough pairs of each; then it goes on, and says what was not compared.
    maximum_s: Seconds = 1800.0


class ShadowPolicy(Record):
    """The phase before any user sees the candidate: it gets copies, and its answers are compared."""

    # True: go to the first step at once, without a comparison.
    skip: bool = False
    # The share of requests that are copied to the candidate.
    share: Share = 1.0
    minimum_pairs: Count = 1000
    # Rows of one request are alike: pairs must come from so many requests, where that many pairs are asked.
    minimum_requests: Count = 100
    # The share of pairs that must agree. Harm when shown to be lower, safe when shown to be higher.
    agreement: Annotated[float, Field(gt=0, lt=1)] = 0.98
    confidence: Confidence = 0.99
    # The mean cosine of the outputs must be above, their mean KL divergence in nats below. None: not asked.
    cosine: Annotated[float, Field(gt=-1, lt=1)] | None = None
    kl: Annotated[float, Field(gt=0)] | None = None
    # None: no slice is judged by itself.
    slices: Slices | None = Slices()


class Step(Record):
    """A stretch of the rollout with one share of the requests for the candidate."""

    share: Share
    minimum_s: Seconds = 60.0
    # Of both variants together: the baseline's events count in the comparison as much as the candidate's.
    minimum_requests: Count = 1000
    # True: a person must approve before this step begins.
    approval: bool = False


def _url(url: str) -> str:
    """Refused at the start, or nobody would be told and nobody would know."""
    parse_url(url)
    return url


class Policy(Record):
    """The whole of it."""

    # True: it starts only when the candidate, in the version that is loaded, was QUALIFIED against the
    # baseline that is loaded.
    qualified: bool = False
    shadow: ShadowPolicy = ShadowPolicy()
    steps: tuple[Step, ...] = tuple(Step(share=share) for share in (0.01, 0.05, 0.25, 0.5, 1.0))
    guards: Guards = Guards()
    # At equal sizes of run the candidate's CPU time must be shown to be lower by this share; below 0: it may
    # cost more. Two processes that run the same differ by some percent, which no look at them can see.
    cheaper_by: Annotated[float, Field(gt=-10, lt=1)] = 0.05
    # After the first, a step with a share above this begins only when everything is shown to be safe. The
    # steps up to it begin while nothing looks harmful. 0 asks for the whole proof after every step.
    proof_above: Annotated[float, Field(ge=0, lt=1)] = 0.5
    # In the last step this share of the requests stays at the baseline, so that something is left to compare
    # with; but at most half of what the step before left there. 0: nothing is held back.
    holdback: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    # For so long after the beginning of a step, but at most half of its minimum time, errors are judged and
    # latency and cost are not: who gets more requests than before has to warm up.
    settle_s: Seconds = 30.0
    # After the last step the candidate gets everything, and is watched for so long before it is DONE.
    watch_s: Seconds = 3600.0
    # How sure "shown to be safe" and "shown to be cheaper" must be.
    proof: Confidence = 0.95
    # From the start, pauses included; then the rollout ends without a decision.
    maximum_s: Annotated[float, Field(gt=0)] = 86_400.0
    # What an end without a decision does: all traffic to the baseline, or stand still until somebody comes.
    inconclusive: Literal["baseline", "pause"] = "baseline"
    # What follows when it is DONE: the baseline stays the baseline until somebody says `accept`, or the
    # candidate takes its place at once.
    on_done: Literal["keep", "become_baseline"] = "keep"
    # Gets a POST on each change. None: nobody is told.
    webhook: Annotated[str, AfterValidator(_url)] | None = None

    @model_validator(mode="after")
    def _feasible(self) -> Self:
        _refuse_disorder([step.share for step in self.steps])
        least_s = sum(step.minimum_s for step in self.steps)
        if least_s >= self.maximum_s:
            raise ValueError(
                f"maximum_s {self.maximum_s:g} is over before the steps' minimum_s, {least_s:g} together; "
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
        """For how many seconds after its beginning a step says nothing of latency and cost."""
        return min(self.settle_s, self.steps[step - 1].minimum_s / 2)


def _refuse_disorder(shares: Sequence[float]) -> None:
    for lower, higher in pairwise(shares):
        if higher <= lower:
            raise ValueError(f"steps: the share {higher:g} follows {lower:g}; write shares in rising order")
    if len(shares) < 2:
        raise ValueError("steps: one share alone leaves nothing to compare with; put a smaller one before it")
    if shares[-1] != 1:
        raise ValueError(f"steps: the last share is {shares[-1]:g}; end with share: 1, all traffic")


def load_policy(path: Path) -> Policy:
    """The policy in the YAML file `path`; an empty file is the default. Raises InvalidRecord."""
    data = read_yaml(path, "a policy; `{}` in it is the default one")
    return Policy.parse({} if data is None else data, str(path))
