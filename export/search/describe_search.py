"""Describes a search in words, for a terminal and for its page. Pure."""

from collections.abc import Iterable
from typing import Any

from export.search.found_recipe import read_number
from export.search.search_loop import summarize
from export.search.search_outcome import SearchOutcome, read_speedup
from export.search.search_page import PageContent
from export.search.trial import TrialResult, describe_steps_briefly
from export.search.trial_front import Results


def describe_trial(number: int, result: TrialResult) -> str:
    """Return a line such as "trial 7: 3.12x, within the floor"."""
    measured = result.measured
    if measured is None:
        return f"trial {number}: {result.outcome}: {result.reason}"
    speed = f"{measured.speedup.value:.2f}x"
    if result.outcome == "beaten":
        return f"trial {number}: {speed} on {measured.rows} rows, slower than the best"
    where = "within the floor" if measured.rejected is None else measured.rejected
    again = ", tried before" if result.outcome == "repeated" else ""
    return f"trial {number}: {speed}, {where}{again}"


def list_lines(outcome: SearchOutcome) -> list[str]:
    """Return the outcome as lines for a person."""
    finalists = [f"  {name}: {verdict}" for name, verdict in _describe_finalists(outcome).items()]
    return [
        _describe_end(outcome),
        *finalists,
        f"answer: {_describe_answer(outcome)}",
        f"recipe: {outcome.recipe}; report: {outcome.export.report}; trials: {outcome.page}",
    ]


def describe_page(outcome: SearchOutcome) -> PageContent:
    """Return what the page of the search tells."""
    return PageContent(
        model=outcome.model.name,
        end=_describe_end(outcome),
        answer=_describe_answer(outcome),
        finalists=_describe_finalists(outcome),
        findings=outcome.analysis.findings,
        results=outcome.end.results,
        importances=outcome.end.importances,
        written=outcome.recipe.read_text(),
    )


def _describe_end(outcome: SearchOutcome) -> str:
    return f"The search ended because {outcome.end.reason}; {summarize(outcome.end.results.values())}."


def _describe_answer(outcome: SearchOutcome) -> str:
    if outcome.winner is None:
        return f"{outcome.model.baseline}, because {_explain_none(outcome)}"
    speedup = read_speedup(outcome.model.bundles[outcome.winner], outcome.rows)
    return (
        f"{outcome.winner}, the fastest that the floor accepts on the held-out rows: {speedup.value:.2f}x as "
        f"fast as {outcome.model.baseline} [{speedup.low:.2f}, {speedup.high:.2f}]"
    )


def _describe_finalists(outcome: SearchOutcome) -> dict[str, str]:
    return {name: _describe_finalist(name, outcome) for name in outcome.finalists}


def _describe_finalist(name: str, outcome: SearchOutcome) -> str:
    if name in outcome.export.failed:
        return f"failed: {outcome.export.failed[name]}"
    rejected = outcome.model.bundles[name].rejected
    result = outcome.end.results[read_number(name)]
    speedup = read_speedup(outcome.model.bundles[name], outcome.rows)
    verdict = f"rejected on the held-out rows: {rejected}" if rejected else "accepted on the held-out rows"
    return f"{speedup.value:.2f}x by {describe_steps_briefly(result.steps)}: {verdict}"


def _explain_none(outcome: SearchOutcome) -> str:
    if outcome.finalists:
        return "none of the best variants is both accepted and faster on the held-out rows"
    reasons = [result.reason for result in outcome.end.results.values() if result.reason]
    if not any(result.measured for result in outcome.end.results.values()):
        return f"no trial was measured: {reasons[0] if reasons else outcome.end.reason}"
    return "no trial was both faster and within the floor on the search split"


def describe_outcome(outcome: SearchOutcome) -> dict[str, Any]:
    """Return the outcome as plain data."""
    return {
        "winner": outcome.winner,
        "finalists": list(outcome.finalists),
        "baseline": outcome.model.baseline,
        "reason": outcome.end.reason,
        "findings": list(outcome.analysis.findings),
        "recipe": str(outcome.recipe),
        "report": str(outcome.export.report),
        "page": str(outcome.page),
        "importances": outcome.end.importances,
        "trials": list(_describe_trials(outcome.end.results)),
    }


def _describe_trials(results: Results) -> Iterable[dict[str, Any]]:
    for number, result in results.items():
        yield {"trial": number, **result.model_dump(mode="json", exclude={"measured": {"quality"}})}
