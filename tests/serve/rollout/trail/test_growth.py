"""Values of the evidence that must not decrease."""

from serve.rollout.evidence.evidence import Evidence, Pair
from serve.rollout.evidence.matched_pairs import MatchedPairs
from serve.rollout.trail.growth import shrunk


def test_a_gateway_that_died_stays_dead() -> None:
    """Fewer deaths of a variant than before are reported as a fault."""
    two, one = (Evidence(deaths=Pair(baseline=1, candidate=candidate)) for candidate in (2, 1))
    assert shrunk(two, one) == "2 gateways that died of the candidate, then 1"
    assert shrunk(two, Evidence()) == "1 gateways that died of the baseline, then 0"
    assert shrunk(one, two) is None


def test_labels_of_the_shadow_stay() -> None:
    """The number of labels of the shadow must not shrink, in any class."""
    two, one = (Evidence(matched={3: MatchedPairs(labelled=2, neither=many)}) for many in (2, 1))
    assert shrunk(two, one) == "2 labels of the shadow (neither), then 1"
    assert shrunk(one, two) is None
