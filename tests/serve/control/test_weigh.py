from pathlib import Path
from typing import Any

import pytest

from serve.rollout.judging.weigh import Weighed, Weighing, weigh
from tests.serve.endpoint import Endpoint

PATH = "/control/weigh"
ASKED = {"share": 0.5, "ticks": [[50, 1, 2, 49, 3, 4]] * 60}


def test_answers_what_the_rollouts_own_test_finds(endpoint: Endpoint) -> None:
    """The answer equals the result of `weigh` on the same input."""
    answer = endpoint.client.post(PATH, json=ASKED)
    assert answer.status_code == 200
    assert Weighed.model_validate_json(answer.content) == weigh(Weighing.model_validate(ASKED))
    assert [figure["guard"] for figure in answer.json()["figures"]] == ["errors", "latency", "split"]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"share": 1.0}, "share: Input should be less than or equal to 0.999"),
        ({"ticks": [[1, 0, 0, 1, 0]]}, "ticks.0.5: Field required"),
        ({"ticks": [[1, 0, 0, 1, 0, -1]]}, "ticks.0.5: Input should be greater than or equal to 0"),
        ({"ticks": [[1, 2, 0, 1, 0, 0]]}, "ticks.0: [1, 2, 0, 1, 0, 0] has more errors"),
        ({"errors": {"harm": 2, "tolerance": 1.5}}, "errors: tolerance 1.5 is not above harm 2"),
        ({"latency": {"limit_ms": 5}}, "unknown key 'limit_ms'"),
        ({"tick": []}, "unknown key 'tick'; did you mean 'ticks'?"),
    ],
)
def test_what_cannot_be_weighed_is_400_with_its_fault(
    endpoint: Endpoint, change: dict[str, Any], fault: str
) -> None:
    """Invalid counts give a 400 with the location of the fault."""
    answer = endpoint.client.post(PATH, json=ASKED | change)
    assert answer.status_code == 400
    assert fault in answer.json()["error"]


def test_more_than_a_days_seconds_are_400(module_repository: Path) -> None:
    """100,000 ticks are accepted, and 100,001 give 400."""
    full = [[1, 0, 0, 1, 0, 0]] * 100_000
    with Endpoint(repository=module_repository) as endpoint:
        answers = [
            endpoint.client.post(PATH, json={"share": 0.5, "ticks": ticks})
            for ticks in (full, [*full, [0, 0, 0, 0, 0, 0]])
        ]
    assert [answer.status_code for answer in answers] == [200, 400]
