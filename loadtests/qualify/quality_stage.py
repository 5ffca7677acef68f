"""Checks the candidate's quality on held-out data, which the export has measured and its bundle records."""

from collections.abc import Mapping
from typing import Any

from loadtests.errors import LoadTestError
from loadtests.judging.limits import Limits
from loadtests.load_verdict import Check, CheckOutcome
from loadtests.qualify.qualification_record import StageRecord, make_stage
from serve.base.record import nearest
from serve.tasks.task_table import FIGURES


def find_sides(
    answer: Mapping[str, Any], model: str, candidate: str, unserved: Mapping[str, Any]
) -> tuple[str, dict[str, str]]:
    """Return the baseline and the digests of both bundles as they are served.

    `answer` is the server's list of bundles, and `unserved` says by variant why it is not served. Raises
    LoadTestError if one of the two is not served."""
    bundles, baseline = answer["bundles"], str(answer["baseline"])
    if candidate not in bundles:
        raise LoadTestError(f"{model} has no variant {candidate!r}; {nearest(candidate, bundles)}")
    if candidate == baseline:
        raise LoadTestError(f"{candidate!r} is the baseline of {model}; name another variant with --to")
    digests = {}
    for variant in (baseline, candidate):
        loaded = bundles[variant].get("loaded")
        if loaded is None:
            why = bundles[variant].get("rejected") or unserved.get(variant) or "it is not loaded"
            raise LoadTestError(f"{model}/{variant} is not served: {why}; load it, or export it again")
        digests[variant] = str(loaded)
    return baseline, digests


def check_quality(bundle: Mapping[str, Any], limits: Limits) -> StageRecord:
    """Check the first stage, from the server's description of the candidate's bundle."""
    rejected = bundle["rejected"]
    checks = [
        _check(
            "quality floor",
            f"rejected: {rejected}" if rejected else _describe(bundle["figures"]["quality"]),
            "accepted by the floor of its recipe",
            CheckOutcome.FAIL if rejected else CheckOutcome.PASS,
        ),
        _check(
            "version",
            "the repository holds the served version"
            if bundle["digest"] == bundle["loaded"]
            else "the repository holds another version than the served one",
            "the same version: load the new one, or export again",
            CheckOutcome.PASS if bundle["digest"] == bundle["loaded"] else CheckOutcome.INVALID,
        ),
    ]
    if limits.accuracy_drop is not None:
        checks.append(_check_accuracy(bundle["figures"]["quality"].get("accuracy"), limits.accuracy_drop))
    return make_stage("quality", checks)


def _check_accuracy(accuracy: Mapping[str, float] | None, allowed: float) -> Check:
    if accuracy is None:
        return _check(
            "accuracy", "the bundle has none", f"a drop of at most {allowed:g}", CheckOutcome.INVALID
        )
    low, high = accuracy["low"], accuracy["high"]
    bad = CheckOutcome.FAIL if high < -allowed else CheckOutcome.INVALID
    return _check(
        "accuracy",
        f"{accuracy['value']:.4f}, {accuracy['change']:+.4f} [{low:+.4f}, {high:+.4f}] against the baseline",
        f"a drop of at most {allowed:g}; undecided because the interval contains it: use more held-out data",
        CheckOutcome.PASS if low >= -allowed else bad,
        None if not allowed else max(0.0, -low / allowed),
    )


def _describe(quality: Mapping[str, Any]) -> str:
    """Describe the bundle's metrics in words."""
    sentences = []
    for name, traits in FIGURES.items():
        figure = quality.get(name)
        if figure is not None and traits.column is not None:
            sentences.append(f"{name.replace('_', ' ')} {traits.show(figure['value'])}")
    return f"{', '.join(sentences)} on {quality['rows']:,} held-out rows"


def _check(name: str, seen: str, wanted: str, outcome: CheckOutcome, used: float | None = None) -> Check:
    kind = "gate" if name == "version" else "guard"
    return Check(name=name, kind=kind, outcome=outcome, seen=seen, wanted=wanted, used=used)  # type: ignore[arg-type]
