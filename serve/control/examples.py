"""Examples for the documentation of the control API: bodies that work, and answers built from records."""

from typing import Any

from serve.base.record import Record
from serve.base.routing import Routes
from serve.bundles.bundle import sha256
from serve.counting.count_delta import Disagreement
from serve.counting.run_costs import Sizes, add_run
from serve.rollout.api_records import Act, Curve, Curves, RolloutLine, RolloutView, TrailLine
from serve.rollout.evidence.evidence import Comparison, Cost, Evidence, Moments, Pair, Segment
from serve.rollout.judging.judge import judge
from serve.rollout.judging.weigh import Weighing, weigh
from serve.rollout.replay import Replay
from serve.rollout.state.feedback import Feedback
from serve.rollout.state.policy import Policy, Step
from serve.rollout.state.rollout import Phase, Rollout, RolloutPlan, start
from serve.rollout.trail.qualification import Qualification, QualificationView, view_of
from serve.rollout.trail.trail import Action

ROLLOUT = "digits-20261122-152000-3f9a"
_STARTED_S = 1_795_360_800.0

# Description -> body.
ROUTES_EXAMPLES: dict[str, Any] = {
    "A tenth of the requests goes to slim-int8": {"weights": {"fp32": 90, "slim-int8": 10}},
    "int8 gets copies of all requests": {"shadows": {"int8": 1.0}},
    "A header with the user's id makes the variant sticky": {"sticky": "x-user-id"},
}
ROLLOUT_EXAMPLES: dict[str, Any] = {
    "With the default policy": {"candidate": "slim-int8"},
    "In two steps, the last one with approval, and with labels": {
        "candidate": "slim-int8",
        "policy": {
            "shadow": {"minimum_pairs": 5000, "agreement": 0.99},
            "steps": [
                {"share": 0.1, "minimum_s": 300, "minimum_requests": 5000},
                {"share": 1.0, "approval": True},
            ],
            "guards": {"latency": {"limit_ms": 20}, "accuracy": {}},
            "webhook": "https://example.com/rollouts",
        },
    },
}
FEEDBACK_EXAMPLES: dict[str, Any] = {
    "For two requests": {
        "outcomes": [
            {"request_id": "4bf92f3577b34da6a3ce929d0e0e4736", "correct": True},
            {"request_id": "zero-1", "correct": False},
        ]
    },
    "The right class by its number": {"outcomes": [{"request_id": "zero-2", "label": 7}]},
}
QUALIFY_EXAMPLES: dict[str, Any] = {
    "Qualified": {
        "candidate": "slim-int8",
        "baseline": "fp32",
        "digests": {variant: sha256(variant.encode()) for variant in ("fp32", "slim-int8")},
        "outcome": "QUALIFIED",
        "binding": "agreement",
        "limits": {"p99_ms": 50, "agreement": 0.98},
        "stages": [
            {"name": "capacity", "outcome": "PASS"},
            {"name": "shadow", "outcome": "PASS", "checks": [{"name": "agreement", "seen": "99.6 %"}]},
        ],
    },
    "Not qualified": {
        "candidate": "slim-int8",
        "baseline": "fp32",
        "digests": {variant: sha256(variant.encode()) for variant in ("fp32", "slim-int8")},
        "outcome": "NOT_QUALIFIED",
        "reasons": ["capacity: 310 requests/s, required at least 400"],
        "stages": [{"name": "capacity", "outcome": "FAIL"}],
    },
}
WEIGH_EXAMPLES: dict[str, Any] = {
    "Three seconds, half of the requests to the candidate": {
        "share": 0.5,
        "ticks": [[101, 0, 1, 98, 0, 0], [95, 0, 0, 107, 1, 2], [102, 1, 1, 99, 0, 0]],
    },
    "One request in twenty may be late; a tenth of the requests goes to the candidate": {
        "share": 0.1,
        "latency": {"quantile": 0.95, "harm": 1.0, "tolerance": 1.2},
        "ticks": [[180, 0, 9, 21, 0, 1], [178, 0, 8, 19, 0, 0]],
    },
}


def act_examples(act: Act) -> dict[str, Any]:
    """Bodies for an act. The trail has one more entry before a `resume`, and more before an `accept`."""
    number = {"resume": 10, "accept": 12}.get(act, 9)
    reasoned = {"With a reason, which is written to the trail": {"reason": "wrong prices in the shop"}}
    return {
        "Unconditionally": {},
        f"Only if the trail still ends with entry {number}": {"number": number},
        **(reasoned if act == "abort" else {}),
    }


def _written(record: Record) -> Any:
    return record.model_dump(mode="json")


def _rollout() -> Rollout:
    steps = (Step(share=0.1), Step(share=0.5), Step(share=1))
    plan = RolloutPlan(model="digits", baseline="fp32", candidate="slim-int8", policy=Policy(steps=steps))
    begun = start(ROLLOUT, plan, 8.4, "ann", _STARTED_S)
    return begun.model_copy(update={"phase": Phase.STEP, "step": 1, "by": "judge", "reason": "safe to go on"})


def _evidence() -> Evidence:
    segment = Segment(
        step=1,
        split=0.1,
        started_s=_STARTED_S + 180,
        ended_s=_STARTED_S + 190,
        requests=Pair(baseline=741, candidate=79),
        baseline_cost=_cost(74, 8.1),
        candidate_cost=_cost(8, 0.4),
    )
    cosine = Moments(count=1000, total=998.7, squares=997.5)
    shadow = Comparison(pairs=1000, disagreements=4, cosine=cosine, largest_difference=0.41)
    return Evidence(segments=(segment,), shadow=shadow, outputs={"logits": shadow}, dropped=3)


def _cost(rows: int, cpu_ms: float) -> Cost:
    """The cost of ten seconds with this number of single-row runs."""
    sizes: Sizes = {}
    for _ in range(rows):
        add_run(sizes, 1, cpu_ms / rows)
    ticks = (Cost.tick(rows, cpu_ms, sizes, _STARTED_S + 180 + second) for second in range(10))
    return sum(ticks, Cost())


def _view() -> RolloutView:
    now_s = _STARTED_S + 190
    disagreement = Disagreement(
        at_s=_STARTED_S + 44,
        request_id="0af7651916cd43dd8448eb211c80319c",
        slice="eu",
        output="logits",
        baseline="7 (0.61)",
        candidate="1 (0.55)",
    )
    return RolloutView(
        rollout=_rollout(),
        number=6,
        routes=_routes(),
        evidence=_evidence(),
        verdict=judge(_rollout(), _evidence(), now_s),
        judged_s=now_s,
        served=79 / 820,
        disagreements=(disagreement,),
    )


def _routes() -> Routes:
    weights = {"fp32": 0.9, "slim-int8": 0.1}
    return Routes(model="digits", baseline="fp32", weights=weights, revision=6)


def _line() -> RolloutLine:
    return RolloutLine(
        rollout=ROLLOUT,
        candidate="slim-int8",
        phase=Phase.STEP,
        step=1,
        started_s=_STARTED_S,
        by="judge",
        changed_s=_STARTED_S + 180,
        reason="safe to go on",
    )


def _trail_line() -> TrailLine:
    return TrailLine(
        number=7,
        action=Action.PAUSE,
        by="ann",
        at_s=_STARTED_S + 200,
        digest="5f2bd9a1" * 8,
        rollout=ROLLOUT,
        phase=Phase.PAUSED,
        step=1,
        share=0.1,
        routes=None,
        kind=None,
        reason="paused",
        verdict=None,
    )


def _qualification() -> QualificationView:
    qualification = Qualification.model_validate(next(iter(QUALIFY_EXAMPLES.values())))
    return view_of(qualification, 1, "ann", _STARTED_S - 3600)


def _curves() -> Curves:
    busy = Curve(requests_per_s=(82.0, 73.8), errors_per_s=(0.0, 0.0), p50_ms=(6.1, 6.2), p99_ms=(10.0, 9.1))
    new = Curve(requests_per_s=(0.0, 8.2), errors_per_s=(0.0, 0.0), p50_ms=(None, 5.5), p99_ms=(None, 8.3))
    at_s = (_STARTED_S + 185, _STARTED_S + 190)
    return Curves(at_s=at_s, variants={"fp32": busy, "slim-int8": new})


ROUTES_ANSWER = _written(_routes())
VIEW_ANSWER = _written(_view())
ROLLOUTS_ANSWER = {"rollouts": [_written(_line())]}
TRAIL_ANSWER = {"entries": [_written(_trail_line())]}
CURVES_ANSWER = _written(_curves())
REPLAY_ANSWER = _written(Replay(rollout=ROLLOUT, verdicts=3, faults=()))
WEIGH_ANSWER = _written(weigh(Weighing.model_validate(next(iter(WEIGH_EXAMPLES.values())))))
QUALIFICATIONS_ANSWER = {"qualifications": [_written(_qualification())]}
FEEDBACK_ANSWER = _written(Feedback(counted=1, double=(), late=(), unknown=("zero-1",)))
