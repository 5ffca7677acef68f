"""Views of a trial as the control API gives them, with verdicts by the real judge."""

from collections.abc import Mapping
from typing import Any

from loadtests.judging.limits import Limits
from loadtests.qualify.rollout_stages import policy_of
from serve.rollout.api_records import RolloutView
from serve.rollout.evidence.evidence import Events, Evidence, Segment
from serve.rollout.state.policy import Policy
from tests.serve.local_control import LocalControl
from tests.serve.rollout.rollouts import segment, shadowed

LIMITS = Limits(p99_ms=100)
# A shadow that passes.
ALIKE = Evidence(shadow=shadowed(2000, 2))


def canary(requests: int, *, errors: tuple[int, int] = (0, 0), late: tuple[int, int] = (0, 0)) -> Segment:
    """What happened at half of the traffic; of errors and late ones one in a tick, the baseline's first."""
    over_limit = Events.ticks([(1, 0)] * late[0] + [(0, 1)] * late[1])
    # The default policy gives half of the traffic in its fourth step, this policy in its first.
    return segment(4, requests, errors=errors).model_copy(update={"step": 1, "over_limit": over_limit})


def view_of(*evidence: Evidence, lasting_s: float = 200) -> Mapping[str, Any]:
    """The JSON of a trial with these limits that began so long ago; each evidence was judged once."""
    keeper = LocalControl("none").keeper
    keeper.begin("trial", lasting_s, Policy.parse(policy_of(LIMITS), "the policy"))
    for number, seen in enumerate(evidence, 1):
        keeper.judge(seen, lasting_s * (1 - number / len(evidence)))
    view: RolloutView = keeper.command("view", "trial")
    return view.model_dump(mode="json")


def shadow_view(pairs: int, differ: int, *, dropped: int = 0, lasting_s: float = 200) -> Mapping[str, Any]:
    """Return a trial that was judged once, in its shadow."""
    return view_of(Evidence(shadow=shadowed(pairs, differ), dropped=dropped), lasting_s=lasting_s)


def canary_view(step: Segment, *, lasting_s: float = 200) -> Mapping[str, Any]:
    """A trial that passed its shadow and was judged once more."""
    return view_of(ALIKE, ALIKE.model_copy(update={"segments": (step,)}), lasting_s=lasting_s)
