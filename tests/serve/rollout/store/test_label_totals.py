"""The totals of labels, however they are posted."""

import random

import pytest

from serve.rollout.evidence.evidence import Events, Evidence, Pair, Segment
from serve.rollout.evidence.matched_pairs import MOST_CLASSES, MatchedPairs
from serve.rollout.judging.label_evidence import with_labels
from serve.rollout.state.feedback import Feedback
from serve.rollout.store import pending_labels
from serve.rollout.store.store import Store
from tests.serve.rollout.labels import NOBODY, answer, labelled, outcome, tell
from tests.serve.rollout.rollouts import segment


def test_an_outcome_counts_for_the_variant_that_was_chosen(store: Store) -> None:
    """An outcome counts for the chosen variant, in the segment and the second of its request."""
    answers = [answer("a", at_s=3.9), answer("b", candidate=True, at_s=4), answer("c", candidate=True)]
    store.answered.note("digits", answers, 6.0)
    told = tell(store, outcome("a"), outcome("b", correct=False), outcome("c"))
    assert told == Feedback(**NOBODY | {"counted": 3})
    assert store.labels("r1") == (
        Segment(
            step=1,
            split=1 / 3,
            started_s=3,
            ended_s=6,
            labelled=Pair(baseline=1, candidate=2),
            wrong=Events.tick(0, 1),
        ),
    )


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_it_is_no_matter_how_labels_are_posted(store: Store, size: int) -> None:
    """The totals do not depend on the order in which 300 outcomes are posted or on the size of a body."""
    ids = [f"{number}" for number in range(300)]
    answers = [answer(each, candidate=int(each) % 2 == 1, at_s=int(each) // 4) for each in ids]
    store.answered.note("digits", answers, 6.0)
    wrong = {each for each in ids if int(each) % 4 == 3}
    random.Random(size).shuffle(ids)
    for start in range(0, len(ids), size):
        tell(store, *(outcome(each, correct=each not in wrong) for each in ids[start : start + size]))
    [found] = store.labels("r1")
    assert found.wrong == Events.ticks([(0, 1)] * 75)
    assert found.labelled == Pair(baseline=150, candidate=150)


def test_late_labels_of_one_second_are_one_tick(store: Store) -> None:
    """Three wrong answers of one second count as one burst, even if they are posted one by one."""
    store.answered.note("digits", [answer(each, candidate=True) for each in "abc"], 6.0)
    for each in "abc":
        tell(store, outcome(each, correct=False))
    assert store.labels("r1")[0].wrong == Events.tick(0, 3)


def test_outcomes_of_several_steps_stay_apart(store: Store) -> None:
    """Outcomes count in the step of their request."""
    store.answered.note("digits", [answer("a", step=1), answer("b", step=2)], 6.0)
    tell(store, outcome("a"), outcome("b"))
    assert [found.key for found in store.labels("r1")] == [(1, 1 / 3, False), (2, 1 / 3, False)]


def test_an_outcome_counts_once(store: Store) -> None:
    """An outcome counts once, also within one body."""
    store.answered.note("digits", [answer("a")], 6.0)
    assert tell(store, outcome("a"), outcome("a")) == Feedback(**NOBODY | {"counted": 1, "double": ("a",)})
    assert tell(store, outcome("a")) == Feedback(**NOBODY | {"double": ("a",)})


@pytest.mark.parametrize("running", ["r2", None])
def test_an_outcome_of_a_rollout_that_is_over_is_late(store: Store, running: str | None) -> None:
    """An outcome of a finished rollout is late, whether another one runs or not."""
    store.answered.note("digits", [answer("a")], 6.0)
    assert tell(store, outcome("a"), running=running) == Feedback(**NOBODY | {"late": ("a",)})


@pytest.mark.parametrize(("running", "asks"), [(None, False), ("r1", False)])
def test_an_outcome_of_no_request_is_unknown(store: Store, running: str | None, asks: bool) -> None:
    """An outcome of an unknown request, or of another model's, is unknown if no labels are asked for."""
    store.answered.note("minilm", [answer("a")], 6.0)
    assert tell(store, outcome("a"), running=running, asks=asks) == Feedback(**NOBODY | {"unknown": ("a",)})


def test_a_label_that_comes_before_its_request_is_known_waits_for_it(store: Store) -> None:
    """An outcome that arrives before its request is held and counts once the request is noted."""
    assert tell(store, outcome("a", correct=False)) == Feedback(**NOBODY | {"held": ("a",)})
    assert tell(store, outcome("a")).double == ("a",)
    assert store.labels("r1") == ()
    assert store.answered.note("digits", [answer("a", candidate=True)], 11.0)
    [found] = store.labels("r1")
    assert (found.labelled, found.wrong) == (Pair(candidate=1), Events.tick(0, 1))
    assert tell(store, outcome("a")).double == ("a",)


def test_a_label_that_waits_outlives_the_keeper(store: Store, url: str) -> None:
    """A held outcome is stored and counts under the next keeper."""
    tell(store, outcome("a"))
    store.close()
    other = Store(url, "other")
    assert other.renew(10.0)
    assert other.answered.note("digits", [answer("a")], 11.0)
    assert other.labels("r1")[0].labelled == Pair(baseline=1)
    other.close()


def test_a_label_waits_half_a_minute_at_most(store: Store) -> None:
    """A held outcome is dropped after half a minute."""
    tell(store, outcome("a"), now_s=9.0)
    late_s = 9.0 + pending_labels.PENDING_S + 1
    assert not store.answered.note("digits", [answer("a", at_s=late_s)], late_s)
    assert store.labels("r1") == ()


def test_a_label_that_waits_is_not_lost_while_the_store_is_away(store: Store) -> None:
    """A held outcome counts for a request of the same time, even if that is noted two minutes later."""
    tell(store, outcome("a"), now_s=9.0)
    assert store.answered.note("digits", [answer("a", at_s=10.0)], 130.0)
    assert store.labels("r1")[0].labelled == Pair(baseline=1)


def test_only_so_many_labels_wait(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most `_MOST` outcomes are held; further ones are unknown."""
    monkeypatch.setattr(pending_labels, "_MOST", 3)
    told = tell(store, *(outcome(each) for each in "abcde"))
    assert (told.held, told.unknown) == (("a", "b", "c"), ("d", "e"))
    assert tell(store, outcome("f"), now_s=9.0 + pending_labels.PENDING_S + 1).held == ("f",)


def test_a_label_says_by_itself_whether_the_answer_was_right(store: Store) -> None:
    """A label is compared with the answer's top class, even if it was held."""
    tell(store, labelled("c", 3))
    answers = [answer(each, candidate=True, top=4) for each in "abc"]
    store.answered.note("digits", answers, 10.0)
    assert tell(store, labelled("a", 4), labelled("b", 5)).counted == 2
    [found] = store.labels("r1")
    assert (found.labelled, found.wrong) == (Pair(candidate=3), Events.tick(0, 2))


def test_a_label_of_an_answer_without_a_class_is_told_so(store: Store) -> None:
    """A label for an answer without a class is refused, and `correct` counts."""
    store.answered.note("digits", [answer("a")], 6.0)
    assert tell(store, labelled("a", 4)) == Feedback(**NOBODY | {"no_class": ("a",)})
    assert tell(store, outcome("a")).counted == 1


def test_labels_of_the_shadow_are_of_both_answers(store: Store) -> None:
    """A label of the shadow is compared with both answers and is in no segment."""
    tell(store, labelled("e", 5))
    answers = [
        answer(each, step=0, split=0.0, top=top, other=other)
        for each, top, other in (("a", 3, 3), ("b", 3, 4), ("c", 4, 3), ("d", 1, 2), ("e", 5, 6))
    ]
    store.answered.note("digits", answers, 10.0)
    assert tell(store, *(labelled(each, 3) for each in "abcd")).counted == 4
    assert tell(store, labelled("a", 4)).double == ("a",)
    assert store.labels("r1") == ()
    assert store.matched("r1") == {
        3: MatchedPairs(labelled=4, baseline_alone=1, candidate_alone=1, neither=1),
        5: MatchedPairs(labelled=1, baseline_alone=1),
    }


def test_that_an_answer_was_right_says_nothing_of_the_other_one(store: Store) -> None:
    """Without a class, an outcome of the shadow is refused; a label may still follow."""
    store.answered.note("digits", [answer("a", step=0, split=0.0, top=3, other=4)], 6.0)
    assert tell(store, outcome("a", correct=False)) == Feedback(**NOBODY | {"no_class": ("a",)})
    assert tell(store, labelled("a", 4)).counted == 1


def test_classes_beyond_so_many_are_counted_together(store: Store) -> None:
    """Classes beyond the maximum are counted together."""
    answers = [answer(each, step=0, split=0.0, top=1, other=1) for each in "ab"]
    store.answered.note("digits", answers, 6.0)
    tell(store, labelled("a", 10_000), labelled("b", 20_000))
    assert store.matched("r1") == {MOST_CLASSES: MatchedPairs(labelled=2, neither=2)}


def test_labels_of_the_shadow_replace_those_that_the_evidence_had() -> None:
    """New labels of the shadow replace the old ones, which stay if none were read."""
    told = {3: MatchedPairs(labelled=4)}
    once = with_labels(Evidence(matched={3: MatchedPairs(labelled=1)}), [], told)
    assert once.matched == told
    assert with_labels(once, [], None) is once


def test_labels_replace_those_that_the_evidence_had() -> None:
    """Labels replace those of the same segment, so reading them twice counts once."""
    before = segment(1, 100, errors=(2, 1))
    told = before.model_copy(update={"labelled": Pair(baseline=9, candidate=1), "wrong": Events.tick(1, 0)})
    once = with_labels(Evidence(segments=(before,)), [told])
    assert once.segments == (told,)
    assert with_labels(once, [told]) is once
