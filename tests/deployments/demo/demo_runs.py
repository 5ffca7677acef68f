"""Runs of the demo as its parts report them: the load tests and the two rollouts."""

import tempfile
from pathlib import Path
from typing import Any

from deployments.demo.rollout_story import RolloutMove, RolloutStory
from deployments.demo.summary import Summary, summarize
from serve.bundles.repository import read_model
from serve.rollout.state.rollout import Phase
from tests.conftest import fill_repository

_LATE = {
    "name": "sender on time",
    "kind": "gate",
    "outcome": "INVALID",
    "seen": "p99 of its lateness 7.30 ms",
    "wanted": "at most 2 ms: lower the rate, use more senders or a quieter machine, " + "and so on, " * 9,
}
_SENT = {"name": "arrivals", "kind": "gate", "outcome": "PASS", "seen": "2,000 sent", "wanted": "2,000"}


def run_of(
    *,
    good: RolloutStory | None = None,
    bad: RolloutStory | None = None,
    base: dict[str, Any] | None = None,
    outcome: str = "PASS",
    bad_answers: int = 0,
) -> Summary:
    """Return the summary of a successful run, except for the given changes."""
    compared = report_of({"base": base or load_of(500), "light": load_of(500)}, outcome)
    asked = {"base": load_of(1800), "light": load_of(900), "mixed-up": load_of(bad_answers)}
    rollouts = (good or story("light", Phase.DONE), bad or story("mixed-up", Phase.ROLLED_BACK))
    with tempfile.TemporaryDirectory() as folder:
        fill_repository(Path(folder))
        model = read_model(Path(folder) / "linear")
    return summarize(model, compared, report_of(asked, "PASS"), rollouts, 240.0)


def load_of(requests: int, model_s: float = 0.25) -> dict[str, Any]:
    """A variant's part of a load test's report, as far as the demo reads it."""
    found: dict[str, Any] = dict.fromkeys(("p50_ms", "p95_ms", "p99_ms", "cost"))
    if requests:
        found = {
            "p50_ms": {"value": 2.0, "low": 1.9, "high": 2.1},
            "p95_ms": {"value": 3.0, "low": 2.8, "high": 3.3},
            "p99_ms": {"value": 4.0, "low": 3.5, "high": None},
            "cost": {"model_s": model_s, "gateway_s": 0.75, "proxy_s": 0.5, "client_s": 0.9},
        }
    curve = [[0.0, 1.0], [0.5, 2.0], [0.99, 4.0]] if requests else []
    return {"requests": requests, "errors": 0, "curve": curve, **found}


def report_of(variants: dict[str, dict[str, Any]], outcome: str) -> dict[str, Any]:
    """What `counterweight loadtest run --json` writes, as far as the demo reads it."""
    busy = outcome == "INVALID"
    return {
        "plan": {"profile": [[0, 80], [25, 80]]},
        "requests": sum(load["requests"] for load in variants.values()),
        "errors": 0,
        "checks": [_LATE, _SENT] if busy else [_SENT],
        "notes": ["no time to spare"] if busy else [],
        "variants": variants,
    }


def story(candidate: str, phase: Phase, share: float | None = None) -> RolloutStory:
    """Return a rollout that ended in `phase`; one that is DONE went through a step of 50 %."""
    half = 0.5 if phase is Phase.DONE else 0.0
    end = 1.0 if phase is Phase.DONE else 0.0
    moves = (
        _move(0, Phase.SHADOW, 0.0, None),
        _move(9, Phase.STEP, half if share is None else share, "PROMOTE"),
        _move(40, phase, end, "ROLLBACK" if phase is Phase.ROLLED_BACK else "PROMOTE"),
    )
    return RolloutStory(
        baseline="base",
        candidate=candidate,
        phase=phase,
        reason="what was shown",
        took_s=40.0,
        copies=120,
        differed=2,
        moves=moves,
    )


def _move(after_s: float, phase: Phase, share: float, verdict: str | None) -> RolloutMove:
    return RolloutMove(
        after_s=after_s, phase=phase, step=0, share=share, verdict=verdict, reason="what was shown"
    )
