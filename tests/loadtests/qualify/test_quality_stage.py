import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from deployments.repository_index import describe_bundles, read_stored
from loadtests.errors import LoadTestError
from loadtests.judging.limits import Limits
from loadtests.load_verdict import CheckOutcome
from loadtests.qualify.quality_stage import check_quality, find_sides
from serve.bundles.figures import Compared
from tests.conftest import fill_repository, make_figures
from tests.serve.endpoint import load_all


@cache
def _bundles() -> str:
    with TemporaryDirectory() as folder:
        repository = Path(folder)
        fill_repository(repository)
        stored, catalog = read_stored(repository, "linear"), load_all(repository, {})
        return describe_bundles(stored, catalog).model_dump_json()


def bundles(**changes: Any) -> dict[str, Any]:
    """What the server says of the two variants; `changes` are of the candidate's bundle."""
    said: dict[str, Any] = json.loads(_bundles())
    said["bundles"]["light"] |= changes
    return said


def figures(low: float, high: float) -> dict[str, Any]:
    """Return the figures of a candidate whose accuracy changed by `low` to `high`."""
    quality = make_figures(100).quality
    accuracy = Compared(value=0.9, change=(low + high) / 2, low=low, high=high)
    changed = quality.model_copy(update={"accuracy": accuracy})
    return make_figures(100, quality=changed).model_dump(mode="json")


def test_the_digests_are_of_what_is_served() -> None:
    """The digests are those of the served versions, not of newer ones in the repository."""
    said = bundles(digest="f" * 64)
    baseline, digests = find_sides(said, "linear", "light", {})
    assert baseline == "base"
    assert digests == {name: said["bundles"][name]["loaded"] for name in ("base", "light")}


@pytest.mark.parametrize(
    ("candidate", "changes", "complaint"),
    [
        ("ligth", {}, "linear has no variant 'ligth'; did you mean 'light'"),
        ("base", {}, "'base' is the baseline of linear; name another variant with --to"),
        ("light", {"loaded": None}, "linear/light is not served: it is not loaded; load it"),
        ("light", {"loaded": None, "rejected": "too poor"}, "linear/light is not served: too poor; load it"),
    ],
)
def test_who_cannot_be_weighed_is_refused(candidate: str, changes: dict[str, Any], complaint: str) -> None:
    """A candidate that cannot be tested is refused with the fix."""
    with pytest.raises(LoadTestError, match=complaint):
        find_sides(bundles(**changes), "linear", candidate, {})


def test_who_could_not_be_loaded_is_refused_with_the_reason() -> None:
    """The error contains the reason from the server's metadata."""
    with pytest.raises(LoadTestError, match="linear/light is not served: its digest is wrong; load it"):
        find_sides(bundles(loaded=None), "linear", "light", {"light": "its digest is wrong"})


def check(limits: Limits | None = None, **changes: Any) -> Any:
    return check_quality(bundles(**changes)["bundles"]["light"], limits or Limits())


def test_what_the_export_measured_is_told() -> None:
    """The check lists all quality figures of the bundle."""
    stage = check()
    assert stage.outcome is CheckOutcome.PASS
    assert stage.checks[0].seen == "accuracy 0.9000, macro f1 0.9000, agreement 1.0000 on 10 held-out rows"


def test_what_its_floor_rejected_fails() -> None:
    """A rejected candidate fails with the reason that the export recorded."""
    stage = check(rejected="accuracy 0.50 is too low")
    assert stage.outcome is CheckOutcome.FAIL
    assert stage.checks[0].seen == "rejected: accuracy 0.50 is too low"


def test_figures_of_another_version_than_is_served_prove_nothing() -> None:
    """If the repository holds another version than the served one, the stage is INVALID."""
    stage = check(digest="f" * 64)
    assert stage.outcome is CheckOutcome.INVALID
    assert len(stage.reasons) == 1
    assert stage.reasons[0].startswith("version: ")


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [
        (-0.009, 0.004, CheckOutcome.PASS),
        (-0.02, 0.004, CheckOutcome.INVALID),
        (-0.03, -0.02, CheckOutcome.FAIL),
    ],
)
def test_accuracy_is_judged_by_its_interval(low: float, high: float, outcome: CheckOutcome) -> None:
    """With 0.01 allowed, the drop passes, is undecided or fails by its interval."""
    stage = check(Limits(accuracy_drop=0.01), figures=figures(low, high))
    assert stage.outcome is outcome
    assert stage.checks[-1].name == "accuracy"


def test_no_drop_at_all_may_be_asked() -> None:
    """`accuracy_drop=0` passes for a variant without a drop, and has no degree."""
    stage = check(Limits(accuracy_drop=0), figures=figures(0, 0.01))
    assert stage.outcome is CheckOutcome.PASS
    assert stage.checks[-1].used is None


def test_accuracy_that_was_never_measured_cannot_be_asked_for() -> None:
    """A limit for accuracy is INVALID for a model without accuracy."""
    said = figures(0, 0)
    said["quality"]["accuracy"] = None
    assert check(Limits(accuracy_drop=0.01), figures=said).outcome is CheckOutcome.INVALID
    assert check(figures=said).outcome is CheckOutcome.PASS


@pytest.mark.parametrize(
    ("limits", "figure", "outcome"),
    [
        ({"mae_rise": 0.1}, {"mae": (11, 1, -1, 0.5)}, CheckOutcome.PASS),
        ({"mae_rise": 0.1}, {"mae": (11, 1, 0.5, 1.5)}, CheckOutcome.INVALID),
        ({"mae_rise": 0.1}, {"mae": (12, 2, 1.5, 2.5)}, CheckOutcome.FAIL),
        ({"map50_drop": 0.1}, {"map50": (0.7, -0.05, -0.09, 0)}, CheckOutcome.PASS),
        ({"ndcg_drop": 0.01}, {"ndcg": (0.7, -0.05, -0.09, -0.02)}, CheckOutcome.FAIL),
        ({"miou_drop": 0.01}, {}, CheckOutcome.INVALID),
    ],
)
def test_each_figure_is_judged_by_the_limit_of_a_floor(
    limits: dict[str, float], figure: dict[str, tuple[float, ...]], outcome: CheckOutcome
) -> None:
    """Errors may rise by a share of the baseline's, other figures may drop; a missing one is INVALID."""
    said = figures(0, 0)
    for name, (value, change, low, high) in figure.items():
        said["quality"][name] = {"value": value, "change": change, "low": low, "high": high}
    assert check(Limits.model_validate(limits), figures=said).outcome is outcome


@pytest.mark.parametrize(("low", "outcome"), [(0.981, CheckOutcome.PASS), (0.979, CheckOutcome.INVALID)])
def test_a_similarity_has_a_least_value(low: float, outcome: CheckOutcome) -> None:
    """The lower end of the cosine's interval must reach the limit."""
    said = figures(0, 0)
    said["quality"]["cosine"] = {"value": 0.99, "low": low, "high": 0.995}
    assert check(Limits(cosine=0.98), figures=said).outcome is outcome
