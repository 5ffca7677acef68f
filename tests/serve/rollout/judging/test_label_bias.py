"""Labels that come mostly for one variant are not used."""

import numpy as np
import pytest

from serve.rollout.evidence.evalues import log_mismatch
from serve.rollout.evidence.evidence import Events, Evidence, Pair, Segment
from serve.rollout.judging.judge import Kind, find, judge
from serve.rollout.judging.label_bias import find_label_bias
from serve.rollout.judging.label_evidence import with_labels
from serve.rollout.state.policy import AccuracyGuard, Guards, Policy
from tests.serve.rollout.rollouts import at_step, proven, segment

POLICY = Policy(guards=Guards(accuracy=AccuracyGuard()))


def labelled(baseline: int, candidate: int, *, wrong: int = 0, sticky: bool = False) -> Segment:
    """Return half of 2,000 requests each, with these numbers of labels, and `wrong` of the candidate's."""
    counted = {"labelled": Pair(baseline=baseline, candidate=candidate), "sticky": sticky}
    return segment(4, 2000).model_copy(update={**counted, "wrong": Events.ticks([(0, 1)] * wrong)})


def test_labels_that_come_for_one_variant_are_not_trusted() -> None:
    """Labels for 300 of the candidate's answers and 100 of the baseline's are not used."""
    verdict = judge(at_step(4, POLICY), Evidence(segments=(labelled(100, 300, wrong=66),)), 90.0)
    assert verdict.kind is Kind.CONTINUE
    assert (
        "accuracy unproven: not reliable, because labels came for 300 of the candidate's 1,000 answers "
        "and 100 of the baseline's 1,000 answers; 66 of 300 (22.00%)"
    ) in verdict.reason


def test_labels_that_come_alike_convict() -> None:
    """Wrong answers among equally many labels of both variants give ROLLBACK."""
    verdict = judge(at_step(4, POLICY), Evidence(segments=(labelled(200, 200, wrong=66),)), 90.0)
    assert verdict.kind is Kind.ROLLBACK
    assert "accuracy: 66 of 200 (33.00%)" in verdict.reason


def test_a_rollout_that_waits_for_labels_in_vain_ends_with_the_reason() -> None:
    """If the labels are not reliable, the time limit gives INCONCLUSIVE."""
    evidence = with_labels(proven(), [labelled(100, 300)])
    verdict = judge(at_step(4, POLICY), evidence, POLICY.maximum_s)
    assert verdict.kind is Kind.INCONCLUSIVE
    assert "not reliable" in verdict.reason


def test_answers_that_failed_cannot_be_labelled() -> None:
    """A candidate with half the labels is trusted if half of its requests failed."""
    failing = labelled(200, 100).model_copy(update={"errors": Events.ticks([(0, 1)] * 500)})
    assert find_label_bias([failing]) is None


def test_users_are_not_alike() -> None:
    """With sticky keys, uneven labels are accepted, as one user may send them all."""
    assert find_label_bias([labelled(100, 300, sticky=True)]) is None
    assert find_label_bias([]) is None


def test_users_of_one_variant_may_label_more() -> None:
    """With sticky keys, twice the labels with twice the wrong answers are no harm."""
    more = labelled(500, 1000, sticky=True).model_copy(
        update={"wrong": Events.ticks([(1, 0)] * 100 + [(0, 1)] * 200)}
    )
    [accuracy] = [
        each for each in find(at_step(4, POLICY), Evidence(segments=(more,))) if each.guard == "accuracy"
    ]
    assert accuracy.harm is not None
    assert accuracy.harm < 0


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_labels_that_come_alike_are_hardly_ever_distrusted(share: float) -> None:
    """With equal labelling at most 2 of 200 rollouts are distrusted, where 1 in 1,000 is expected."""
    rng, both = np.random.default_rng(3), np.full((200, 100), 100)
    candidate = rng.binomial(both, share)
    mine, theirs = (rng.binomial(each, 0.1).cumsum(1) for each in (candidate, both - candidate))
    shares = candidate.cumsum(1) / both.cumsum(1)
    odds = log_mismatch(*(each[..., None].astype(float) for each in (mine, mine + theirs, shares)))
    assert (odds >= np.log(1000)).any(1).sum() <= 2
