import pytest

from deployments.demo.rollout_story import RolloutStory
from serve.rollout.state.rollout import Phase
from tests.deployments.demo.demo_runs import story


@pytest.mark.parametrize(
    ("told", "in_shadow"),
    [
        (story("mixed-up", Phase.ROLLED_BACK), True),
        (story("mixed-up", Phase.ROLLED_BACK, share=0.1), False),
        (story("light", Phase.DONE), False),
    ],
)
def test_a_candidate_with_a_share_has_left_the_shadow(told: RolloutStory, *, in_shadow: bool) -> None:
    """A candidate that ever had a share of the traffic did not end in the shadow."""
    assert told.ended_in_shadow == in_shadow
