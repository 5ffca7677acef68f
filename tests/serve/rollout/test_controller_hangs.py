"""A candidate that hangs while clients give up, so that it returns neither answers nor errors."""

import math

import pytest

from serve.rollout.replay import replay
from serve.rollout.state.policy import ShadowPolicy, Step
from serve.rollout.state.rollout import Phase
from tests.serve.rollout.local_keeper import POLICY, Gateway, LocalKeeper

USERS = 1000
# The first step has 10 % for a minute, and a stall lasts two seconds as a rule.
SKIP = POLICY.model_copy(
    update={
        "shadow": ShadowPolicy(skip=True),
        "steps": (Step(share=0.1), Step(share=1.0)),
        "guards": POLICY.guards.model_copy(update={"stall_s": 2.0}),
    }
)


def serve(keeping: LocalKeeper, gateway: Gateway, *, hangs: int, sticky: bool) -> None:
    """Let a second pass with a request of each user; each `hangs`-th of the candidate's has no answer before
    its client leaves."""
    gateway.hear(keeping)
    counter, routes = gateway.counter, keeping.routes
    assert counter is not None
    candidates = round(USERS * routes.share("int8"))
    for user in range(USERS):
        variant = "int8" if user < candidates else "fp32"
        choice = (routes.revision, sticky, variant)
        late = variant == "int8" and user % hangs == 0
        bucket = user if sticky else None
        counter.count(choice, failed=False, ms=math.inf if late else 9.0, request_id="", bucket=bucket)
    gateway.report(keeping)
    keeping.tick()
    gateway.report(keeping)


@pytest.mark.parametrize("sticky", [False, True], ids=["requests", "keys"])
@pytest.mark.parametrize("hangs", [1, 5], ids=["all", "a fifth"])
def test_a_candidate_that_hangs_is_rolled_back(
    keeping: LocalKeeper, gateway: Gateway, hangs: int, sticky: bool
) -> None:
    """A candidate that hangs is rolled back at the first step by the latency guard."""
    view = keeping.start(SKIP)
    for _ in range(60):
        serve(keeping, gateway, hangs=hangs, sticky=sticky)
        if keeping.rollout.phase.over:
            break
    assert keeping.place == (Phase.ROLLED_BACK, 1)
    assert "latency" in keeping.rollout.reason
    assert replay(keeping.store.trail("digits"), view.rollout.rollout, keeping.store.key).faults == ()


def test_what_a_hanging_candidate_was_asked_shows(keeping: LocalKeeper, gateway: Gateway) -> None:
    """Unanswered requests of a hanging candidate count in its share and as slow."""
    keeping.start(SKIP)
    serve(keeping, gateway, hangs=1, sticky=False)
    view = keeping.commands.view(keeping.rollout.rollout)
    assert view.served == pytest.approx(0.1)
    while not keeping.rollout.phase.over:
        serve(keeping, gateway, hangs=1, sticky=False)
    view = keeping.commands.view(keeping.rollout.rollout)
    assert view.verdict is not None
    latency = next(figure for figure in view.verdict.figures if figure.guard == "latency")
    assert "(100.00%) against 0 of" in latency.seen
