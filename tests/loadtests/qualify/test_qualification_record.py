import pytest

from loadtests.load_verdict import CheckOutcome
from loadtests.qualify.qualification_record import StageRecord, conclude
from serve.rollout.trail.qualification import QualificationOutcome as Outcome
from tests.loadtests.qualify.qualifications import make_found, stage

PASS, FAIL, INVALID = CheckOutcome.PASS, CheckOutcome.FAIL, CheckOutcome.INVALID
QUALITY, CAPACITY, SHADOW, CANARY = (
    stage(name, PASS) for name in ("quality", "capacity", "shadow", "canary")
)


@pytest.mark.parametrize(
    ("stages", "fitness", "binding"),
    [
        ((QUALITY, CAPACITY, SHADOW, CANARY), Outcome.QUALIFIED, "quality: guard 0"),
        ((QUALITY, CAPACITY, stage("shadow", FAIL)), Outcome.NOT_QUALIFIED, "shadow: guard 0"),
        (
            (QUALITY, stage("capacity", INVALID), SHADOW, CANARY),
            Outcome.INVALID,
            "capacity: guard 0",
        ),
        (
            (QUALITY, stage("capacity", INVALID), stage("shadow", PASS, FAIL)),
            Outcome.NOT_QUALIFIED,
            "shadow: guard 1",
        ),
        ((QUALITY, CAPACITY), Outcome.INVALID, None),
    ],
    ids=["all good", "one failed", "one undecided", "failed and undecided", "missing"],
)
def test_the_stages_come_to_one_word(
    stages: tuple[StageRecord, ...], fitness: Outcome, binding: str | None
) -> None:
    """A failed stage gives NOT_QUALIFIED; otherwise all four stages must pass, or the outcome is INVALID."""
    assert conclude(stages, complete=True)[:2] == (fitness, binding)


def test_the_one_that_came_closest_binds() -> None:
    """If all checks pass, the one closest to its limit is named, over all stages."""
    stages = (QUALITY, stage("capacity", PASS, PASS), SHADOW, CANARY)
    assert conclude(stages, complete=True) == (Outcome.QUALIFIED, "capacity: guard 1", ())


def test_what_is_bad_is_told_before_what_is_undecided() -> None:
    """Reasons of failed checks come before those of undecided ones, each with its stage."""
    _, _, reasons = conclude((stage("capacity", INVALID), stage("shadow", FAIL)), complete=True)
    assert [reason.partition(":")[0] for reason in reasons] == ["shadow", "capacity"]


def test_what_was_ended_early_is_undecided() -> None:
    """A qualification that was ended early is INVALID, even if all stages passed."""
    found = conclude((QUALITY, CAPACITY, SHADOW, CANARY), complete=False)
    assert found == (Outcome.INVALID, None, ("it was ended early",))


def test_a_failure_stands_though_it_was_ended_early() -> None:
    """A failed stage decides even if the qualification was ended early."""
    assert conclude((QUALITY, stage("capacity", FAIL)), complete=False)[0] is Outcome.NOT_QUALIFIED


def test_a_record_comes_back_from_its_json() -> None:
    """A record is the same after a round trip through JSON."""
    found = make_found()
    assert type(found).model_validate_json(found.model_dump_json()) == found
