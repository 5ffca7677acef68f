from typing import Any

import pytest
from pydantic import ValidationError

from serve.rollout.trail.qualification import Qualification, QualificationView, unqualified, view_of

DIGESTS = {"fp32": "a" * 64, "int8": "b" * 64}
PASSED: dict[str, Any] = {
    "candidate": "int8",
    "baseline": "fp32",
    "digests": DIGESTS,
    "outcome": "QUALIFIED",
    "stages": [
        {"name": "capacity", "outcome": "PASS"},
        {"name": "shadow", "outcome": "PASS", "checks": [{"seen": 0.99, "deep": {"list": [1, None]}}]},
    ],
}
FAILED = PASSED | {
    "outcome": "NOT_QUALIFIED",
    "reasons": ["capacity: 3/s of 4/s", "too slow"],
    "stages": [{"name": "capacity", "outcome": "FAIL", "reasons": ["3/s of 4/s"]}],
}


def found(fields: dict[str, Any], number: int = 1, **changes: Any) -> QualificationView:
    """A qualification in the trail."""
    return view_of(Qualification.model_validate(fields | changes), number, "ann", 1_795_361_400.0)


def why(*known: QualificationView, **digests: str) -> str | None:
    return unqualified(known, "int8", "fp32", DIGESTS | digests)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"baseline": "int8"}, "the candidate 'int8' is the baseline; name another variant"),
        ({"digests": {"fp32": "a" * 64}}, "they are for fp32; give those for fp32 and int8"),
        ({"digests": {}}, "they are for nothing; give those for fp32 and int8"),
        ({"stages": FAILED["stages"]}, "it is QUALIFIED, but capacity did not pass"),
        ({"outcome": "NOT_QUALIFIED"}, "it is NOT_QUALIFIED without a reason; give at least one"),
        ({"outcome": "INVALID"}, "it is INVALID without a reason"),
        ({"outcome": "PASS"}, "Input should be 'QUALIFIED', 'NOT_QUALIFIED' or 'INVALID'"),
        ({"stages": []}, "at least 1 item"),
        ({"digest": {}}, "unknown key 'digest'; did you mean 'digests'?"),
    ],
)
def test_what_contradicts_itself_is_refused(change: dict[str, Any], fault: str) -> None:
    """The error names the value and what is expected."""
    with pytest.raises(ValidationError) as refused:
        Qualification.model_validate(PASSED | change)
    assert fault in str(refused.value)


def test_it_is_one_sentence() -> None:
    """The sentence has each stage's result and the reasons."""
    assert found(FAILED).sentence() == (
        "int8 against fp32: NOT_QUALIFIED (capacity FAIL); capacity: 3/s of 4/s; too slow"
    )
    assert found(PASSED).sentence() == "int8 against fp32: QUALIFIED (capacity PASS, shadow PASS)"


def test_a_qualified_candidate_may_start() -> None:
    """A candidate that is QUALIFIED in the loaded versions can start."""
    assert why(found(PASSED)) is None


def test_nothing_found_is_nothing_qualified() -> None:
    """Without a qualification of this candidate against this baseline, the error says so."""
    other = {"fp32": "a" * 64, "slim": "b" * 64}
    back = found(PASSED, candidate="fp32", baseline="int8")
    expected = "'int8' was never qualified against 'fp32'"
    assert why() == expected
    assert why(found(PASSED, candidate="slim", digests=other), back) == expected


@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_another_version_is_not_qualified(variant: str) -> None:
    """The error names the variant of which another version is loaded, and when the old one was qualified."""
    assert why(found(PASSED), **{variant: "c" * 64}) == (
        f"another version of '{variant}' is loaded than was qualified by ann at 2026-11-22 15:30 UTC"
    )


def test_the_last_word_counts() -> None:
    """The last result counts, whether it is better or worse."""
    assert why(found(FAILED), found(PASSED, 2)) is None
    assert why(found(PASSED), found(FAILED, 2)) == (
        "the result for 'int8' was NOT_QUALIFIED by ann at 2026-11-22 15:30 UTC: capacity: 3/s of 4/s; "
        "too slow"
    )


def test_a_later_word_on_another_version_takes_nothing_back() -> None:
    """A later failure of another version does not affect the loaded one's qualification."""
    newer = found(FAILED, 2, digests=DIGESTS | {"int8": "c" * 64})
    assert why(found(PASSED), newer) is None
