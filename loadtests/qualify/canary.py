"""Checks the stages that a trial rollout gives: the shadow's agreement, and the canary under live
requests."""

from collections.abc import Mapping
from typing import Any

from loadtests.judging.aggregation import describe_sender
from loadtests.judging.checks import ALPHA, excuse, guard_errors, guard_latency
from loadtests.judging.confidence import bound_rate
from loadtests.judging.limits import Limits
from loadtests.judging.run_length import say_longer, times_for_rate
from loadtests.judging.validity import check_sender
from loadtests.kinds.load import LoadRun, check_backlog, report_run
from loadtests.load_verdict import Check, CheckOutcome
from loadtests.qualify.qualification_record import StageRecord, make_stage
from loadtests.qualify.rollout_stages import PROVEN
from serve.rollout.judging.guard_figure import Figure
from serve.rollout.state.rollout import Phase

# If more copies are dropped, the compared ones are not a fair sample, because the shadow could not keep up.
_DROPPED = 0.2


def check_shadow(view: Mapping[str, Any], limits: Limits, *, generated: bool) -> StageRecord:
    """Check the third stage, from the last view of the rollout. `generated`: the inputs were generated, not
    real."""
    shadow, dropped = view["evidence"]["shadow"], int(view["evidence"]["dropped"])
    pairs, differ = int(shadow["pairs"]), int(shadow["disagreements"])
    share = dropped / max(1, pairs + dropped)
    rate = bound_rate(differ, pairs, ALPHA)
    allowed = 1 - limits.agreement
    assert rate.low is not None
    assert rate.high is not None
    bad = CheckOutcome.FAIL if rate.low > allowed else CheckOutcome.INVALID
    fix = ""
    if rate.high > allowed:
        times = None if bad is CheckOutcome.FAIL else times_for_rate(differ, pairs, allowed, ALPHA)
        fix = _fix(bad, times, generated)
    checks = [
        Check(
            name="shadow kept up",
            kind="gate",
            outcome=CheckOutcome.PASS if share <= _DROPPED else CheckOutcome.INVALID,
            seen=f"{dropped:,} of {pairs + dropped:,} copies were dropped",
            wanted=f"at most {_DROPPED:.0%}: lower rate_per_s",
            used=share / _DROPPED,
        ),
        Check(
            name="agreement",
            kind="guard",
            outcome=CheckOutcome.PASS if rate.high <= allowed else bad,
            seen=f"{differ:,} of {pairs:,} pairs differ: {rate.value:.2%} [{rate.low:.2%}, {rate.high:.2%}]",
            wanted=f"at most {allowed:.2%}{fix}",
            used=rate.high / allowed,
        ),
    ]
    if Phase(view["rollout"]["phase"]).over and int(view["rollout"]["step"]) == 0 and rate.high <= allowed:
        # The rollout ended for another reason.
        checks.append(_rollout_check(view))
    return make_stage("shadow", checks)


def check_canary(view: Mapping[str, Any], run: LoadRun, candidate: str) -> StageRecord | None:
    """Check the last stage; None if the rollout did not reach it."""
    if int(view["rollout"]["step"]) == 0:
        return None
    measured, limits = run.measured, run.limits
    checks = check_sender(run.plan, limits, describe_sender(measured), run.samples, complete=False)
    checks += [_rollout_check(view), *_figures(view)]
    if candidate in run.variants and run.variants[candidate].requests:
        checks.append(excuse(guard_latency(candidate, run.variants[candidate], limits), measured.steal))
    checks += [guard_errors("all", run.total, limits), check_backlog(run)]
    return make_stage("canary", checks, report_run("run", run, checks))


def _fix(bad: CheckOutcome, times: float | None, generated: bool) -> str:
    undecided = f"; undecided: {say_longer(times)}; set duration_s" if bad is CheckOutcome.INVALID else ""
    # Variants that agree on their training data may disagree on noise.
    return undecided + ("; these inputs were generated, so give real ones with --inputs" if generated else "")


def _rollout_check(view: Mapping[str, Any]) -> Check:
    """Check the outcome of the rollout itself."""
    phase = Phase(view["rollout"]["phase"])
    outcomes = {PROVEN: CheckOutcome.PASS, Phase.ROLLED_BACK: CheckOutcome.FAIL}
    outcome = outcomes.get(phase, CheckOutcome.INVALID)
    # For a running rollout, the verdict says what is missing.
    reason = (
        view["rollout"]["reason"]
        if phase.over
        else (view["verdict"] or {"reason": "no verdict yet"})["reason"]
    )
    return Check(
        name="rollout",
        kind="guard",
        outcome=outcome,
        seen="everything was shown to be safe" if outcome is CheckOutcome.PASS else f"{phase}: {reason}",
        wanted="proof that errors and latency are no worse than the baseline's",
    )


def _figures(view: Mapping[str, Any]) -> list[Check]:
    """Return a check for each guard of the rollout."""
    figures = (view["verdict"] or {"figures": []})["figures"]
    parsed = (Figure.parse(figure, "the server's verdict") for figure in figures)
    return [_figure_check(figure) for figure in parsed if figure.guard in ("errors", "latency")]


def _figure_check(figure: Figure) -> Check:
    decided = CheckOutcome.PASS if figure.proven else CheckOutcome.INVALID
    return Check(
        name=f"{figure.guard} against the baseline",
        kind="guard",
        outcome=CheckOutcome.FAIL if figure.harmful else decided,
        seen=figure.seen,
        wanted="shown to be within what the rollout's guard allows",
    )
