"""Checks the candidate's quality on held-out data, which the export has measured and its bundle records."""

from collections.abc import Mapping
from typing import Any

from loadtests.errors import LoadTestError
from loadtests.judging.limits import Limits
from loadtests.load_verdict import Check, CheckOutcome
from loadtests.qualify.qualification_record import StageRecord, make_stage
from serve.base.record import nearest
from serve.tasks.task_table import FIGURES

# The kind of a limit -> what it requires.
_WANTED = {
    "drop": "at most {} worse than the baseline",
    "rise": "at most a share of {} above the baseline's",
    "least": "at least {}",
    "most": "at most {}",
}


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
    quality = bundle["figures"]["quality"]
    for name, traits in FIGURES.items():
        key = traits.limit_of(name)
        # The limit of agreement is that of the shadow.
        allowed = None if key in (None, "agreement") else getattr(limits, str(key))
        if allowed is not None:
            checks.append(_check_figure(name, quality.get(name), allowed))
    return make_stage("quality", checks)


def _check_figure(name: str, figure: Mapping[str, Any] | None, allowed: float) -> Check:
    """Check a figure by the worse end of its interval; undecided if the interval contains the limit."""
    traits = FIGURES[name]
    wanted = _WANTED[str(traits.limit)].format(f"{allowed:g}")
    if figure is None:
        return _check(name, "the bundle has none", wanted, CheckOutcome.INVALID)
    worst, best, bound = _losses(name, figure, allowed)
    seen = traits.show(figure["value"])
    sign = "+" if "change" in figure else ""
    seen += f", {traits.show(figure['change'], sign)}" if sign else ""
    seen += f" [{traits.show(figure['low'], sign)}, {traits.show(figure['high'], sign)}]"
    return _check(
        name,
        f"{seen} against the baseline",
        f"{wanted}; undecided if the interval contains it: use more held-out data",
        CheckOutcome.PASS if worst <= bound else CheckOutcome.FAIL if best > bound else CheckOutcome.INVALID,
        max(0.0, worst / bound) if bound > 0 else None,
    )


def _losses(name: str, figure: Mapping[str, Any], allowed: float) -> tuple[float, float, float]:
    """The worse and the better end of a figure's interval and its limit, as numbers of which less is
    better."""
    low, high = float(figure["low"]), float(figure["high"])
    match FIGURES[name].limit:
        case "rise":
            before = float(figure["value"]) - float(figure["change"])
            # An error of 0 may not rise at all.
            return high, low, allowed * before
        case "most":
            return high, low, allowed
        case "least":
            return -low, -high, -allowed
    return (high, low, allowed) if figure.get("better") == "lower" else (-low, -high, allowed)


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
