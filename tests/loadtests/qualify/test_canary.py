from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from loadtests.judging.aggregation import describe, split_by_variant
from loadtests.kinds.load import LoadRun
from loadtests.load_plan import LoadPlan, steady
from loadtests.load_verdict import Check, CheckOutcome
from loadtests.qualify.canary import check_canary, check_shadow
from loadtests.qualify.qualification_record import StageRecord
from tests.loadtests.qualify.rollout_views import LIMITS, canary, canary_view, shadow_view
from tests.loadtests.samples import join, make_measurement, make_samples


def make_run(*, mine: int = 1000, late: int = 0) -> LoadRun:
    """Return a load with `mine` answers of the candidate int8, `late` of them late, and 1,000 of fp32."""
    latency_ms = np.where(np.arange(mine) < late, 150.0, 5.0)
    samples = join(make_samples(np.full(1000, 5.0)), make_samples(latency_ms, variant="int8"))
    by_variant = split_by_variant(samples, ("fp32", "int8"))
    return LoadRun(
        plan=LoadPlan(url="http://host", model="linear", profile=steady(20, 60)),
        limits=LIMITS,
        measured=make_measurement(samples),
        samples=samples,
        by_variant=by_variant,
        variants={name: describe(mine, LIMITS.p99_ms, len(samples)) for name, mine in by_variant.items()},
        total=describe(samples, LIMITS.p99_ms, len(samples)),
        timeline=None,
        notes=(),
    )


def find(stage: StageRecord | None, name: str) -> Check:
    """The check of this name."""
    assert stage is not None
    return next(check for check in stage.checks if check.name == name)


@pytest.mark.parametrize(
    ("pairs", "differ", "outcome"),
    [
        (2000, 2, CheckOutcome.PASS),
        (2000, 104, CheckOutcome.FAIL),
        (100, 1, CheckOutcome.INVALID),
        (0, 0, CheckOutcome.INVALID),
    ],
)
def test_the_shadow_must_be_shown_to_agree(pairs: int, differ: int, outcome: CheckOutcome) -> None:
    """With 2 % allowed, 0.1 % of differing pairs pass, 5 % fail, and 100 pairs are undecided."""
    stage = check_shadow(shadow_view(pairs, differ), LIMITS, generated=False)
    assert (stage.outcome, find(stage, "agreement").outcome) == (outcome, outcome)
    assert find(stage, "agreement").seen.startswith(f"{differ:,} of {pairs:,} pairs differ: ")


def test_an_open_agreement_asks_for_more_time() -> None:
    """If the agreement is undecided, the reason asks for a longer duration and says about how long."""
    stage = check_shadow(shadow_view(100, 1), LIMITS, generated=False)
    wanted = find(stage, "agreement").wanted
    assert wanted.startswith("at most 2.00%; undecided: run longer, about 30 times as long")
    assert wanted.endswith("set duration_s")


@pytest.mark.parametrize(("generated", "said"), [(True, True), (False, False)])
def test_disagreement_on_noise_asks_for_real_inputs(generated: bool, said: bool) -> None:
    """If made-up inputs disagree, the check asks for real ones; with a file it does not."""
    stage = check_shadow(shadow_view(2000, 104), LIMITS, generated=generated)
    assert ("give real ones with --inputs" in find(stage, "agreement").wanted) is said


@pytest.mark.parametrize(("dropped", "outcome"), [(500, CheckOutcome.PASS), (501, CheckOutcome.INVALID)])
def test_a_shadow_that_could_not_keep_up_is_no_fair_sample(dropped: int, outcome: CheckOutcome) -> None:
    """A shadow that dropped more than a fifth of its copies is INVALID."""
    stage = check_shadow(shadow_view(2000, 2, dropped=dropped), LIMITS, generated=False)
    assert find(stage, "shadow kept up").outcome is stage.outcome is outcome


def test_a_trial_that_ends_in_its_shadow_for_another_reason_tells_it() -> None:
    """A trial that ended in its shadow by its time limit is INVALID with that reason."""
    stage = check_shadow(shadow_view(599, 0, lasting_s=400), LIMITS, generated=False)
    assert find(stage, "agreement").outcome is CheckOutcome.PASS
    assert stage.outcome is CheckOutcome.INVALID
    assert "INCONCLUSIVE: the time limit of 360 s is over after 400 s" in find(stage, "rollout").seen


def test_a_trial_that_fell_in_its_shadow_has_no_canary() -> None:
    """A trial that failed in its shadow has no canary stage."""
    assert check_canary(shadow_view(2000, 104), make_run(), "int8") is None


def test_a_good_canary_passes() -> None:
    """A canary passes if the rollout and the load test prove everything."""
    stage = check_canary(canary_view(canary(20_000)), make_run(), "int8")
    assert stage is not None
    assert stage.outcome is CheckOutcome.PASS, stage.reasons
    assert find(stage, "rollout").seen == "everything was shown to be safe"
    assert stage.report is not None
    assert stage.report.requests == 2000


@pytest.mark.parametrize(
    ("view", "name", "outcome"),
    [
        (canary_view(canary(20_000, errors=(0, 300))), "errors against the baseline", CheckOutcome.FAIL),
        (canary_view(canary(20_000, late=(0, 300))), "latency against the baseline", CheckOutcome.FAIL),
        (canary_view(canary(50)), "latency against the baseline", CheckOutcome.INVALID),
    ],
    ids=["errors", "latency", "too few"],
)
def test_each_guard_of_the_rollout_is_a_check(
    view: Mapping[str, Any], name: str, outcome: CheckOutcome
) -> None:
    """Each guard of the rollout is a check: harm fails, and missing proof is undecided."""
    stage = check_canary(view, make_run(), "int8")
    assert find(stage, name).outcome is outcome
    assert find(stage, "rollout").outcome is outcome
    assert stage is not None
    assert stage.outcome is outcome


def test_a_rollout_that_still_runs_says_what_is_missing() -> None:
    """A rollout that still runs has a check that says what is missing."""
    stage = check_canary(canary_view(canary(50)), make_run(), "int8")
    assert find(stage, "rollout").seen.startswith("STEP: at 50 % of the traffic: 50 of 600 requests")


@pytest.mark.parametrize(
    ("mine", "late", "outcome"),
    [(1000, 0, CheckOutcome.PASS), (1000, 30, CheckOutcome.FAIL), (100, 1, CheckOutcome.INVALID)],
)
def test_the_limit_holds_for_the_candidate_by_itself(mine: int, late: int, outcome: CheckOutcome) -> None:
    """The candidate's p99 is checked against the limit, independently of the baseline."""
    stage = check_canary(canary_view(canary(20_000)), make_run(mine=mine, late=late), "int8")
    assert find(stage, "p99 of int8").outcome is outcome
