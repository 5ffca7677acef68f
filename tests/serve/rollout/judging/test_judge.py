import pytest

from serve.rollout.evidence.evidence import Events, Evidence, Pair, Segment
from serve.rollout.evidence.matched_pairs import MatchedPairs
from serve.rollout.judging.judge import Kind, Verdict, judge
from serve.rollout.state.policy import AccuracyGuard, Guards, Policy, ShadowPolicy, Step
from serve.rollout.state.rollout import Phase
from tests.serve.rollout.rollouts import at_step, proven, segment

BAD = Evidence(segments=(segment(1, 1000, errors=(20, 1)), segment(2, 10_000, errors=(190, 60))))


def figures(verdict: Verdict) -> dict[str, float | None]:
    """The evidence for harm by guard."""
    return {figure.guard: figure.harm for figure in verdict.figures}


@pytest.mark.parametrize("step", range(6))
def test_no_traffic_is_not_failure(step: int) -> None:
    """Without traffic the verdict is CONTINUE at every step."""
    verdict = judge(at_step(step), Evidence(), 40_000.0)
    assert verdict.kind is Kind.CONTINUE
    assert "0 of 1,000" in verdict.reason


@pytest.mark.parametrize("step", range(6))
def test_enough_of_everything_promotes(step: int) -> None:
    """Sufficient evidence of every guard gives PROMOTE at every step."""
    assert judge(at_step(step), proven(), 60.0).kind is Kind.PROMOTE


def test_a_step_lasts_its_minimum_time() -> None:
    """A step lasts at least its minimum time."""
    verdict = judge(at_step(2), proven(), 59.0)
    assert (verdict.kind, verdict.reason) == (Kind.CONTINUE, "at 5 % of the traffic: 59 of 60 s")


def test_a_step_needs_its_own_minimum_of_requests() -> None:
    """A step needs its own minimum of requests."""
    evidence = Evidence(segments=(segment(1, 50_000), segment(2, 999)))
    verdict = judge(at_step(2), evidence, 600.0)
    assert verdict.kind is Kind.CONTINUE
    assert "999 of 1,000 requests" in verdict.reason


def test_the_watch_does_not_end_with_a_suspicion() -> None:
    """The watch continues beyond its time while harm is suspected, and the reason says so."""
    watched = at_step(5).model_copy(update={"phase": Phase.WATCHING})
    calm, suspect = (segment(2, 10_000, errors=(190, errors)) for errors in (10, 22))
    assert judge(watched, Evidence(segments=(calm,)), 3600.0).kind is Kind.PROMOTE
    verdict = judge(watched, Evidence(segments=(suspect,)), 3600.0)
    assert verdict.kind is Kind.CONTINUE
    assert verdict.reason.startswith(
        "at 100 % of the traffic: watched for 3,600 of 3,600 s; suspected harm, errors: 22 of 500 (4.40%) "
    )


def test_harm_rolls_back_and_says_why_in_numbers() -> None:
    """Harm in two steps together gives ROLLBACK, with counts, estimate and interval in the reason."""
    verdict = judge(at_step(2), BAD, 30.0)
    assert verdict.kind is Kind.ROLLBACK
    assert verdict.reason.startswith(
        "harm shown at 5 % of the traffic: errors: 61 of 510 (11.96%) against 210 "
    )
    assert verdict.reason.endswith(" (harm from 500)")
    errors = verdict.figures[0]
    assert errors.low is not None
    assert errors.estimate is not None
    assert errors.high is not None
    assert 1 < errors.low < errors.estimate < errors.high
    assert errors.estimate == pytest.approx(6, rel=0.05)


@pytest.mark.parametrize("phase", [Phase.PAUSED, Phase.WAITING_APPROVAL])
def test_harm_rolls_back_while_it_stands_still(phase: Phase) -> None:
    """Harm gives ROLLBACK while a rollout is paused or waits for approval."""
    assert judge(at_step(2).model_copy(update={"phase": phase}), BAD, 30.0).kind is Kind.ROLLBACK


def test_errors_of_the_candidate_alone_roll_back() -> None:
    """Twelve errors of the candidate and none of the baseline give ROLLBACK."""
    evidence = Evidence(segments=(segment(2, 2000, errors=(0, 12)),))
    assert judge(at_step(2), evidence, 30.0).kind is Kind.ROLLBACK


def test_fewer_errors_than_allowed_are_no_harm() -> None:
    """Errors within the tolerance are no harm, even if the baseline has none."""
    evidence = Evidence(segments=(segment(4, 60_000, errors=(0, 9)),))
    assert judge(at_step(4), evidence, 30.0).kind is not Kind.ROLLBACK


def test_an_error_guard_never_rolls_back_for_the_baselines_errors() -> None:
    """Errors of the baseline do not roll the candidate back."""
    evidence = Evidence(segments=(segment(3, 10_000, errors=(3000, 30)),))
    assert judge(at_step(3), evidence, 90.0).kind is Kind.PROMOTE


def test_suspicion_goes_no_further() -> None:
    """Evidence between 95 and 99 % holds the step as a suspicion."""
    evidence = Evidence(segments=(segment(2, 1000, errors=(15, 6)),))
    verdict = judge(at_step(2), evidence, 90.0)
    assert verdict.kind is Kind.CONTINUE
    assert "suspected harm, errors" in verdict.reason


def test_the_majority_waits_for_the_proof() -> None:
    """A candidate without proof of safety passes 25 % and waits at 50 %."""
    evidence = Evidence(segments=(segment(3, 2000, errors=(15, 5)), segment(4, 2000, errors=(10, 10))))
    assert judge(at_step(3), evidence, 90.0).kind is Kind.PROMOTE
    verdict = judge(at_step(4), evidence, 90.0)
    assert verdict.kind is Kind.CONTINUE
    assert "errors unproven" in verdict.reason


def test_a_policy_may_ask_for_the_proof_at_every_step() -> None:
    """With `proof_above: 0` the first step waits for the proof."""
    evidence = Evidence(segments=(segment(1, 2000, errors=(30, 0)),))
    assert judge(at_step(1), evidence, 90.0).kind is Kind.PROMOTE
    assert judge(at_step(1, Policy(proof_above=0)), evidence, 90.0).kind is Kind.CONTINUE


def test_a_candidate_that_is_no_cheaper_is_not_promoted() -> None:
    """A candidate that costs the same is not promoted by default, and is with `cheaper_by: -0.5`."""
    evidence = Evidence(segments=(segment(4, 60_000, errors=(4, 4), cost=1.0),))
    verdict = judge(at_step(4), evidence, 90.0)
    assert verdict.kind is Kind.CONTINUE
    assert "cost unproven: 1 ms of CPU a row against 1" in verdict.reason
    assert judge(at_step(4, Policy(cheaper_by=-0.5)), evidence, 90.0).kind is Kind.PROMOTE


def test_few_keys_that_stick_may_be_what_is_cheaper() -> None:
    """With sticky requests of unknown keys, the saving is not shown, as users may differ."""
    requests = Pair(baseline=30_000, candidate=30_000)
    sticky = segment(4, 60_000).model_copy(update={"sticky": True, "requests": requests})
    verdict = judge(at_step(4), Evidence(segments=(sticky,)), 90.0)
    assert "differences between users may explain" in verdict.reason
    assert verdict.kind is Kind.CONTINUE


def test_cheaper_by_too_little_is_not_cheaper() -> None:
    """A saving of 50 % meets `cheaper_by: 0.2` and not 0.6."""
    assert judge(at_step(4, Policy(cheaper_by=0.2)), proven(), 90.0).kind is Kind.PROMOTE
    assert judge(at_step(4, Policy(cheaper_by=0.6)), proven(), 90.0).kind is Kind.CONTINUE


def test_feedback_counts_only_when_asked_for() -> None:
    """Wrong answers give ROLLBACK with an accuracy guard and CONTINUE without one."""
    wrong = Segment(
        step=4,
        split=0.5,
        started_s=0.0,
        ended_s=1.0,
        requests=Pair(baseline=1000, candidate=1000),
        labelled=Pair(baseline=500, candidate=500),
        wrong=sum((Events.tick(*one) for one in [(1, 1)] * 20 + [(0, 1)] * 60), Events()),
    )
    evidence = Evidence(segments=(wrong,))
    assert judge(at_step(4), evidence, 30.0).kind is Kind.CONTINUE
    guarded = Policy(guards=Guards(accuracy=AccuracyGuard()))
    assert judge(at_step(4, guarded), evidence, 30.0).kind is Kind.ROLLBACK


def test_labels_of_the_shadow_count_at_every_step() -> None:
    """Labels of the shadow count at every step, if the policy has the guard and a shadow."""
    evidence = Evidence(matched={3: MatchedPairs(labelled=90, baseline_alone=30)}, classes=10)
    accuracy = Guards(accuracy=AccuracyGuard())
    assert judge(at_step(4, Policy(guards=accuracy)), evidence, 30.0).kind is Kind.ROLLBACK
    skipped = Policy(guards=accuracy, shadow=ShadowPolicy(skip=True))
    for policy in (Policy(), skipped):
        assert judge(at_step(4, policy), evidence, 30.0).kind is Kind.CONTINUE


def test_a_split_that_is_not_kept_makes_the_evidence_worthless() -> None:
    """A candidate with three times its share of the traffic gives INCONCLUSIVE."""
    tripled = segment(1, 5000).model_copy(update={"requests": Pair(baseline=4850, candidate=150)})
    verdict = judge(at_step(1), Evidence(segments=(tripled,)), 90.0)
    assert verdict.kind is Kind.INCONCLUSIVE
    assert "not reliable: split: the candidate got 150 of 5,000 requests, expected 50" in verdict.reason


def test_keys_that_stick_are_not_held_against_the_split() -> None:
    """With sticky keys a larger share of requests is no mismatch, and rates are compared by that share."""
    tripled = segment(1, 5000, errors=(97, 3)).model_copy(
        update={"requests": Pair(baseline=4850, candidate=150), "sticky": True}
    )
    verdict = judge(at_step(1), Evidence(segments=(tripled,)), 90.0)
    assert verdict.kind is Kind.PROMOTE
    assert verdict.figures[0].estimate == pytest.approx(1, rel=0.01)


def test_the_end_of_time_is_no_pass() -> None:
    """At the time limit the verdict is INCONCLUSIVE, with what was missing."""
    verdict = judge(at_step(4), Evidence(segments=(segment(4, 2000, errors=(10, 10)),)), 86_400.0)
    assert verdict.kind is Kind.INCONCLUSIVE
    assert verdict.reason.startswith(
        "the time limit of 86,400 s is over after 86,400 s, at 50 % of the traffic; errors unp"
    )


def test_harm_comes_before_the_end_of_time() -> None:
    """At the end of the time limit, harm gives ROLLBACK."""
    assert judge(at_step(2), BAD, 86_400.0).kind is Kind.ROLLBACK


def test_more_guards_ask_for_more_evidence_each() -> None:
    """The guards share the error probability of 1 % (Bonferroni), so more guards have higher limits."""
    five = judge(at_step(1), Evidence(), 1.0).figures[0].harm_at
    policy = Policy(
        shadow=ShadowPolicy(skip=True),
        guards=Guards(accuracy=AccuracyGuard()),
        steps=(Step(share=0.5), Step(share=1)),
    )
    skipped = judge(at_step(1, policy), Evidence(), 1.0).figures
    assert five == pytest.approx(6.21461)
    assert [figure.guard for figure in skipped] == [
        "errors",
        "latency",
        "p50",
        "p95",
        "p99",
        "accuracy",
        "cost",
        "split",
    ]


def test_every_look_judges_all_steps_again() -> None:
    """The same sums give the same figures at a later step."""
    assert figures(judge(at_step(2), BAD, 30.0))["errors"] == figures(judge(at_step(3), BAD, 30.0))["errors"]


def test_a_verdict_survives_json() -> None:
    """A verdict is the same after a round trip through JSON."""
    verdict = judge(at_step(4), proven(), 90.0)
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict


@pytest.mark.parametrize("step", [0, 2])
def test_the_third_gateway_that_dies_of_it_is_the_last(step: int) -> None:
    """Three gateways that died while running the candidate give ROLLBACK in any phase; two do not."""
    twice, thrice = (proven().model_copy(update={"deaths": Pair(candidate=deaths)}) for deaths in (2, 3))
    assert judge(at_step(step), twice, 60.0).kind is Kind.PROMOTE
    verdict = judge(at_step(step), thrice, 60.0)
    assert verdict.kind is Kind.ROLLBACK
    assert verdict.reason.startswith("3 gateways died while running it")


def test_gateways_that_die_of_the_baseline_are_not_held_against_the_candidate() -> None:
    """Any number of deaths caused by the baseline is no harm."""
    evidence = proven().model_copy(update={"deaths": Pair(baseline=9)})
    assert judge(at_step(2), evidence, 60.0).kind is Kind.PROMOTE
