"""Compares variants in one run. The variant of each request is drawn at random, so noise affects all
equally."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from loadtests.candidate_comparison import CandidateComparison, Ratio, WeighedEvents
from loadtests.errors import LoadTestError
from loadtests.judging.aggregation import describe_sender, over_limit
from loadtests.judging.checks import guard_errors, guard_ratio, guard_weighed
from loadtests.judging.limits import Limits
from loadtests.judging.ratios import compare_latency
from loadtests.judging.validity import check_samples, check_sender, check_steady, check_twins
from loadtests.kinds.load import LoadRun, check_backlog, load, report_run
from loadtests.load_plan import LoadPlan
from loadtests.load_verdict import Check, CheckOutcome
from loadtests.report import LoadReport
from loadtests.sending.client import Client
from loadtests.sending.measure import LoadTarget
from loadtests.sending.samples import Samples

_FIGURES: dict[str, Literal["errors", "over limit"]] = {"errors": "errors", "latency": "over limit"}


def compare(client: Client, target: LoadTarget, plan: LoadPlan, limits: Limits) -> tuple[LoadReport, Samples]:
    """Compare variants: the plan's first pin is the baseline, the others are candidates."""
    run = load(client, target, plan, limits)
    baseline, *candidates = plan.pinned
    checks = _check(run, baseline)
    comparisons: list[CandidateComparison] = []
    for candidate in candidates:
        sides = run.by_variant[baseline], run.by_variant[candidate]
        ratios = compare_latency(*sides, run.measured.sent_until_s, plan.seed)
        try:
            figures = _weigh(client, *sides, limits, plan.duration_s)
        except LoadTestError as error:
            weighed: tuple[WeighedEvents, ...] = ()
            checks.append(_unweighed(candidate, error))
        else:
            weighed = _judged(figures, limits)
            checks.append(_check_split(candidate, figures["split"]))
        comparisons.append(
            CandidateComparison(baseline=baseline, candidate=candidate, ratios=ratios, weighed=weighed)
        )
        checks.append(guard_errors(candidate, run.variants[candidate], limits))
        checks += [guard_ratio(candidate, ratio, limits) for ratio in ratios if ratio.figure == "p50"]
        checks += [guard_weighed(candidate, figure) for figure in weighed]
    return report_run("compare", run, [*checks, check_backlog(run)], comparisons), run.measured.samples


def _check(run: LoadRun, baseline: str) -> list[Check]:
    """Return the gates."""
    checks = check_sender(
        run.plan,
        run.limits,
        describe_sender(run.measured),
        run.samples,
        complete=run.measured.complete,
        contention=run.measured.contention,
    )
    checks.append(check_samples(run.by_variant, 0.5 if run.limits.p99_ms is None else 0.99))
    if run.plan.is_steady:
        checks.append(check_steady(run.by_variant[baseline], run.measured.sent_until_s, mixed=True))
    checks.append(check_twins(_twins(run, baseline)))
    return checks


def _twins(run: LoadRun, baseline: str) -> Ratio | None:
    """Return the ratio of the p50 of two random halves of the baseline."""
    samples = run.by_variant[baseline]
    one = np.random.default_rng(run.plan.seed).random(len(samples)) < 0.5
    ratios = compare_latency(
        samples.where(one), samples.where(~one), run.measured.sent_until_s, run.plan.seed
    )
    return next((ratio for ratio in ratios if ratio.figure == "p50"), None)


def _weigh(
    client: Client, baseline: Samples, candidate: Samples, limits: Limits, duration_s: float
) -> dict[str, dict[str, Any]]:
    """Return the result of the rollout's own test, by guard; the server computes it from counts. Raises
    LoadTestError."""
    seconds = int(duration_s) + 1
    columns = [column for side in (baseline, candidate) for column in _count(side, limits, seconds)]
    answer = client.post(
        "/control/weigh",
        {
            "share": 0.5,
            "errors": {"allowed": limits.errors},
            "ticks": [list(tick) for tick in zip(*columns, strict=True)],
        },
    )
    return {figure["guard"]: figure for figure in answer["figures"]}


def _judged(figures: Mapping[str, dict[str, Any]], limits: Limits) -> tuple[WeighedEvents, ...]:
    """Return the guards' figures that have a limit."""
    required = [name for name in _FIGURES if name == "errors" or limits.p99_ms is not None]
    return tuple(_weighed(figures[name]) for name in required)


def _check_split(candidate: str, figure: Mapping[str, Any]) -> Check:
    good = figure["harm"] < figure["harm_at"]
    return Check(
        name=f"split of {candidate}",
        kind="gate",
        outcome=CheckOutcome.PASS if good else CheckOutcome.INVALID,
        seen=figure["seen"],
        wanted="half of each, as drawn: the server did not answer with the requested variants",
    )


def _count(samples: Samples, limits: Limits, seconds: int) -> list[list[int]]:
    """Count requests, errors and requests over the limit in each second. A request without an answer is
    both."""
    second = samples.intended_s.astype(int)
    late = over_limit(samples, limits.p99_ms) if limits.p99_ms is not None else np.zeros(len(samples), bool)
    chosen = [np.ones(len(samples), bool), ~samples.right, late]
    return [np.bincount(second[rows], minlength=seconds).tolist() for rows in chosen]


def _weighed(figure: dict[str, Any]) -> WeighedEvents:
    return WeighedEvents(
        figure=_FIGURES[figure["guard"]],
        seen=figure["seen"],
        value=figure["estimate"],
        low=figure["low"],
        high=figure["high"],
        harm=figure["harm"],
        harm_at=figure["harm_at"],
        safe=figure["safe"],
        safe_at=figure["safe_at"],
    )


def _unweighed(candidate: str, error: LoadTestError) -> Check:
    return Check(
        name=f"errors of {candidate} against the baseline",
        kind="gate",
        outcome=CheckOutcome.INVALID,
        seen=f"not compared: {error}",
        wanted="a server that compares rates as its rollouts do (POST /control/weigh)",
    )
