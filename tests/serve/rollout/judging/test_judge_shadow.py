import pytest

from serve.rollout.evidence.evidence import Clusters, Comparison, Drop, Evidence, Moments
from serve.rollout.judging.judge import Kind, judge
from serve.rollout.state.policy import Policy, ShadowPolicy, Slices
from tests.serve.rollout.rollouts import at_step, shadowed


def test_the_shadow_waits_for_its_pairs() -> None:
    """The shadow waits for its number of pairs."""
    verdict = judge(at_step(0), Evidence(shadow=shadowed(999, 0)), 600.0)
    assert (verdict.kind, verdict.reason) == (Kind.CONTINUE, "in the shadow: 999 of 1,000 pairs")


def test_a_shadow_that_disagrees_ends_before_any_user_sees_it() -> None:
    """A shadow with 5 % differing pairs, where 2 % are allowed, gives ROLLBACK."""
    verdict = judge(at_step(0), Evidence(shadow=shadowed(2000, 100)), 60.0)
    assert verdict.kind is Kind.ROLLBACK
    assert "disagreement: 100 of 2,000 pairs differ, 5.00% [" in verdict.reason


def test_a_shadow_between_pass_and_fail_goes_on() -> None:
    """A shadow with 2 % differing pairs, where 2 % are allowed, gives CONTINUE."""
    verdict = judge(at_step(0), Evidence(shadow=shadowed(2000, 40)), 60.0)
    assert verdict.kind is Kind.CONTINUE
    assert "disagreement unproven" in verdict.reason


def test_pairs_of_a_few_requests_are_not_enough() -> None:
    """Pairs of 16 requests are too few, even if there are 1,024 pairs."""
    few = Comparison(pairs=1024, clusters=Clusters(requests=16, squares=16 * 64**2))
    verdict = judge(at_step(0), Evidence(shadow=few), 60.0)
    assert verdict.reason.startswith("in the shadow: 16 of 100 requests with pairs; ")


def test_copies_that_were_dropped_are_told_with_the_reason() -> None:
    """The reason gives the number of dropped rows by cause."""
    evidence = Evidence(dropped=1300, drops={Drop.FULL: 1000, Drop.BUSY: 300})
    assert (
        "; 1,300 rows of copies were dropped: 1,000 because its queue was full (max_shadow_rows), 300 "
        "because live requests were waiting; "
    ) in judge(at_step(0), evidence, 60.0).reason


def test_a_slice_that_disagrees_ends_it_by_name() -> None:
    """A slice with 30 % differing pairs gives ROLLBACK, even if it is 3 % of the traffic."""
    slices = {"de": shadowed(9700, 0), "fr": shadowed(300, 90)}
    verdict = judge(at_step(0), Evidence(shadow=shadowed(10_000, 90), slices=slices), 60.0)
    assert verdict.kind is Kind.ROLLBACK
    assert "slices: 'fr': 90 of 300 pairs differ, 30.00% [" in verdict.reason


def test_a_suspicious_slice_holds_the_step() -> None:
    """A slice with 11 of 100 differing pairs gives CONTINUE, and the reason names it."""
    slices = {"fr": shadowed(100, 11), "de": shadowed(9900, 0)}
    verdict = judge(at_step(0), Evidence(shadow=shadowed(10_000, 11), slices=slices), 60.0)
    assert verdict.kind is Kind.CONTINUE
    assert "suspected harm, slices: 'fr': 11 of 100 pairs differ" in verdict.reason


def test_the_shadow_waits_for_pairs_of_a_rare_slice() -> None:
    """The shadow waits for pairs of a rare slice, and the reason gives the remaining time."""
    evidence = Evidence(shadow=shadowed(1000, 0), slices={"fr": shadowed(10, 0), "de": shadowed(990, 0)})
    verdict = judge(at_step(0), evidence, 60.0)
    assert verdict.kind is Kind.CONTINUE
    assert "slice 'fr': 10 of 320 pairs, about 31 min" in verdict.reason
    assert "1,800 s" in verdict.reason


def test_a_slice_that_is_too_rare_is_left_out_and_named() -> None:
    """After its time the shadow promotes without a slice that is too rare, and names it."""
    evidence = Evidence(shadow=shadowed(1000, 0), slices={"fr": shadowed(10, 0), "de": shadowed(990, 0)})
    verdict = judge(at_step(0), evidence, 1800.0)
    assert verdict.kind is Kind.PROMOTE
    assert verdict.reason.endswith("; not compared: slice 'fr': 10 of 320 pairs")


@pytest.mark.parametrize(("slices", "kind"), [(None, Kind.PROMOTE), (Slices(agreement=0.6), Kind.PROMOTE)])
def test_slices_are_judged_as_the_policy_says(slices: Slices | None, kind: Kind) -> None:
    """Slices are judged by their own limit, or not at all."""
    evidence = Evidence(shadow=shadowed(10_000, 90), slices={"fr": shadowed(300, 90)})
    policy = Policy(shadow=ShadowPolicy(slices=slices))
    assert judge(at_step(0, policy), evidence, 60.0).kind is kind


@pytest.mark.parametrize(
    ("cosine", "kind"), [(0.999, Kind.PROMOTE), (0.97, Kind.ROLLBACK), (0.98, Kind.CONTINUE)]
)
def test_drift_is_judged_by_its_limit(cosine: float, kind: Kind) -> None:
    """The mean cosine is judged by its limit of 0.98."""
    policy = Policy(shadow=ShadowPolicy(cosine=0.98))
    assert judge(at_step(0, policy), Evidence(shadow=shadowed(2000, 2, cosine)), 60.0).kind is kind


@pytest.mark.parametrize(("kl", "kind"), [(0.001, Kind.PROMOTE), (0.02, Kind.ROLLBACK)])
def test_divergence_is_judged_by_its_limit(kl: float, kind: Kind) -> None:
    """The mean KL divergence is judged by its limit of 0.01 nats."""
    moments = Moments(count=2000, total=2000 * kl, squares=2000 * 2 * kl**2)
    shadow = shadowed(2000, 2) + Comparison(kl=moments)
    assert judge(at_step(0, Policy(shadow=ShadowPolicy(kl=0.01))), Evidence(shadow=shadow), 60.0).kind is kind
