"""Runs the stages of a qualification one after the other and makes the record."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from loadtests.judging.limits import Limits
from loadtests.kinds.capacity import find_capacity
from loadtests.kinds.load import load
from loadtests.load_plan import LoadPlan, make_plan, steady
from loadtests.qualify.canary import check_canary, check_shadow
from loadtests.qualify.capacity_stage import check_capacity
from loadtests.qualify.qualification_record import QualificationRecord, StageRecord, conclude
from loadtests.qualify.quality_stage import check_quality, find_sides
from loadtests.qualify.rollout_stages import longest_s, refuse_busy, trial
from loadtests.sending.client import Client
from loadtests.sending.measure import LoadTarget

# The first rate of the capacity search, and the maximum duration of one rate.
_START_PER_S = 20.0
_PROBE_S = 60.0

Say = Callable[[str], object]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The candidate, its server, and the limits."""

    client: Client
    target: LoadTarget
    model: str
    candidate: str
    limits: Limits
    seed: int
    # Whether the inputs were generated from the signature instead of read from a file.
    generated: bool
    # Send tensors as bytes instead of JSON.
    binary: bool = False


def run_chain(subject: Subject, say: Say) -> QualificationRecord:
    """Run all stages; after Ctrl-C, return those that ended. `say` receives the progress.

    Raises LoadTestError. The previous routes are restored in any case."""
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    client, model, candidate, limits = subject.client, subject.model, subject.candidate, subject.limits
    bundles = client.get(f"/control/models/{model}/bundles")
    baseline, digests = find_sides(bundles, model, candidate, subject.target.metadata.unserved)
    refuse_busy(client, model)
    say("1/4  quality: what the export measured")
    stages = [check_quality(bundles["bundles"][candidate], limits)]
    complete = False
    # Between two loads no other code handles Ctrl-C.
    with suppress(KeyboardInterrupt):
        complete = _measure(subject, baseline, stages, say)
    outcome, binding, reasons = conclude(stages, complete=complete)
    return QualificationRecord(
        started_at=started_at,
        url=client.url,
        model=model,
        baseline=baseline,
        candidate=candidate,
        digests=digests,
        limits=limits,
        complete=complete,
        outcome=outcome,
        binding=binding,
        reasons=reasons,
        stages=tuple(stages),
    )


def _measure(subject: Subject, baseline: str, stages: list[StageRecord], say: Say) -> bool:
    """Add the stages that need load to `stages`; return whether they ran to the end."""
    candidate, limits = subject.candidate, subject.limits
    say(f"2/4  capacity of {baseline} and {candidate}: some minutes")
    plan = _plan(subject, _START_PER_S, _PROBE_S).model_copy(update={"pinned": (baseline, candidate)})
    result = find_capacity(subject.client, subject.target, plan, limits, say)
    stages.append(check_capacity(result, baseline, candidate, limits))
    if not result.complete:
        return False
    say(f"3/4  shadow under load, 4/4  canary under load: {limits.rate_per_s:g}/s for some minutes")
    with trial(subject.client, subject.model, candidate, limits, say) as follower:
        plan = _plan(subject, limits.rate_per_s, longest_s(limits))
        run = load(subject.client, subject.target, plan, limits, follower)
    stages.append(check_shadow(follower.view, limits, generated=subject.generated))
    if (canary := check_canary(follower.view, run, candidate)) is not None:
        stages.append(canary)
    return run.measured.complete


def write_down(client: Client, record: QualificationRecord) -> None:
    """Store the record on the server, where rollouts look for it. Raises LoadTestError."""
    content = record.model_dump(
        mode="json", include={"candidate", "baseline", "digests", "outcome", "binding", "reasons", "limits"}
    )
    stages = [stage.model_dump(mode="json", exclude={"report"}) for stage in record.stages]
    client.post(f"/control/models/{record.model}/qualifications", {**content, "stages": stages})


def _plan(subject: Subject, rate_per_s: float, duration_s: float) -> LoadPlan:
    return make_plan(
        url=subject.client.url,
        model=subject.model,
        profile=steady(rate_per_s, duration_s),
        seed=subject.seed,
        binary=subject.binary,
    )
